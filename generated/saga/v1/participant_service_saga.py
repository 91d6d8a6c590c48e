"""Typed method handles. Generated from saga/v1/participant_service.proto: do not edit."""

from typing import Final

from contracts.method import Method
from saga.v1 import participant_service_pb2


class ParticipantService:
    """Methods of saga.v1.ParticipantService."""

    Settle: Final = Method("saga.v1.ParticipantService", "Settle", participant_service_pb2.SettleRequest, participant_service_pb2.SettleResponse)

"""Typed method handles. Generated from saga/v1/saga_service.proto: do not edit."""

from typing import Final

from contracts.method import Method
from saga.v1 import saga_service_pb2


class SagaService:
    """Methods of saga.v1.SagaService."""

    StartSaga: Final = Method("saga.v1.SagaService", "StartSaga", saga_service_pb2.StartSagaRequest, saga_service_pb2.StartSagaResponse)
    GetSaga: Final = Method("saga.v1.SagaService", "GetSaga", saga_service_pb2.GetSagaRequest, saga_service_pb2.GetSagaResponse)
    WaitSaga: Final = Method("saga.v1.SagaService", "WaitSaga", saga_service_pb2.WaitSagaRequest, saga_service_pb2.WaitSagaResponse)
    ListSagas: Final = Method("saga.v1.SagaService", "ListSagas", saga_service_pb2.ListSagasRequest, saga_service_pb2.ListSagasResponse)
    ListSagaEvents: Final = Method("saga.v1.SagaService", "ListSagaEvents", saga_service_pb2.ListSagaEventsRequest, saga_service_pb2.ListSagaEventsResponse)
    CancelSaga: Final = Method("saga.v1.SagaService", "CancelSaga", saga_service_pb2.CancelSagaRequest, saga_service_pb2.CancelSagaResponse)

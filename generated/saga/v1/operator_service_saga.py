"""Typed method handles. Generated from saga/v1/operator_service.proto: do not edit."""

from typing import Final

from contracts.method import Method
from saga.v1 import operator_service_pb2


class SagaOperatorService:
    """Methods of saga.v1.SagaOperatorService."""

    SearchSagas: Final = Method("saga.v1.SagaOperatorService", "SearchSagas", operator_service_pb2.SearchSagasRequest, operator_service_pb2.SearchSagasResponse)
    CountSagas: Final = Method("saga.v1.SagaOperatorService", "CountSagas", operator_service_pb2.CountSagasRequest, operator_service_pb2.CountSagasResponse)
    GetSagaDetails: Final = Method("saga.v1.SagaOperatorService", "GetSagaDetails", operator_service_pb2.GetSagaDetailsRequest, operator_service_pb2.GetSagaDetailsResponse)
    ExplainSaga: Final = Method("saga.v1.SagaOperatorService", "ExplainSaga", operator_service_pb2.ExplainSagaRequest, operator_service_pb2.ExplainSagaResponse)
    GetOverview: Final = Method("saga.v1.SagaOperatorService", "GetOverview", operator_service_pb2.GetOverviewRequest, operator_service_pb2.GetOverviewResponse)
    RetryNow: Final = Method("saga.v1.SagaOperatorService", "RetryNow", operator_service_pb2.RetryNowRequest, operator_service_pb2.RetryNowResponse)
    RetryCompensation: Final = Method("saga.v1.SagaOperatorService", "RetryCompensation", operator_service_pb2.RetryCompensationRequest, operator_service_pb2.RetryCompensationResponse)
    SkipStep: Final = Method("saga.v1.SagaOperatorService", "SkipStep", operator_service_pb2.SkipStepRequest, operator_service_pb2.SkipStepResponse)
    ForceCompensation: Final = Method("saga.v1.SagaOperatorService", "ForceCompensation", operator_service_pb2.ForceCompensationRequest, operator_service_pb2.ForceCompensationResponse)
    ResolveSaga: Final = Method("saga.v1.SagaOperatorService", "ResolveSaga", operator_service_pb2.ResolveSagaRequest, operator_service_pb2.ResolveSagaResponse)
    PauseSaga: Final = Method("saga.v1.SagaOperatorService", "PauseSaga", operator_service_pb2.PauseSagaRequest, operator_service_pb2.PauseSagaResponse)
    ResumeSaga: Final = Method("saga.v1.SagaOperatorService", "ResumeSaga", operator_service_pb2.ResumeSagaRequest, operator_service_pb2.ResumeSagaResponse)
    StartBulk: Final = Method("saga.v1.SagaOperatorService", "StartBulk", operator_service_pb2.StartBulkRequest, operator_service_pb2.StartBulkResponse)
    GetBulk: Final = Method("saga.v1.SagaOperatorService", "GetBulk", operator_service_pb2.GetBulkRequest, operator_service_pb2.GetBulkResponse)
    ListBulks: Final = Method("saga.v1.SagaOperatorService", "ListBulks", operator_service_pb2.ListBulksRequest, operator_service_pb2.ListBulksResponse)
    ListBulkMembers: Final = Method("saga.v1.SagaOperatorService", "ListBulkMembers", operator_service_pb2.ListBulkMembersRequest, operator_service_pb2.ListBulkMembersResponse)
    CancelBulk: Final = Method("saga.v1.SagaOperatorService", "CancelBulk", operator_service_pb2.CancelBulkRequest, operator_service_pb2.CancelBulkResponse)
    ListAudit: Final = Method("saga.v1.SagaOperatorService", "ListAudit", operator_service_pb2.ListAuditRequest, operator_service_pb2.ListAuditResponse)
    ListParticipants: Final = Method("saga.v1.SagaOperatorService", "ListParticipants", operator_service_pb2.ListParticipantsRequest, operator_service_pb2.ListParticipantsResponse)
    HoldParticipant: Final = Method("saga.v1.SagaOperatorService", "HoldParticipant", operator_service_pb2.HoldParticipantRequest, operator_service_pb2.HoldParticipantResponse)
    ReleaseParticipant: Final = Method("saga.v1.SagaOperatorService", "ReleaseParticipant", operator_service_pb2.ReleaseParticipantRequest, operator_service_pb2.ReleaseParticipantResponse)
    ListNodes: Final = Method("saga.v1.SagaOperatorService", "ListNodes", operator_service_pb2.ListNodesRequest, operator_service_pb2.ListNodesResponse)
    DrainNode: Final = Method("saga.v1.SagaOperatorService", "DrainNode", operator_service_pb2.DrainNodeRequest, operator_service_pb2.DrainNodeResponse)
    ListDefinitions: Final = Method("saga.v1.SagaOperatorService", "ListDefinitions", operator_service_pb2.ListDefinitionsRequest, operator_service_pb2.ListDefinitionsResponse)
    GetIdentity: Final = Method("saga.v1.SagaOperatorService", "GetIdentity", operator_service_pb2.GetIdentityRequest, operator_service_pb2.GetIdentityResponse)

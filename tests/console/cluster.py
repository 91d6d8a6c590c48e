# ruff: noqa: N802  (methods have the names of the contract)
"""The stand-in's participants, nodes and definitions."""

import time
from collections.abc import Callable
from typing import Any

from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb

from tests.console.scenery import INVENTORY, PAYMENT, SHIPPING, stamp
from tests.fixtures.operator_service import OperatorStandIn


class ClusterStandIn(OperatorStandIn):
    """Three participants, three nodes of which one is dead, two definitions."""

    def __init__(self, sagas: int = 30, now: Callable[[], float] = time.time) -> None:
        super().__init__(sagas)
        self.now = now
        self.drained: dict[str, float] = {}
        self.hold_reason = ""

    async def ListParticipants(self, request: pb.ListParticipantsRequest, context: Any) -> pb.ListParticipantsResponse:
        now_s = self.now()
        rows = [
            op.ParticipantStatus(
                service=INVENTORY,
                breaker=op.BREAKER_STATE_CLOSED,
                in_flight=14,
                recent_calls=2210,
                error_rate=0.002,
                attention=1204,
                has_address=True,
                definitions=["place-order v1", "place-order v2"],
            ),
            op.ParticipantStatus(
                service=PAYMENT,
                breaker=op.BREAKER_STATE_OPEN,
                probe_time=stamp(now_s + 8),
                recent_calls=120,
                error_rate=0.97,
                attention=323,
                has_address=True,
                definitions=["place-order v2"],
            ),
            op.ParticipantStatus(service=SHIPPING, definitions=["place-order v2"]),
        ]
        for row in rows:
            if row.service in self.held:
                row.held, row.held_by, row.hold_reason = True, "local", self.hold_reason
                row.hold_time.CopyFrom(stamp(now_s - 3))
        return pb.ListParticipantsResponse(participants=rows)

    async def HoldParticipant(self, request: pb.HoldParticipantRequest, context: Any) -> pb.HoldParticipantResponse:
        self.held.add(request.service)
        self.hold_reason = request.reason
        return pb.HoldParticipantResponse()

    async def ReleaseParticipant(
        self, request: pb.ReleaseParticipantRequest, context: Any
    ) -> pb.ReleaseParticipantResponse:
        self.held.discard(request.service)
        return pb.ReleaseParticipantResponse()

    async def ListNodes(self, request: pb.ListNodesRequest, context: Any) -> pb.ListNodesResponse:
        now_s = self.now()
        nodes = [
            op.Node(
                node_id=f"0192f3a0-0000-7000-a000-00000000000{n}",
                name=f"node-{n}",
                alive=n < 3,
                sagas=240 * (3 - n),
                answering=n == 1,
                start_time=stamp(now_s - 90_000),
                lease_expire_time=stamp(now_s + (4 if n < 3 else -40)),
                definitions=["place-order v1", "place-order v2"],
            )
            for n in (1, 2, 3)
        ]
        for node in nodes:
            if node.node_id in self.drained:
                node.drain_time.CopyFrom(stamp(self.drained[node.node_id]))
        return pb.ListNodesResponse(nodes=nodes)

    async def DrainNode(self, request: pb.DrainNodeRequest, context: Any) -> pb.DrainNodeResponse:
        self.drained[request.node_id] = self.now()
        return pb.DrainNodeResponse()

    async def ListDefinitions(self, request: pb.ListDefinitionsRequest, context: Any) -> pb.ListDefinitionsResponse:
        registered = stamp(self.now() - 500_000)
        return pb.ListDefinitionsResponse(
            definitions=[
                op.DefinitionStatus(
                    name="place-order",
                    version=1,
                    digest="ab" * 32,
                    register_time=registered,
                    nodes=2,
                    safe_to_remove=True,
                    verdict="no live saga follows it",
                ),
                op.DefinitionStatus(
                    name="place-order",
                    version=2,
                    digest="9f2c" * 16,
                    register_time=registered,
                    running=412,
                    compensating=58,
                    stuck=1215,
                    nodes=2,
                    verdict="1,685 live sagas follow it",
                ),
            ]
        )

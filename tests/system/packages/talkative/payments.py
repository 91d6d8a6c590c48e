"""``python -m talkative.payments serve``: the first word of an order's customer says how its payment lets it out."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import grpc
import sqlalchemy as sa
from payment.v1 import payment_pb2 as pb
from payment.v1.payment_saga import PaymentService
from sqlalchemy.ext.asyncio import AsyncConnection

from participants.kit import Busy, Participant, Rejected, StepContext
from participants.kit.command import command_line

_tasks: set[asyncio.Task[None]] = set()


async def _pay(request: Any, db: AsyncConnection) -> None:
    said = f"{request.payment_method} of {request.customer_id} for {request.order_id}"
    match request.customer_id.partition(" ")[0]:
        case "quotes":
            metadata = {"method": request.payment_method}
            raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, "CARD_DECLINED", said, metadata=metadata)
        case "busy":
            raise Busy(0.2, "BUSY", said)
        case "reason":
            raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, f"no {request.customer_id}", "declined")
        case "raises":
            raise ValueError(said)
        case "queries":
            await db.execute(sa.text("SELECT CAST(CAST(:text AS text) AS integer)"), {"text": said})
        case "forgets":
            task = asyncio.create_task(_fail(said))
            await asyncio.wait([task])  # nobody looks at how it ended
            del task
            logging.getLogger(__name__).error("a library says so", exc_info=ValueError(said))


async def _fail(said: str) -> None:
    raise ValueError(said)


async def authorize(request: pb.AuthorizeRequest, _step: StepContext, db: AsyncConnection) -> pb.AuthorizeResponse:
    await _pay(request, db)
    return pb.AuthorizeResponse(payment_id="authorized")


async def charge(request: pb.ChargeRequest, _step: StepContext, db: AsyncConnection) -> pb.ChargeResponse:
    await _pay(request, db)
    return pb.ChargeResponse(payment_id="charged")


async def refund(request: pb.RefundRequest, _step: StepContext, _db: AsyncConnection) -> pb.RefundResponse:
    if "unrefundable" in request.order_id:
        raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, "TOO_LATE", f"no refund for {request.order_id}")
    return pb.RefundResponse(refund_id=f"refunded {datetime.now(UTC).isoformat()}")


async def void(_request: Any, _step: StepContext, _db: AsyncConnection) -> pb.VoidAuthorizationResponse:
    return pb.VoidAuthorizationResponse()


async def capture(_request: Any, _step: StepContext, _db: AsyncConnection) -> pb.CaptureResponse:
    return pb.CaptureResponse(capture_id="captured")


async def report(_request: Any, _db: AsyncConnection) -> pb.GetPaymentReportResponse:
    return pb.GetPaymentReportResponse()


def participant() -> Participant:
    bound = Participant("talkative")
    bound.action(PaymentService.Authorize, authorize)
    bound.compensation(PaymentService.VoidAuthorization, void)
    bound.action(PaymentService.Capture, capture)
    bound.action(PaymentService.Charge, charge)
    bound.compensation(PaymentService.Refund, refund)
    bound.query(PaymentService.GetPaymentReport, report)
    return bound


if __name__ == "__main__":
    command_line(participant())()

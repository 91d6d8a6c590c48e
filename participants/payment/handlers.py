"""What the payments do for each method of their contract."""

from datetime import timedelta
from typing import Final
from uuid import UUID, uuid5

import grpc
from commerce.v1.money_pb2 import Money
from payment.v1.payment_pb2 import (
    AuthorizeRequest,
    AuthorizeResponse,
    CaptureRequest,
    CaptureResponse,
    ChargeRequest,
    ChargeResponse,
    CurrencyTotals,
    GetPaymentReportRequest,
    GetPaymentReportResponse,
    RefundRequest,
    RefundResponse,
    VoidAuthorizationRequest,
    VoidAuthorizationResponse,
)
from payment.v1.payment_saga import PaymentService
from sqlalchemy.ext.asyncio import AsyncConnection

from participants.kit import Participant, Rejected, StepContext
from participants.payment import store
from participants.payment.rules import (
    Refusal,
    refusal_to_capture,
    refusal_to_charge,
    refusal_to_refund,
    refusal_to_void,
)

AUTHORIZATION_VALID_FOR: Final = timedelta(days=7)


def participant() -> Participant:
    """The payments, bound to their contract."""
    bound = Participant("payment")
    bound.action(PaymentService.Authorize, authorize)
    bound.compensation(PaymentService.VoidAuthorization, void_authorization)
    bound.action(PaymentService.Capture, capture)
    bound.action(PaymentService.Charge, charge)
    bound.compensation(PaymentService.Refund, refund)
    bound.query(PaymentService.GetPaymentReport, report)
    return bound


def _reject(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, refusal.reason, refusal.message)


def _new_payment(request: AuthorizeRequest | ChargeRequest, step: StepContext) -> store.NewPayment:
    """The payment to write. Raises ``Rejected`` if the network declines it."""
    _reject(refusal_to_charge(request.payment_method))
    return store.NewPayment(
        payment_id=step.effect_id,
        order_id=request.order_id,
        customer_id=request.customer_id,
        payment_method=request.payment_method,
        currency_code=request.amount.currency_code,
        amount_minor=request.amount.amount_minor,
    )


def _check_own(payment_id: str, step: StepContext) -> None:
    if payment_id not in ("", str(step.effect_id)):
        text = "the payment is not the one that this step made"
        raise Rejected(grpc.StatusCode.INVALID_ARGUMENT, "PAYMENT_MISMATCH", text)


async def authorize(request: AuthorizeRequest, step: StepContext, db: AsyncConnection) -> AuthorizeResponse:
    """Blocks an amount."""
    expires_at = await store.authorize(db, _new_payment(request, step), AUTHORIZATION_VALID_FOR)
    response = AuthorizeResponse(payment_id=str(step.effect_id))
    response.expire_time.FromDatetime(expires_at)
    return response


async def void_authorization(
    request: VoidAuthorizationRequest, step: StepContext, db: AsyncConnection
) -> VoidAuthorizationResponse:
    """Lets go of what Authorize blocked, unless it was captured."""
    _check_own(request.payment_id, step)
    payment = await store.lock(db, step.effect_id)
    assert payment is not None, "the barrier says that the payment was authorised"
    _reject(refusal_to_void(payment.state))
    await store.void(db, step.effect_id)
    return VoidAuthorizationResponse()


async def capture(request: CaptureRequest, step: StepContext, db: AsyncConnection) -> CaptureResponse:
    """Takes money that was authorised."""
    unknown = Rejected(grpc.StatusCode.NOT_FOUND, "UNKNOWN_PAYMENT", "this order has no payment of this id")
    try:
        payment_id = UUID(request.payment_id)
    except ValueError:
        raise unknown from None
    payment = await store.lock(db, payment_id)
    if payment is None or payment.order_id != request.order_id:
        raise unknown
    _reject(refusal_to_capture(payment, request.amount.currency_code, request.amount.amount_minor))
    await store.capture(db, payment_id, step.effect_id, request.amount.amount_minor)
    return CaptureResponse(capture_id=str(step.effect_id))


async def charge(request: ChargeRequest, step: StepContext, db: AsyncConnection) -> ChargeResponse:
    """Authorises and captures at once."""
    await store.charge(db, _new_payment(request, step))
    return ChargeResponse(payment_id=str(step.effect_id))


async def refund(request: RefundRequest, step: StepContext, db: AsyncConnection) -> RefundResponse:
    """Gives back what Charge took."""
    _check_own(request.payment_id, step)
    payment = await store.lock(db, step.effect_id)
    assert payment is not None, "the barrier says that the payment was charged"
    _reject(refusal_to_refund(payment.state))
    refund_id = uuid5(step.effect_id, "refund")
    currency_code, amount_minor = await store.refund(db, step.effect_id, refund_id)
    return RefundResponse(
        refund_id=str(refund_id), amount=Money(currency_code=currency_code, amount_minor=amount_minor)
    )


async def report(_request: GetPaymentReportRequest, db: AsyncConnection) -> GetPaymentReportResponse:
    """Counts what really happened."""
    counts = await store.counts(db)
    return GetPaymentReportResponse(
        totals=[
            CurrencyTotals(
                currency_code=row.currency_code,
                authorized_minor=int(row.authorized_minor),
                voided_minor=int(row.voided_minor),
                captured_minor=int(row.captured_minor),
                refunded_minor=int(row.refunded_minor),
            )
            for row in await store.totals(db)
        ],
        open_authorizations=counts.authorized,
        captured_payments=counts.captured,
        voided_payments=counts.voided,
        refunded_payments=counts.refunded,
    )

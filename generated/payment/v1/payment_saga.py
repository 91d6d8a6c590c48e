"""Typed method handles. Generated from payment/v1/payment.proto: do not edit."""

from typing import Final

from contracts.method import Method
from payment.v1 import payment_pb2


class PaymentService:
    """Methods of payment.v1.PaymentService."""

    Authorize: Final = Method("payment.v1.PaymentService", "Authorize", payment_pb2.AuthorizeRequest, payment_pb2.AuthorizeResponse)
    VoidAuthorization: Final = Method("payment.v1.PaymentService", "VoidAuthorization", payment_pb2.VoidAuthorizationRequest, payment_pb2.VoidAuthorizationResponse)
    Capture: Final = Method("payment.v1.PaymentService", "Capture", payment_pb2.CaptureRequest, payment_pb2.CaptureResponse)
    Charge: Final = Method("payment.v1.PaymentService", "Charge", payment_pb2.ChargeRequest, payment_pb2.ChargeResponse)
    Refund: Final = Method("payment.v1.PaymentService", "Refund", payment_pb2.RefundRequest, payment_pb2.RefundResponse)
    GetPaymentReport: Final = Method("payment.v1.PaymentService", "GetPaymentReport", payment_pb2.GetPaymentReportRequest, payment_pb2.GetPaymentReportResponse)

"""A digest survives comments, reformatting and newer Pythons, and changes with everything that a saga follows."""

import importlib.util
import itertools
import linecache
from pathlib import Path

import pytest

from orchestrator.definitions.errors import DefinitionErrors
from orchestrator.definitions.loading import load

BASE = '''
from grpc import StatusCode
from orchestrator.definitions import Outcome, RetryPolicy, Saga
from orders.v1.orders_pb2 import PlaceOrderRequest, PlaceOrderResponse
from inventory.v1.inventory_pb2 import ReserveRequest, ReserveResponse, ReleaseRequest
from inventory.v1.inventory_saga import InventoryService
from payment.v1.payment_pb2 import ChargeRequest, ChargeResponse, RefundRequest
from payment.v1.payment_saga import PaymentService

PREFIX = "wh-"

def shorten(text: str, *, width: int = 8) -> str:
    """Cut."""
    return text[:width]

saga = Saga(
    "trial", version=1, input=PlaceOrderRequest, output=PlaceOrderResponse, deadline_s=60,
    concurrency_key=lambda order: order.order_id,
)

@saga.step(InventoryService.Reserve, retry=RetryPolicy(max_attempts=3))
def reserve(order: PlaceOrderRequest) -> ReserveRequest:
    """Reserve."""
    label = f"{PREFIX}{order.warehouse_id!r:>{4}}" 'a' f"{order.customer_id=}{'x' if order.express else ''}"
    lines = [line.sku for line in order.lines if line.quantity > 1_0]
    return ReserveRequest(order_id=shorten(order.order_id), warehouse_id=label + "".join(lines))

@reserve.compensation
def release(order: PlaceOrderRequest, reserve: ReserveResponse | None) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id)

@saga.step(PaymentService.Charge, after=(reserve,))
def charge(order: PlaceOrderRequest) -> ChargeRequest:
    return ChargeRequest(order_id=order.order_id)

@charge.compensation
def refund(order: PlaceOrderRequest) -> RefundRequest:
    return RefundRequest(order_id=order.order_id)

@saga.result
def placed(charge: ChargeResponse) -> PlaceOrderResponse:
    return PlaceOrderResponse(payment_id=charge.payment_id)
'''

GOLDEN = "34a689e270e7d13e1ce538c3dc90db7ca495f0b1fde91fc5045ea5b4f1109b95"
"""The digest of :data:`BASE`, on every supported Python."""

numbers = itertools.count()


def digest(source: str, folder: Path) -> str:
    path = folder / f"sagas{next(numbers)}.py"
    path.write_text(source)
    linecache.checkcache()
    spec = importlib.util.spec_from_file_location(f"digest_trial_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return load(module.saga).digest.hex()


def changed(old: str, new: str) -> str:
    assert BASE.count(old) >= 1, old
    return BASE.replace(old, new, 1)


def test_the_digest_is_the_same_everywhere(tmp_path: Path) -> None:
    assert digest(BASE, tmp_path) == GOLDEN


@pytest.mark.parametrize(
    "source",
    [
        "# a comment\n\n\n" + BASE,
        changed('    """Reserve."""\n', ""),
        changed('    """Cut."""\n', "    # cuts\n"),
        changed('    """Reserve."""\n', '    """Reserve.\n\nat the margin"""  # comment\n'),
        changed("return ReserveRequest(order_id=", "return ReserveRequest(\n        order_id="),
        changed("(order_id=order.order_id)", "(\n        order_id=(order.order_id),\n    )"),
        changed("return text[:width]", "return (\n        text[  : width ]\n    )"),
        changed("'a'", '"a"'),
        changed("1_0", "10"),
        changed("deadline_s=60", "deadline_s=60.0"),
        changed("max_attempts=3", "max_attempts=3, multiplier=2"),
        changed("after=(reserve,)", 'after=("reserve",)'),
        changed("@reserve.compensation", "@(reserve).compensation"),
        BASE.replace("saga.", "it.").replace("saga = ", "it = saga = "),
        changed("def charge(order: PlaceOrderRequest)", 'def charge(order: "PlaceOrderRequest")'),
        changed("def shorten", "def unused() -> int:\n    return 3\n\ndef shorten"),
    ],
    ids=itertools.count(),
)
def test_what_does_not_matter_leaves_it(source: str, tmp_path: Path) -> None:
    assert source != BASE
    assert digest(source, tmp_path) == GOLDEN


@pytest.mark.parametrize(
    "source",
    [
        changed('"trial"', '"trials"'),
        changed("version=1", "version=2"),
        changed("deadline_s=60", "deadline_s=61"),
        changed("order.order_id,\n)", "order.customer_id,\n)"),
        changed("max_attempts=3", "max_attempts=4"),
        changed("retry=", "compensation_retry="),
        changed("after=(reserve,)", "after=()"),
        changed("after=(reserve,)", "after=(reserve,), timeout_s=3"),
        changed("after=(reserve,)", "after=(reserve,), compensation_timeout_s=3"),
        changed("after=(reserve,)", "after=(reserve,), reclassify={StatusCode.NOT_FOUND: Outcome.UNKNOWN}"),
        changed("after=(reserve,)", "after=(reserve,), compensation_reclassify={StatusCode.ABORTED: Outcome.UNKNOWN}"),
        changed('PREFIX = "wh-"', 'PREFIX = "WH-"'),
        changed("text[:width]", "text[width:]"),
        changed("width: int = 8", "width: int = 9"),
        changed("order.customer_id=", "order.warehouse_id="),
        changed("> 1_0", "> 11"),
        changed("return ReleaseRequest(order_id=order.order_id)", "return ReleaseRequest(order_id=order.customer_id)"),
        changed("return RefundRequest(order_id=order.order_id)", "return RefundRequest()"),
        changed("payment_id=charge.payment_id", "tracking_number=charge.payment_id"),
        changed("refund(order: PlaceOrderRequest)", "refund(order: PlaceOrderRequest, charge: ChargeResponse | None)"),
        BASE.replace("def charge(", "def pay(").replace("charge.", "pay.").replace("(charge:", "(pay:"),
    ],
    ids=itertools.count(),
)
def test_what_a_saga_follows_changes_it(source: str, tmp_path: Path) -> None:
    assert source != BASE
    assert digest(source, tmp_path) != GOLDEN


def test_every_policy_of_a_step_is_covered(tmp_path: Path) -> None:
    policies = ["initial_backoff_s=0.1", "multiplier=3", "max_backoff_s=31", "max_attempts=11", "budget_s=301"]
    digests = {digest(changed("max_attempts=3", policy), tmp_path) for policy in policies}
    assert len(digests) == len(policies)


def test_two_lambdas_on_a_line_are_refused(tmp_path: Path) -> None:
    source = changed("concurrency_key=lambda order:", "concurrency_key=(lambda: 0) and (lambda order:")
    with pytest.raises(DefinitionErrors, match="2 functions start on line"):
        digest(source.replace("order.order_id,\n)", "order.order_id),\n)", 1), tmp_path)


def test_code_without_source_is_refused() -> None:
    scope: dict[str, object] = {}
    exec(compile(BASE, "<nowhere>", "exec"), scope)
    with pytest.raises(DefinitionErrors, match=r"the source of .* cannot be read"):
        load(scope["saga"])  # type: ignore[arg-type]  # it is a Saga

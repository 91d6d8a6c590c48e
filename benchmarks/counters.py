"""What a run costs and what it really did: CPU by process group, PostgreSQL's counters, the participants' counts."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import psutil
from inventory.v1.inventory_pb2 import GetInventoryReportRequest
from inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from payment.v1.payment_pb2 import GetPaymentReportRequest
from payment.v1.payment_pb2_grpc import PaymentServiceStub
from shipping.v1.shipping_pb2 import GetShippingReportRequest
from shipping.v1.shipping_pb2_grpc import ShippingServiceStub

from benchmarks.bench import Bench
from benchmarks.contenders import Running

REPORT_TIMEOUT_S: Final = 30.0

_POSTGRES: Final = """
    SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 AS wal_bytes,
        (SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal')::float8 AS fsyncs,
        (SELECT sum(xact_commit) FROM pg_stat_database WHERE datname <> current_database())::float8 AS commits
"""
# Backends hand their commits and fsyncs over once a second at most: over five seconds these are true to a fifth, and
# truer in the sum of the repeats. The position in the WAL is exact.


@dataclass(frozen=True, slots=True)
class Usage:
    """Counters that only rise, as they stood at one moment. CPU in seconds."""

    taken_at: float
    server_cpu_s: float
    """Of the node, or of the peer's server."""
    worker_cpu_s: float
    """Of the peer's worker, where it has one beside its server."""
    postgres_cpu_s: float
    participants_cpu_s: float
    machine_cpu_s: float
    """Of every process on the machine, and of its kernel."""
    wal_bytes: float
    fsyncs: float
    commits: float

    def __sub__(self, earlier: "Usage") -> "Usage":
        """What rose since; ``taken_at`` is then the time between, in seconds."""
        return Usage(*(getattr(self, name) - getattr(earlier, name) for name in Usage.__slots__))

    def __add__(self, other: "Usage") -> "Usage":
        """The sum of two differences."""
        return Usage(*(getattr(self, name) + getattr(other, name) for name in Usage.__slots__))


@dataclass(frozen=True, slots=True)
class Effects:
    """What the participants say really happened."""

    reserved: int
    """Held or confirmed."""
    released: int
    captured: int
    refunded: int
    booked: int
    """Booked or handed over."""
    cancelled: int

    def __sub__(self, earlier: "Effects") -> "Effects":
        """What happened since."""
        return Effects(*(getattr(self, name) - getattr(earlier, name) for name in Effects.__slots__))

    @classmethod
    def of(cls, completed: int, refused: int) -> "Effects":
        """What so many sagas must have done: a refused one held stock and money for a while, and booked nothing."""
        return cls(completed, refused, completed, refused, completed, 0)


async def usage(bench: Bench, running: Running) -> Usage:
    """The counters now. PostgreSQL is one server for all contenders; they are measured one at a time."""
    row = await bench.connection.fetchrow(_POSTGRES)
    assert row is not None
    return Usage(
        taken_at=time.perf_counter(),
        server_cpu_s=_cpu_s(running.server.pids),
        worker_cpu_s=_cpu_s(running.server.worker_pids),
        postgres_cpu_s=_tree_cpu_s(bench.postgres.pid),
        participants_cpu_s=_cpu_s(running.participant_pids),
        machine_cpu_s=_machine_cpu_s(),
        wal_bytes=row["wal_bytes"],
        fsyncs=row["fsyncs"],
        commits=row["commits"],
    )


async def effects(channels: Mapping[str, grpc.aio.Channel]) -> Effects:
    """Asks the participants. ``channels``: by full name of service."""
    inventory = InventoryServiceStub(channels["inventory.v1.InventoryService"])
    payment = PaymentServiceStub(channels["payment.v1.PaymentService"])
    shipping = ShippingServiceStub(channels["shipping.v1.ShippingService"])
    stock = await inventory.GetInventoryReport(GetInventoryReportRequest(), timeout=REPORT_TIMEOUT_S)
    money = await payment.GetPaymentReport(GetPaymentReportRequest(), timeout=REPORT_TIMEOUT_S)
    parcels = await shipping.GetShippingReport(GetShippingReportRequest(), timeout=REPORT_TIMEOUT_S)
    return Effects(
        reserved=stock.held_reservations + stock.confirmed_reservations,
        released=stock.released_reservations,
        captured=money.captured_payments,
        refunded=money.refunded_payments,
        booked=parcels.booked_shipments + parcels.handed_over_shipments,
        cancelled=parcels.cancelled_shipments,
    )


def _cpu_s(pids: Iterable[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(one.user + one.system for one in times)


def _tree_cpu_s(pid: int) -> float:
    """CPU of a server and its children, those that ended included."""
    parent = psutil.Process(pid)
    own: Any = parent.cpu_times()
    total: float = own.user + own.system + own.children_user + own.children_system
    for child in parent.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it has ended: the next sample finds it in its parent's account
        total += times.user + times.system
    return total


def _machine_cpu_s() -> float:
    times: Any = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))

"""The judge: reads databases and what callers were told, and shares no code with what it judges.

It knows the tables, the numbers of their states, the graphs of the sagas and the protobuf contracts, and nothing of the
program. Everything is read past every proxy, after the faults have healed. Each line that it returns is a violation
and begins with the invariant's name.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from orders.v1.orders_pb2 import PlaceOrderRequest
from saga.v1 import event_pb2 as journal

from tests.chaos.load import Told
from tests.chaos.world import World

RUNNING, COMPLETED, COMPENSATING, COMPENSATED, STUCK, RESOLVED = 2, 3, 4, 5, 6, 7
LIVE: Final = {1, RUNNING, COMPENSATING}
TERMINAL: Final = {COMPLETED, COMPENSATED, RESOLVED}
DONE, REJECTED, TOMBSTONE, UNDONE = 1, 2, 3, 4
NAMES: Final = {
    1: "PENDING",
    2: "RUNNING",
    3: "COMPLETED",
    4: "COMPENSATING",
    5: "COMPENSATED",
    6: "STUCK",
    7: "RESOLVED",
}

Graph = Mapping[str, tuple[str, tuple[str, ...]]]
"""Step to (participant, predecessors)."""

_LINEAR: Final[Graph] = {
    "reserve": ("inventory", ()),
    "charge": ("payment", ("reserve",)),
    "ship": ("shipping", ("charge",)),
}

_SHORT: Final[Graph] = {step: _LINEAR[step] for step in ("reserve", "charge")}


def _forked(ship: str) -> Graph:
    return {
        "reserve": ("inventory", ()),
        "authorize": ("payment", ()),
        ship: ("shipping", ("reserve", "authorize")),
        "capture": ("payment", (ship,)),
        "confirm_reservation": ("inventory", ("capture",)),
        "notify_carrier": ("shipping", ("capture",)),
    }


GRAPHS: Final[Mapping[tuple[str, int], Graph]] = {
    ("place-order", 1): _LINEAR,
    ("brisk-order", 1): _LINEAR,
    ("fragile-order", 1): _LINEAR,
    ("place-order", 2): _forked("create_shipment"),
    ("brisk-order", 2): _forked("ship"),
    ("fragile-order", 2): _forked("ship"),
    ("short-order", 1): _SHORT,
    ("later-order", 1): _SHORT,
}
ATTRIBUTES: Final = {
    number: getattr(journal, "".join(word.title() for word in name.removeprefix("EVENT_TYPE_").split("_")))
    for name, number in journal.EventType.items()
    if number
}
STARTED, CLAIMED, INTENDED, SUCCEEDED, TURNED, UNDID = 1, 2, 3, 6, 9, 10
ENDS: Final = {11: COMPLETED, 12: COMPENSATED, 13: STUCK}


@dataclass
class Saga:
    """One row with all that is known of it."""

    row: Any
    order: PlaceOrderRequest
    graph: Graph
    events: list[Any] = field(default_factory=list)
    barrier: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    """Of the barrier's rows, by step, one for each transaction."""

    @property
    def name(self) -> str:
        return f"saga {self.row['saga_id']} ({self.row['name']} v{self.row['version']}, {NAMES[self.row['state']]})"


@dataclass
class Verdict:
    """What a check came to."""

    violations: list[str]
    ends: Counter[str]
    checked: Counter[str]


async def check(world: World, told: Told, *, expect_live: bool = False) -> Verdict:
    """All that can be read. Sagas must be quiet, or ``expect_live`` says that I8 is not the question."""
    sagas = await _read(world)
    orders = {each.order.order_id: each for each in sagas}
    violations: list[str] = list(told.wrong)
    checked: Counter[str] = Counter()
    for rule in (_ends, _undo_order, _barrier_history, _write_ahead, _journal):
        for each in sagas:
            violations += rule(each)
            checked[rule.__name__.strip("_")] += 1
    violations += await _store_history(world)
    violations += await _conservation(world, orders, checked)
    violations += _acknowledged(sagas, told, checked)
    if not expect_live:
        violations += [f"I8: {each.name} is still live" for each in sagas if each.row["state"] in LIVE]
    ends = Counter(NAMES[each.row["state"]] for each in sagas)
    return Verdict(violations, ends, checked)


async def count_live(world: World) -> int:
    """Sagas under way."""
    return int((await world.sql("orchestrator", "SELECT count(*) FROM saga WHERE state IN (1, 2, 4)"))[0][0])


async def _read(world: World) -> list[Saga]:
    rows = await world.sql(
        "orchestrator", "SELECT s.*, d.name, d.version FROM saga s JOIN definition d USING (definition_id)"
    )
    sagas = {}
    for row in rows:
        graph = GRAPHS[row["name"], row["version"]]
        sagas[row["saga_id"]] = Saga(row, PlaceOrderRequest.FromString(row["input"]), graph)
    for event in await world.sql(
        "orchestrator",
        "SELECT e.saga_id, e.seq, e.kind, e.epoch, e.attributes, a.at FROM saga_event e"
        " LEFT JOIN audit_event a USING (saga_id, seq) ORDER BY e.saga_id, e.seq",
    ):
        sagas[event["saga_id"]].events.append(event)
    for name in ("inventory", "payment", "shipping"):
        for row in await world.sql(name, "SELECT * FROM saga_barrier"):
            if row["saga_id"] in sagas:
                sagas[row["saga_id"]].barrier[row["step"]] = row
        # The last change that a transaction made to a row is what others saw of it; its first says when it began.
        for change in await world.sql(
            name,
            "SELECT saga_id, step, (array_agg(state ORDER BY number DESC))[1] AS state, max(epoch) AS epoch,"
            " min(at) AS began, max(at) AS at, min(number) AS number FROM audit_barrier"
            " GROUP BY saga_id, step, txid ORDER BY min(number)",
        ):
            if change["saga_id"] in sagas:
                sagas[change["saga_id"]].changes[change["step"]].append(change)
    return list(sagas.values())


def _ends(saga: Saga) -> Iterable[str]:
    """I1, I3: what the participants' barriers hold is what the end says."""
    states = {step: saga.barrier[step]["state"] for step in saga.graph if step in saga.barrier}
    if saga.row["state"] == COMPLETED and states != dict.fromkeys(saga.graph, DONE):
        yield f"I1: {saga.name} says that all is done, the barriers say {states}"
    if saga.row["state"] == COMPENSATED and DONE in states.values():
        yield f"I3: {saga.name} says that all is undone, the barriers say {states}"


def _undo_order(saga: Saga) -> Iterable[str]:
    """I3: a step is undone only after every step that came after it."""
    undone = {
        step: min(change["at"] for change in changes if change["state"] in (UNDONE, TOMBSTONE))
        for step, changes in saga.changes.items()
        if any(change["state"] in (UNDONE, TOMBSTONE) for change in changes)
    }
    seqs = {_read_step(event): event["seq"] for event in saga.events if event["kind"] == UNDID}
    for step, (_, before) in saga.graph.items():
        for earlier in before:
            if step in undone and earlier in undone and undone[earlier] < undone[step]:
                yield f"I3: {saga.name}: {earlier} was undone before {step}"
            if seqs.get(earlier, 1 << 31) < seqs.get(step, 0):
                yield f"I3: {saga.name}: the journal undoes {earlier} before {step}"


def _barrier_history(saga: Saga) -> Iterable[str]:
    """I2, I4, I5: at most one effect, none after its undo, epochs only rise."""
    for step, changes in saga.changes.items():
        states = [change["state"] for change in changes]
        effects = sum(now == DONE and before != DONE for before, now in pairwise([0, *states]))
        if effects > 1:
            yield f"I2: {saga.name}: {step} took effect {effects} times: {states}"
        for before, now in pairwise(changes):
            if before["state"] in (TOMBSTONE, UNDONE) and now["state"] != before["state"]:
                yield f"I4: {saga.name}: {step} went from {before['state']} to {now['state']} after its undo"
            if now["epoch"] < before["epoch"]:
                yield f"I5: {saga.name}: {step} was called under epoch {now['epoch']} after {before['epoch']}"


def _write_ahead(saga: Saga) -> Iterable[str]:
    """A result is durable before anything that depends on it begins; so is turning around before the first undo."""
    stored = {(event["kind"], _read_step(event)): event["at"] for event in reversed(saga.events) if event["at"]}
    turned = min((event["at"] for event in saga.events if event["kind"] == TURNED and event["at"]), default=None)
    for step, (_, before) in saga.graph.items():
        for change in saga.changes.get(step, ())[:1]:
            for earlier in before if change["state"] in (DONE, REJECTED) else ():
                at = stored.get((SUCCEEDED, earlier))
                if at is None or change["began"] < at:
                    yield f"write-ahead: {saga.name}: {step} began before the success of {earlier} was stored"
            if (
                step == "capture"
                and change["state"] == DONE
                and stored.get((INTENDED, step), change["at"]) >= change["at"]
            ):
                yield f"write-ahead: {saga.name}: the pivot began before its intent was stored"
        for change in saga.changes.get(step, ()):
            if change["state"] == UNDONE and (turned is None or change["began"] < turned):
                yield f"write-ahead: {saga.name}: {step} was undone before turning around was stored"


def _journal(saga: Saga) -> Iterable[str]:
    """I5, I9: seqs without gaps, epochs that rise with claims alone, and a row that the journal explains."""
    row, events = saga.row, saga.events
    if [event["seq"] for event in events] != list(range(1, row["last_seq"] + 1)):
        yield f"I9: {saga.name}: the journal's seqs are not 1 to {row['last_seq']}"
        return
    for before, now in pairwise(events):
        if now["epoch"] < before["epoch"]:
            yield f"I5: {saga.name}: the epoch falls at seq {now['seq']}"
        if (now["epoch"] != before["epoch"]) != (now["kind"] == CLAIMED):
            yield f"I5: {saga.name}: the epoch does not change with the claim at seq {now['seq']}"
    yield from _explained(saga)


def _explained(saga: Saga) -> Iterable[str]:
    """I6, I9: replaying the journal yields the row, and nothing follows the end."""
    row, events = saga.row, saga.events
    state, failed = 0, None
    for event in events:
        if state in TERMINAL:
            yield f"I6: {saga.name}: seq {event['seq']} comes after the end"
        if event["kind"] == STARTED:
            state = RUNNING
        elif event["kind"] == TURNED:
            state = COMPENSATING
            failed = journal.CompensationStarted.FromString(event["attributes"]).failed_step or None
        elif event["kind"] in ENDS:
            state = ENDS[event["kind"]]
    if events and (state, events[-1]["epoch"]) != (row["state"], row["epoch"]):
        yield f"I9: {saga.name}: the journal says state {NAMES.get(state)} and epoch {events[-1]['epoch']}"
    if row["state"] in (COMPENSATING, COMPENSATED) and failed != row["failed_step"]:
        yield f"I9: {saga.name}: the journal says that {failed} failed, the row {row['failed_step']}"
    if row["state"] == COMPLETED:
        succeeded = {_read_step(event) for event in events if event["kind"] == SUCCEEDED}
        if succeeded != set(saga.graph):
            yield f"I9: {saga.name}: only {sorted(succeeded)} succeeded"


def _read_step(event: Any) -> str:
    message = ATTRIBUTES[event["kind"]].FromString(event["attributes"])
    return str(getattr(message, "step", ""))


async def _store_history(world: World) -> list[str]:
    """I5, I6: by the triggers' own record of every change of a saga's row."""
    fenced = await world.sql(
        "orchestrator", "SELECT saga_id, last_seq FROM audit_saga WHERE writer_fenced ORDER BY number"
    )
    fallen = await world.sql(
        "orchestrator",
        "SELECT saga_id, epoch, before FROM ("
        "SELECT saga_id, epoch, lag(epoch) OVER (PARTITION BY saga_id ORDER BY number) AS before FROM audit_saga"
        ") a WHERE epoch < before",
    )
    after = await world.sql("orchestrator", "SELECT saga_id FROM audit_saga WHERE state_before IN (3, 5, 7)")
    return [
        *(f"I5: saga {row['saga_id']}: seq {row['last_seq']} was written by a fenced node" for row in fenced),
        *(f"I5: saga {row['saga_id']}: its epoch fell from {row['before']} to {row['epoch']}" for row in fallen),
        *(f"I6: saga {row['saga_id']} changed after it had ended" for row in after),
    ]


@dataclass
class Records:
    """What the participants keep: states of each order's records by kind, and money kept in minor units."""

    states: dict[str, dict[str, list[int]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    kept: Counter[str] = field(default_factory=Counter)


async def _conservation(world: World, orders: Mapping[str, Saga], checked: Counter[str]) -> list[str]:
    """I1, I2: every record of the participants belongs to one saga and is what the end of it says."""
    records = Records()
    found = await _stock(world, records, checked)
    for row in await world.sql(
        "payment", "SELECT order_id, state, captured_minor - refunded_minor AS kept FROM payment"
    ):
        records.states["payment"][row["order_id"]].append(row["state"])
        records.kept[row["order_id"]] += row["kept"]
    for row in await world.sql("shipping", "SELECT order_id, state FROM shipment"):
        records.states["shipment"][row["order_id"]].append(row["state"])
    for kind, by_order in records.states.items():
        for order_id, states in by_order.items():
            checked[kind] += 1
            if len(states) > 1:
                found.append(f"I2: order {order_id} has {len(states)} records of kind {kind}")
            if order_id not in orders:
                found.append(f"I7: order {order_id} has a {kind} and no saga")
    for order_id, saga in orders.items():
        if saga.row["state"] in (COMPLETED, COMPENSATED):
            found += _left(order_id, saga, records)
    return found


async def _stock(world: World, records: Records, checked: Counter[str]) -> list[str]:
    """I1: received is on hand, reserved and shipped, and these are what the reservations say."""
    found = []
    held: Counter[str] = Counter()
    shipped: Counter[str] = Counter()
    for row in await world.sql(
        "inventory",
        "SELECT r.order_id, r.state, l.sku, l.quantity, l.held"
        " FROM reservation r JOIN reservation_line l USING (reservation_id)",
    ):
        records.states["reservation"][row["order_id"]].append(row["state"])
        held[row["sku"]] += row["quantity"] if row["held"] else 0
        shipped[row["sku"]] += row["quantity"] if row["state"] == 3 else 0
    for row in await world.sql("inventory", "SELECT * FROM stock"):
        checked["stock"] += 1
        if row["received"] != row["on_hand"] + row["reserved"] + row["shipped"]:
            found.append(f"I1: stock of {row['sku']} does not add up")
        if (row["reserved"], row["shipped"]) != (held[row["sku"]], shipped[row["sku"]]):
            found.append(
                f"I1: {row['sku']}: stock has {row['reserved']} reserved, {row['shipped']} shipped, orders not"
            )
    return found


def _left(order_id: str, saga: Saga, records: Records) -> Iterable[str]:
    got = {kind: (records.states[kind][order_id] or [0])[0] for kind in ("reservation", "payment", "shipment")}
    wanted = _wanted(saga)
    wrong = {kind: value for kind, value in got.items() if value not in wanted[kind]}
    if wrong:
        yield f"I1: {saga.name} leaves {wrong}"
    due = saga.order.total.amount_minor if saga.row["state"] == COMPLETED else 0
    if records.kept[order_id] != due:
        yield f"I1: {saga.name}: {records.kept[order_id]} minor units were kept, {due} are due"


def _wanted(saga: Saga) -> dict[str, set[int]]:
    """The states in which the records of an ended saga may be; 0 is no record."""
    if saga.row["state"] == COMPENSATED:
        return {"reservation": {0, 2}, "payment": {0, 3, 4}, "shipment": {0, 2}}
    second = "capture" in saga.graph
    ships = any(participant == "shipping" for participant, _ in saga.graph.values())
    return {
        "reservation": {3} if second else {1},
        "payment": {2},
        "shipment": ({3} if second else {1}) if ships else {0},
    }


def _acknowledged(sagas: Iterable[Saga], told: Told, checked: Counter[str]) -> list[str]:
    """I7: what was acknowledged is there, and one request is one saga."""
    stored: dict[str, str] = {}
    found = []
    for saga in sagas:
        request_id = saga.row["request_id"]
        if request_id in stored:
            found.append(f"I7: request {request_id} has two sagas")
        stored[request_id] = str(saga.row["saga_id"])
    for request_id, saga_id in told.acknowledged.items():
        checked["acknowledged"] += 1
        if stored.get(request_id) != saga_id:
            found.append(f"I7: request {request_id} was acknowledged as {saga_id}, stored is {stored.get(request_id)}")
    return found

"""What a demonstration came to: the checks of the sagas themselves, and the tables that are printed."""

from collections import Counter

from rich.console import Console
from rich.table import Table
from saga.v1.saga_pb2 import SAGA_STATE_COMPENSATED, SAGA_STATE_COMPLETED, Saga, SagaState

from orchestrator.local.conservation import Sum
from orchestrator.local.customer import Outcome

EPOCH_COUNTER = 0xFFFFFFFF
"""The low half of an epoch counts a saga's claims; the first is its start."""


def saga_sums(outcomes: list[Outcome], sagas: list[Saga], *, orders: int, killed: bool) -> list[Sum]:
    """What must hold of the sagas themselves, and proof that the run was no walk in the park (I7, I8, I10)."""
    states = Counter(saga.state for saga in sagas)
    ends = {outcome.saga_id: outcome.state for outcome in outcomes}
    taken_over = count_taken_over(sagas)
    return [
        Sum("orders that have ended", orders, len(outcomes)),
        Sum("sagas in the store", orders, len(sagas)),
        Sum("sagas stored otherwise than answered", 0, sum(ends.get(saga.saga_id) != saga.state for saga in sagas)),
        Sum("sagas under way or stuck", 0, len(sagas) - states[SAGA_STATE_COMPLETED] - states[SAGA_STATE_COMPENSATED]),
        Sum(
            "both completed and compensated",
            1,
            int(all(states[s] for s in (SAGA_STATE_COMPLETED, SAGA_STATE_COMPENSATED))),
        ),
        Sum("a node was killed and its sagas taken over", 1, int(killed and taken_over > 0)),
    ]


def outcome_table(outcomes: list[Outcome]) -> Table:
    """What became of the orders, by end and reason, and by definition."""
    table = Table(title="What became of the orders", title_justify="left")
    for heading in ("end", "failed step", "reason"):
        table.add_column(heading)
    definitions = sorted({outcome.order.follows for outcome in outcomes})
    for definition in definitions:
        table.add_column(definition, justify="right")
    rows: dict[tuple[str, str, str], Counter[str]] = {("completed", "", ""): Counter()}
    for outcome in sorted(outcomes, key=lambda each: (each.failed_step, each.reason)):
        key = (SagaState.Name(outcome.state).removeprefix("SAGA_STATE_").lower(), outcome.failed_step, outcome.reason)
        rows.setdefault(key, Counter())[outcome.order.follows] += 1
    rows.setdefault(("stuck", "", ""), Counter())
    for (end, step, reason), counts in rows.items():
        table.add_row(end, step, reason, *(str(counts[definition]) for definition in definitions))
    return table


def takeover_caption(outcomes: list[Outcome], sagas: list[Saga]) -> str:
    """What the orders felt of a node's death."""
    asked_again = sum(outcome.calls > 1 for outcome in outcomes)
    slowest_s = max((outcome.latency_s for outcome in outcomes), default=0.0)
    return (
        f"{count_taken_over(sagas)} sagas taken over by the surviving node, {asked_again} orders asked for again "
        f"under the same request_id, slowest order {slowest_s:.1f} s"
    )


def print_verdict(console: Console, checked: list[Sum], took_s: float) -> bool:
    """Prints every number; True if all are right."""
    console.print(sum_table(checked))
    wrong = [each for each in checked if not each.holds]
    verdict = f"[bold red]{len(wrong)} sums are wrong[/]" if wrong else "[bold green]Everything is accounted for[/]"
    console.print(f"{verdict}, {took_s:.1f} s after the start.")
    return not wrong


def sum_table(checked: list[Sum]) -> Table:
    """Each number that must be right, and whether it is."""
    table = Table(title="What must hold", title_justify="left")
    table.add_column("sum")
    table.add_column("expected", justify="right")
    table.add_column("counted", justify="right")
    table.add_column("")
    for each in checked:
        table.add_row(
            each.name, f"{each.expected}", f"{each.counted}", "[green]ok[/]" if each.holds else "[bold red]WRONG[/]"
        )
    return table


def count_taken_over(sagas: list[Saga]) -> int:
    """Sagas that a second node claimed."""
    return sum(saga.epoch & EPOCH_COUNTER > 1 for saga in sagas)

"""What somebody may see, as conditions and as ways to the rows.

A placeholder of tenants stands for :func:`tenants_of`, and one of the caller for ``Visibility.caller``; null is
everybody's. The conditions are planned for the values at hand, so that they cost nothing where nothing is hidden.
"""

from collections.abc import Sequence
from typing import Final

from orchestrator.engine.stored import Visibility

MAX_BRANCHES: Final = 16
"""Tenants whose rows are walked side by side. Who sees more of them walks over everybody's."""


def tenants_of(visibility: Visibility) -> list[str] | None:
    """The argument for the tenants that somebody sees; None: all."""
    return None if visibility.tenants is None else sorted(set(visibility.tenants))


def visible(tenants: str, caller: str, row: str = "s") -> str:
    """The condition on a row with a tenant and a caller."""
    return f"({tenants}::text[] IS NULL OR {row}.tenant = ANY ({tenants})) AND {of_caller(caller, row)}"


def visible_bulk(tenants: str, caller: str, row: str = "b") -> str:
    """As :func:`visible`, for a bulk: nobody sees one whose members may be a tenant's whom they do not see."""
    return f"({tenants}::text[] IS NULL OR {row}.tenants <@ {tenants}) AND {of_caller(caller, row)}"


def of_caller(caller: str, row: str = "s") -> str:
    """The part of these conditions that concerns the caller."""
    return f"({caller}::text IS NULL OR {row}.caller = {caller})"


def passes_all(visibility: Visibility) -> bool:
    """Whether a walk over the newest rows passes everybody's: the tenants' indexes leave out the rows without one."""
    tenants = tenants_of(visibility)
    return tenants is None or "" in tenants or len(tenants) > MAX_BRANCHES


def walks(visibility: Visibility, tenants: str, row: str = "s") -> list[str]:
    """Conditions for :func:`newest`, one for each walk: a row that somebody sees, the caller aside, meets just one.

    saga_tenant, saga_tenant_undone or operator_audit_tenant, backwards for each tenant, unless :func:`passes_all`.
    """
    if passes_all(visibility):
        return [f"({tenants}::text[] IS NULL OR {row}.tenant = ANY ({tenants}))"]
    found = [
        f"{row}.tenant = ({tenants}::text[])[{number}] AND {row}.tenant <> ''"
        for number in range(1, len(tenants_of(visibility) or ()) + 1)
    ]
    return found or [f"false AND {row}.tenant = ANY ({tenants}::text[])"]


def newest(rows: str, key: str, conditions: str, limit: str, walked: Sequence[str]) -> str:
    """The newest ``rows`` (columns FROM tables) by ``key`` that meet the conditions and those of a walk, newest first.

    Each walk has the limit too, or the planner would read the whole of it and sort.
    """
    selects = [f"SELECT {rows} WHERE {walk} AND {conditions} ORDER BY {key} DESC LIMIT {limit}" for walk in walked]
    if len(selects) == 1:
        return selects[0]
    merged = " UNION ALL ".join(f"({each})" for each in selects)
    return f"SELECT * FROM ({merged}) AS merged ORDER BY {key.rpartition('.')[2]} DESC LIMIT {limit}"  # noqa: S608  (as above)

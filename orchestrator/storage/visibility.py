"""What somebody may see, as conditions and as ways to the rows."""

from typing import Final

from orchestrator.engine.ports import Visibility

MAX_BRANCHES: Final = 16
"""Tenants whose rows are walked side by side. Who sees more of them sees most, and walks over all rows."""


def tenants_of(visibility: Visibility) -> list[str] | None:
    """The argument for the tenants that somebody sees; None: all."""
    return None if visibility.tenants is None else sorted(set(visibility.tenants))


def visible(tenants: str, caller: str, row: str = "s") -> str:
    """The condition on a row with a tenant and a caller, given the placeholders of the tenants and of the caller.

    Null is everybody's. Planned for the values at hand, so that it costs nothing where nothing is hidden.
    """
    return f"""
        ({tenants}::text[] IS NULL OR {row}.tenant = ANY ({tenants}))
        AND ({caller}::text IS NULL OR {row}.caller = {caller})
    """


def visible_bulk(tenants: str, caller: str, row: str = "b") -> str:
    """As :func:`visible`, for a bulk: nobody sees one whose members may be a tenant's whom they do not see."""
    return f"""
        ({tenants}::text[] IS NULL OR {row}.tenants <@ {tenants})
        AND ({caller}::text IS NULL OR {row}.caller = {caller})
    """


def walk(visibility: Visibility, tenants: str, table: str = "saga") -> str:
    """What a walk over the newest rows of a table passes, given the placeholder of the tenants.

    saga_tenant, saga_tenant_undone or operator_audit_tenant, backwards for each tenant and merged. Who sees the rows
    without a tenant, which are in none of these, passes all: the condition :func:`visible` is needed beside it.
    """
    known = tenants_of(visibility)
    if known is None or "" in known or len(known) > MAX_BRANCHES:
        return table
    branches = [
        f"SELECT * FROM {table} WHERE tenant = ({tenants}::text[])[{number}] AND tenant <> ''"  # noqa: S608  (names of this program's own)
        for number in range(1, len(known) + 1)
    ]
    return f"({' UNION ALL '.join(branches or [f'SELECT * FROM {table} WHERE false'])})"  # noqa: S608  (as above)

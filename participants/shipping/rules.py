"""Who carries a parcel where. Pure: no database, no clock."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Region:
    """A country that a carrier serves. ``prefix`` begins its tracking numbers."""

    carrier: str
    prefix: str
    postal_code: re.Pattern[str]
    express: bool = True


def _region(carrier: str, prefix: str, postal_code: str, *, express: bool = True) -> Region:
    return Region(carrier, prefix, re.compile(postal_code, re.ASCII), express)


REGIONS: Final = {
    "AT": _region("Österreichische Post", "AT", r"[1-9]\d{3}"),
    "BE": _region("bpost", "BE", r"[1-9]\d{3}"),
    "CH": _region("Swiss Post", "CH", r"[1-9]\d{3}"),
    "CZ": _region("Balíkovna", "CZ", r"[1-7]\d{2} ?\d{2}", express=False),
    "DE": _region("DHL", "DE", r"\d{5}"),
    "DK": _region("PostNord", "DK", r"\d{4}"),
    "ES": _region("Correos", "ES", r"(0[1-9]|[1-4]\d|5[0-2])\d{3}"),
    "FR": _region("Colissimo", "FR", r"\d{5}"),
    "GB": _region("Royal Mail", "GB", r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}"),
    "IE": _region("An Post", "IE", r"[A-Z]\d[\dW] ?[A-Z\d]{4}", express=False),
    "IT": _region("Poste Italiane", "IT", r"\d{5}"),
    "NL": _region("PostNL", "NL", r"[1-9]\d{3} ?[A-Z]{2}"),
    "PL": _region("Poczta Polska", "PL", r"\d{2}-\d{3}"),
    "SE": _region("PostNord", "SE", r"\d{3} ?\d{2}"),
    "US": _region("UPS", "1Z", r"\d{5}(-\d{4})?"),
}
"""The served countries by ISO 3166-1 code, with their postal codes as they are written there."""

_POST_BOX: Final = re.compile(
    r"\b(p\.? ?o\.? ?box|post(al)? office box|postfach|packstation|postbus|boîte postale|apartado|bp \d+)\b",
    re.IGNORECASE,
)


def undeliverable(region_code: str, postal_code: str, address_lines: Sequence[str], *, express: bool) -> str | None:
    """Why no carrier takes a parcel there, without quoting the address; None if one does."""
    region = REGIONS.get(region_code)
    if region is None:
        return f"no carrier serves {region_code}"
    if not region.postal_code.fullmatch(postal_code.strip().upper()):
        return f"the postal code is none of {region_code}"
    if express and not region.express:
        return f"{region.carrier} has no express service to {region_code}"
    if express and any(_POST_BOX.search(line) for line in address_lines):
        return "express parcels are not delivered to post boxes"
    return None


def tracking_number(region_code: str, shipment_id: UUID) -> str:
    """The carrier's number: its prefix, 18 digits drawn from the shipment's id, and a check digit (Luhn)."""
    digits = f"{shipment_id.int % 10**18:018d}"
    doubled = [int(digit) * (2 - index % 2) for index, digit in enumerate(reversed(digits))]
    check = -sum(value - 9 if value > 9 else value for value in doubled) % 10
    return f"{REGIONS[region_code].prefix}{digits}{check}"

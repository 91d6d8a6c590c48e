"""The sagas that come with the orchestrator: both versions of ``place-order`` are live at once."""

from orchestrator.definitions.shipped.place_order_v1 import place_order_v1
from orchestrator.definitions.shipped.place_order_v2 import place_order_v2

SAGAS = (place_order_v1, place_order_v2)

"""The dashboard and the alerts name metrics that exist, and the alerts sections that the runbook has."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from ruamel.yaml import YAML

from contracts.traces.export import SpanCounts
from orchestrator.engine.breakers import BreakerState
from orchestrator.engine.figures import Figures
from orchestrator.engine.lanes import ParticipantStatus
from orchestrator.telemetry.gauges import Attention, Gauges, PoolUse
from orchestrator.telemetry.labels import Reasons
from orchestrator.telemetry.metrics import Metrics
from orchestrator.telemetry.rpc_metrics import RpcMetrics

DOCS = Path(__file__).parents[3] / "docs"
MONITORING = DOCS / "monitoring"
NAME = re.compile(r"\bsaga_[a-z_]+\b")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
OURS = "saga_"


def served() -> dict[str, set[str]]:
    """The names of all series of ours, with their labels."""
    registry = CollectorRegistry()
    recorded = Metrics(registry, Reasons()), RpcMetrics(registry)
    participant = ParticipantStatus("s", BreakerState.OPEN, False, 1, 2, 3, 4, 0.5, 1, None)  # noqa: FBT003  (any will do)
    figures = Figures(1, 2, 3, True, 0.0, 1.0, True, (participant,))  # noqa: FBT003  (any will do)
    attention = (Attention("STUCK", "d v1", "s", "R", 1),)
    registry.register(
        Gauges(
            lambda: figures,
            lambda: PoolUse(1, 1, 8),
            lambda: attention,
            certificate_lapses_at=lambda: datetime.now(UTC),
            spans=lambda: SpanCounts(1, 2, 3),
        )
    )
    labels: dict[str, set[str]] = {}
    for part in recorded:
        for made in vars(part).values():
            if hasattr(made, "_labelnames"):
                labels[made._name] = set(made._labelnames)
    found: dict[str, set[str]] = {}
    for metric in registry.collect():
        own = labels.get(metric.name) or {key for sample in metric.samples for key in sample.labels}
        for suffix in SUFFIXES[metric.type]:
            found[metric.name + suffix] = own | ({"le"} if suffix == "_bucket" else set())
    return found


def rules() -> list[dict[str, Any]]:
    groups = YAML(typ="safe").load((MONITORING / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[str]:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]


def test_what_is_shown_and_alerted_on_is_served() -> None:
    known = served()
    named = {name for text in (*queries(), *(rule["expr"] for rule in rules())) for name in NAME.findall(text)}
    assert named
    assert not named - known.keys()


def test_every_metric_is_shown() -> None:
    shown = {name for text in queries() for name in NAME.findall(text)}
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in shown}
    left_out = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in served()} - families
    assert not left_out


def test_labels_that_queries_name_exist() -> None:
    known = served()
    for text in (*queries(), *(rule["expr"] for rule in rules())):
        for name, given in re.findall(r"\b(saga_[a-z_]+)\{([^}]*)\}", text):
            assert set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)", given)) <= known[name], text
        kept = {label for labels in re.findall(r"by \(([^)]*)\)", text) for label in re.split(r",\s*", labels)}
        everything = set().union(*(known[name] for name in NAME.findall(text) if name in known))
        assert kept <= everything | {"instance"}, text


def test_every_alert_leads_to_a_section_of_the_runbook() -> None:
    headings = re.findall(r"^#+ (.+)$", (DOCS / "runbook.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for rule in rules():
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert file == "docs/runbook.md", rule["alert"]
        assert anchor in anchors, rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_the_list_in_the_docs_is_complete() -> None:
    text = (DOCS / "metrics.md").read_text()
    listed = set(NAME.findall(text))
    for first, rest in re.findall(r"`(saga_[a-z]+)_[a-z_]+`((?:, `_[a-z]+`)+)", text):
        listed |= {f"{first}{suffix}" for suffix in re.findall(r"`(_[a-z]+)`", rest)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in served()}
    assert not families - listed

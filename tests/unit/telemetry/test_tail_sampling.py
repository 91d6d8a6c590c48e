"""The collector's configuration asks for attributes that spans have, in the shape that the collector reads."""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from orchestrator.core.state import SagaStatus
from orchestrator.telemetry import traces, traces_story

ROOT = Path(__file__).parents[3]
CONFIG: dict[str, Any] = YAML(typ="safe").load(ROOT / "docs/collector/tail-sampling.yaml")
FIELDS = {
    "string_attribute": {"key", "values"},
    "ottl_condition": {"error_mode", "spanevent"},
    "status_code": {"status_codes"},
    "latency": {"threshold_ms"},
    "probabilistic": {"sampling_percentage"},
}
SAMPLING = CONFIG["processors"]["tail_sampling"]
POLICIES: dict[str, Any] = {policy["name"]: policy for policy in SAMPLING["policies"]}
SOURCE = Path(traces.__file__).read_text() + Path(traces_story.__file__).read_text()


def test_every_policy_has_its_type_and_the_fields_of_that() -> None:
    for policy in POLICIES.values():
        kind = policy["type"]
        assert policy.keys() == {"name", "type", kind}, policy
        assert policy[kind].keys() == FIELDS[kind], policy
    assert SAMPLING.keys() == {
        "decision_wait",
        "num_traces",
        "expected_new_traces_per_sec",
        "decision_cache",
        "policies",
    }


def test_what_did_not_complete_is_kept_whole() -> None:
    kept = POLICIES["sagas-that-did-not-complete"]["string_attribute"]
    halted = {SagaStatus.COMPENSATED, SagaStatus.STUCK, SagaStatus.RESOLVED}
    assert set(kept["values"]) == {status.name for status in halted}
    assert f'"{kept["key"]}": run.durable_status.name' in SOURCE
    assert "ERROR" in POLICIES["errors"]["status_code"]["status_codes"]
    assert 0 < POLICIES["a-share-of-the-rest"]["probabilistic"]["sampling_percentage"] < 100


def test_every_named_attribute_and_event_is_told() -> None:
    (condition,) = POLICIES["sagas-that-another-node-finished"]["ottl_condition"]["spanevent"]
    names = re.findall(r'"([\w.]+)"', condition)
    assert names
    for name in names:
        assert f'"{name}"' in SOURCE, name


def test_every_part_of_the_pipeline_is_there() -> None:
    pipeline = CONFIG["service"]["pipelines"]["traces"]
    for part, used in pipeline.items():
        assert set(used) <= CONFIG[part].keys(), part
    assert pipeline["processors"].index("memory_limiter") < pipeline["processors"].index("tail_sampling")
    assert pipeline["processors"][-1] == "batch"

"""Prometheus itself reads the alert rules, and fires each when it should."""

import subprocess
from pathlib import Path

import pytest

MONITORING = Path(__file__).parents[2] / "docs" / "monitoring"


@pytest.mark.parametrize("words", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts.test.yaml")])
def test_the_rules_are_as_prometheus_wants_them(words: tuple[str, ...]) -> None:
    ended = subprocess.run(
        ["promtool", *words], cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "SUCCESS" in ended.stdout

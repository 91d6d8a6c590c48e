"""Bounds on what a declaration may say: names, counts, times, retry policies, reclassification."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from grpc import StatusCode

from orchestrator.core.definition import RetryPolicy
from orchestrator.core.outcome import RECLASSIFIABLE, Outcome
from orchestrator.definitions.saga import Reclassify, Saga, StepOptions

Report = Callable[[str], None]
"""Takes the message of one fault."""

MAX_STEPS: Final = 64
MAX_VERSION: Final = 2**31 - 1
MAX_DEADLINE_S: Final = 366 * 86_400.0
MAX_TIMEOUT_S: Final = 3_600.0
MAX_ATTEMPTS: Final = 1_000
MAX_MULTIPLIER: Final = 100.0

NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def check_name(name: object, report: Report) -> None:
    """A saga's or a step's name: it stands in keys, metadata and metrics."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        report(f"the name {name!r} must match {NAME.pattern}; choose another")


def check_saga(saga: Saga[Any, Any], report: Report) -> None:
    """Name, version, deadline and number of steps."""
    check_name(saga.name, report)
    if not _is_whole(saga.version) or not 1 <= saga.version <= MAX_VERSION:
        report(f"version is {saga.version!r}; number versions from 1 to {MAX_VERSION}")
    _check_seconds("deadline_s", saga.deadline_s, MAX_DEADLINE_S, report)
    if not 1 <= len(saga.steps) <= MAX_STEPS:
        report(f"it has {len(saga.steps)} steps; a saga has 1 to {MAX_STEPS}")


def check_options(options: StepOptions, report: Report) -> None:
    """Timeouts, retry policies and reclassification of a step."""
    _check_seconds("timeout_s", options.timeout_s, MAX_TIMEOUT_S, report)
    _check_seconds("compensation_timeout_s", options.compensation_timeout_s, MAX_TIMEOUT_S, report)
    if options.retry is not None:
        _check_retry("retry", options.retry, report)
    _check_retry("compensation_retry", options.compensation_retry, report)
    _check_reclassify("reclassify", options.reclassify, report)
    _check_reclassify("compensation_reclassify", options.compensation_reclassify, report)


def by_number(reclassify: Reclassify) -> Mapping[int, Outcome]:
    """The same map keyed by the number of the code, as the core takes it."""
    return {code.value[0]: outcome for code, outcome in reclassify.items()}


def _check_retry(what: str, policy: object, report: Report) -> None:
    if not isinstance(policy, RetryPolicy):
        report(f"{what} is a {type(policy).__name__}; give a RetryPolicy")
        return
    _check_seconds(f"{what}.initial_backoff_s", policy.initial_backoff_s, MAX_DEADLINE_S, report)
    _check_seconds(f"{what}.max_backoff_s", policy.max_backoff_s, MAX_DEADLINE_S, report)
    _check_seconds(f"{what}.budget_s", policy.budget_s, MAX_DEADLINE_S, report)
    if not _is_number(policy.multiplier) or not 1 <= policy.multiplier <= MAX_MULTIPLIER:
        report(f"{what}.multiplier is {policy.multiplier!r}; give 1 to {MAX_MULTIPLIER:g}: waits must not shrink")
    if not _is_whole(policy.max_attempts) or not 1 <= policy.max_attempts <= MAX_ATTEMPTS:
        report(f"{what}.max_attempts is {policy.max_attempts!r}; give 1 to {MAX_ATTEMPTS}")
    both = (policy.initial_backoff_s, policy.max_backoff_s)
    if all(_is_number(value) for value in both) and policy.max_backoff_s < policy.initial_backoff_s:
        report(f"{what}.max_backoff_s is below initial_backoff_s; make it at least that")


def _check_reclassify(what: str, reclassify: Mapping[Any, object], report: Report) -> None:
    allowed = ", ".join(outcome.name for outcome in sorted(RECLASSIFIABLE))
    for code, outcome in reclassify.items():
        if not isinstance(code, StatusCode) or code is StatusCode.OK:
            report(f"{what} has the key {code!r}; give a grpc.StatusCode other than OK")
        if not isinstance(outcome, Outcome) or outcome not in RECLASSIFIABLE:
            report(f"{what} makes {code!r} {outcome!r}; a code can be made {allowed}")


def _check_seconds(what: str, value: object, most: float, report: Report) -> None:
    if not isinstance(value, int | float) or not _is_number(value) or not 0 < value <= most:
        report(f"{what} is {value!r}; give seconds, more than 0 and at most {most:g}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

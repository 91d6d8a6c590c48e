"""How long Hypothesis looks: ``HYPOTHESIS_PROFILE=thorough`` for a long run."""

import os

import pytest
from hypothesis import HealthCheck, settings

# A run is hundreds of moves, and the tapes are long: slow and large by nature, on machines shared with others.
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]

settings.register_profile("default", max_examples=600, deadline=None, print_blob=True, suppress_health_check=QUIET)
settings.register_profile("thorough", max_examples=20_000, deadline=None, print_blob=True, suppress_health_check=QUIET)


@pytest.fixture(scope="session")
def seeds() -> range:
    """Of the sweeps: more of them in a thorough run."""
    return range(60_000 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 2500)


settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

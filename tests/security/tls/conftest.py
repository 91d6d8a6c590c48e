"""A folder of fresh certificates for each test."""

from pathlib import Path

import pytest

from tests.security.tls.ends import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Server and client certificates, and the authority of both."""
    return Files(tmp_path)

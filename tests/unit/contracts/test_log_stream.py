"""A log that cannot be written costs lines and nothing else."""

from contextlib import suppress
from pathlib import Path

import structlog

from contracts.log_stream import LossyStream

FULL = Path("/dev/full")
"""Takes nothing: every write fails with ENOSPC."""


def test_a_full_disk_does_not_reach_the_code_that_logs() -> None:
    stream = FULL.open("w", buffering=1)
    try:
        lossy = LossyStream(stream)
        for _ in range(3):
            assert lossy.write("a line\n") == 7
            lossy.flush()
        logger = structlog.WriteLogger(lossy)  # type: ignore[arg-type]  # it writes and flushes, and asks for no more
        logger.info("another")
    finally:
        with suppress(OSError):
            stream.close()


def test_what_can_be_written_is(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("w") as stream:
        lossy = LossyStream(stream)
        lossy.write("one\n")
        lossy.flush()
        assert file.read_text() == "one\n"
    lossy.write("after the end\n")

"""Ctrl-C while a library runs."""

import os
import signal

import pytest

from orchestrator.cli.sagactl.keys import interrupts


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # that is what is played here
def test_an_interrupt_that_a_destructor_swallows_is_not_forgotten() -> None:
    class Interrupted:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):  # a signal's handler runs between two instructions
                pass

    before = signal.getsignal(signal.SIGINT)
    with interrupts() as interrupted:
        assert not interrupted()
        Interrupted()
        assert interrupted()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_is_raised_as_ever() -> None:
    with interrupts() as interrupted:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupted()

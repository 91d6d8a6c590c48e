"""Which CPUs a process may use: those of what is measured, or those of what makes the load."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil


def halves() -> tuple[frozenset[int], frozenset[int]]:
    """The CPUs that this process may use, for what is measured and for the load; all of them for both if it is one."""
    cpus = sorted(os.sched_getaffinity(0))
    middle = (len(cpus) + 1) // 2
    return frozenset(cpus[:middle]), frozenset(cpus[middle:] or cpus)


def confine(pids: Iterable[int], cpus: frozenset[int]) -> None:
    """Keeps the processes, their children and all their threads to ``cpus``; what they start later, too."""
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    for thread in each.threads():
                        with suppress(ProcessLookupError):
                            os.sched_setaffinity(thread.id, cpus)


@contextmanager
def apart(pids: Iterable[int]) -> Iterator[None]:
    """While it is entered, the processes have the first half of the CPUs, and what this process starts the other."""
    measured, load = halves()
    before = frozenset(os.sched_getaffinity(0))
    told = tuple(pids)
    confine(told, measured)
    os.sched_setaffinity(0, load)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        confine(told, before)

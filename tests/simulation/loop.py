"""An event loop without a world: virtual time, no I/O, and every choice of order taken from a seed.

What runs belongs to a :class:`Host` by its context, so that a host can stand still or vanish between any two callbacks:
that is between any two awaits. Within a host callbacks run in the order in which they were registered, as asyncio
promises; which host comes next is drawn.
"""

import asyncio
import heapq
import itertools
import random
from asyncio import events
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any


class Stalled(RuntimeError):  # noqa: N818  (named for the state of the loop)
    """Nothing is left to happen, and what the run waits for has not happened."""


class Host:
    """Where callbacks run: a node's process, or the world outside of all nodes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[events.Handle] = deque()
        self.is_dead = False
        self.is_frozen = False
        self.turns = 0
        """Callbacks run so far."""


HOST: ContextVar[Host | None] = ContextVar("HOST", default=None)


class SimulatedLoop(asyncio.BaseEventLoop):
    """Jumps to the next timer whenever nothing is ready. ``turns`` bounds a run that goes round in circles."""

    def __init__(self, rng: random.Random, *, max_turns: int = 50_000_000) -> None:
        super().__init__()
        self.world = Host("world")
        self.failures: list[dict[str, Any]] = []
        """What callbacks raised and nobody took."""
        self.kept: list[asyncio.Task[Any]] = []
        """Tasks that must not be thrown away, whether anything still refers to them or not."""
        self._rng = rng
        self._now_s = 0.0
        self._runnable: list[Host] = []
        self._queue: list[tuple[float, int, events.TimerHandle]] = []
        self._order = itertools.count()
        self._turns_left = max_turns
        self._is_over = False
        self._stopped: list[Host] = []
        self.set_exception_handler(lambda _loop, context: self.failures.append(context))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now_s

    # ---- hosts ----

    def kill(self, host: Host) -> None:
        """Nothing of the host runs any more: no handler, no ``finally``, as after kill -9."""
        if self._is_over:
            return
        self.keep_tasks()
        host.is_dead = True
        self._stop(host)

    def keep_tasks(self) -> None:
        """A task that is thrown away would run its ``finally`` blocks, which a dead process does not."""
        self.kept += asyncio.all_tasks(self)

    def freeze(self, host: Host) -> None:
        """The host stands still; what becomes ready waits."""
        if self._is_over:
            return
        host.is_frozen = True
        self._stop(host)

    def thaw(self, host: Host) -> None:
        """The host goes on, with everything that has come due meanwhile."""
        host.is_frozen = False
        if host.ready and not host.is_dead:
            self._runnable.append(host)

    def resurrect(self) -> None:
        """From now on whatever hosts left behind runs, so that their coroutines can end."""
        self._is_over = True
        for host in self._stopped:
            host.is_dead = host.is_frozen = False
            if host.ready and host not in self._runnable:
                self._runnable.append(host)

    def _stop(self, host: Host) -> None:
        self._stopped.append(host)
        if host in self._runnable:
            self._runnable.remove(host)

    # ---- what asyncio calls ----

    def _call_soon(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> events.Handle:
        handle = events.Handle(callback, args, self, context)
        self._admit(handle)
        return handle

    def call_at(  # type: ignore[override]  # typeshed spells the variadic arguments with a TypeVarTuple
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        timer = events.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._queue, (when, next(self._order), timer))
        return timer

    def call_later(  # type: ignore[override]  # as above
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        """A cancelled timer is passed over when it comes due."""

    def _admit(self, handle: events.Handle) -> None:
        host = handle._context.get(HOST) or self.world  # type: ignore[attr-defined]  # a handle keeps its context there
        if not host.ready and not host.is_frozen and not host.is_dead:
            self._runnable.append(host)
        host.ready.append(handle)

    def _run_once(self) -> None:
        """Runs until the loop is stopped."""
        runnable = self._runnable
        while not self._stopping:  # type: ignore[attr-defined]  # set by stop(), as in the base class
            if not runnable:
                self._pass_time()
                continue
            place = self._rng.randrange(len(runnable)) if len(runnable) > 1 else 0
            host = runnable[place]
            handle = host.ready.popleft()
            if not host.ready:
                runnable[place] = runnable[-1]
                runnable.pop()
            if not handle._cancelled:
                host.turns += 1
                self._turns_left -= 1
                if self._turns_left < 0:
                    raise Stalled("the run goes round in circles")
                handle._run()

    def _pass_time(self) -> None:
        queue = self._queue
        if not queue:
            raise Stalled("nothing is left to happen")
        when, _, timer = heapq.heappop(queue)
        if timer._cancelled:
            return
        self._now_s = max(self._now_s, when)
        self._admit(timer)
        while queue and queue[0][0] <= self._now_s:
            _, _, timer = heapq.heappop(queue)
            if not timer._cancelled:
                self._admit(timer)

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""

"""An event loop without a world: virtual time, no I/O, and every choice of order taken from a seed.

What runs belongs to a :class:`Host` by its context, so that a host can stand still or vanish between any two callbacks:
that is between any two awaits. Within a host callbacks run in the order in which they were registered, as asyncio
promises; which host comes next is drawn.
"""

import asyncio
import random
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from typing import Any, cast


class Stalled(RuntimeError):  # noqa: N818  (named for the state of the loop)
    """Nothing is left to happen, and what the run waits for has not happened."""


class Host:
    """Where callbacks run: a node's process, or the world outside of all nodes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[SimulatedHandle] = deque()
        self.is_dead = False
        self.is_frozen = False
        self.turns = 0
        """Callbacks run so far."""


HOST: ContextVar[Host | None] = ContextVar("HOST", default=None)


class SimulatedHandle:
    """What asyncio's handles are to it: a callback that is due, or will be, and can be cancelled. Leaner than those."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "when_s")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context, when_s: float) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.when_s = when_s
        self.is_cancelled = False

    def cancel(self) -> None:
        """It is passed over when its turn comes."""
        self.is_cancelled = True
        self.callback, self.args = _nothing, ()  # what they refer to may be large, and the timer years away

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.is_cancelled

    def when(self) -> float:
        """When it is due, in virtual seconds."""
        return self.when_s


def _nothing() -> None:
    """What a cancelled handle would do."""


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
        self._queue: list[tuple[float, int, SimulatedHandle]] = []
        self._timers = 0
        self._turns_left = max_turns
        self._is_over = False
        self._stopped: list[Host] = []
        self._tasks: list[weakref.ref[asyncio.Task[Any]]] = []
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
        alive = [(each, task) for each in self._tasks if (task := each()) is not None and not task.done()]
        self._tasks = [each for each, _ in alive]
        self.kept += [task for _, task in alive]

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

    # asyncio's own checks (is the loop closed, is it debugged, is it another thread's) would cost a tenth of a run.

    def call_soon(  # type: ignore[override]  # typeshed spells the variadic arguments with a TypeVarTuple
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = SimulatedHandle(callback, args, copy_context() if context is None else context, self._now_s)
        self._admit(handle)
        return cast("asyncio.Handle", handle)

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = SimulatedHandle(callback, args, copy_context() if context is None else context, when)
        self._timers = order = self._timers + 1
        heappush(self._queue, (when, order, handle))
        return cast("asyncio.TimerHandle", handle)

    def call_later(  # type: ignore[override]  # as above
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def create_task(  # type: ignore[override]  # typeshed has the signature of each release of Python
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> "asyncio.Task[Any]":
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(weakref.ref(task))
        return task

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def _admit(self, handle: SimulatedHandle) -> None:
        host = handle.context.get(HOST) or self.world
        if not host.ready and not host.is_frozen and not host.is_dead:
            self._runnable.append(host)
        host.ready.append(handle)

    def _run_once(self) -> None:
        """Runs until the loop is stopped."""
        runnable, draw = self._runnable, self._rng.getrandbits
        while not self._stopping:  # type: ignore[attr-defined]  # set by stop(), as in the base class
            if not runnable:
                self._pass_time()
                continue
            place, hosts = 0, len(runnable)
            if hosts > 1:
                bits = hosts.bit_length()
                place = draw(bits)
                while place >= hosts:
                    place = draw(bits)
            host = runnable[place]
            handle = host.ready.popleft()
            if not host.ready:
                runnable[place] = runnable[-1]
                runnable.pop()
            if not handle.is_cancelled:
                host.turns += 1
                self._turns_left -= 1
                if self._turns_left < 0:
                    raise Stalled("the run goes round in circles")
                try:
                    handle.context.run(handle.callback, *handle.args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self.call_exception_handler({"message": f"Exception in {handle.callback!r}", "exception": error})

    def _pass_time(self) -> None:
        queue = self._queue
        if not queue:
            raise Stalled("nothing is left to happen")
        when, _, handle = heappop(queue)
        if handle.is_cancelled:
            return
        self._now_s = max(self._now_s, when)
        self._admit(handle)
        while queue and queue[0][0] <= self._now_s:
            handle = heappop(queue)[2]
            if not handle.is_cancelled:
                self._admit(handle)

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""

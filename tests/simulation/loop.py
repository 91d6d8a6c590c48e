"""An event loop without a world: virtual time, no I/O, and every choice of order taken from a seed.

What runs belongs to a :class:`Host` by its context, so that a host can stand still or vanish between any two callbacks:
that is between any two awaits. Within a host callbacks run in the order in which they were registered, as asyncio
promises; which host comes next is drawn.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from functools import partial
from heapq import heappop, heappush
from typing import Any


class Stalled(RuntimeError):  # noqa: N818  (named for the state of the loop)
    """Nothing is left to happen, and what the run waits for has not happened."""


class Host:
    """Where callbacks run: a node's process, or the world outside of all nodes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[SimulatedHandle] = deque()
        self.is_frozen = False
        self.is_stopped = False
        """Frozen, or dead."""


HOST: ContextVar[Host] = ContextVar("HOST")


class SimulatedHandle(list[Any]):
    """What asyncio's handles are to it: a callback that is due, or will be, and can be cancelled. It holds its context,
    callback and arguments, and nothing once it is cancelled: of lists none is slow to make.
    """

    __slots__ = ()

    cancel = list.clear
    """It is passed over when its turn comes, and holds nothing until then."""

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return not self


class Pause:
    """``asyncio.sleep`` without a coroutine, without a future, and with one turn less: the timer wakes the task."""

    __slots__ = ("_asyncio_future_blocking", "_delay_s", "_is_cancelled", "_loop", "_wake")

    def __init__(self, loop: "SimulatedLoop", delay_s: float) -> None:
        self._asyncio_future_blocking = False
        self._delay_s = delay_s
        self._is_cancelled = False
        self._loop = loop

    def __await__(self) -> Generator["Pause", None, None]:
        self._asyncio_future_blocking = True
        yield self

    # ---- what a task asks of what it waits for ----

    def get_loop(self) -> "SimulatedLoop":
        return self._loop

    def add_done_callback(self, wake: Callable[["Pause"], object], *, context: Context) -> None:
        self._wake = self._loop.call_later(self._delay_s, wake, self, context=context)

    def cancel(self, msg: object = None) -> bool:
        del msg
        if not self._is_cancelled and self._wake:
            context, wake, _ = self._wake
            self._is_cancelled = True
            self._wake.cancel()
            self._loop.call_soon(wake, self, context=context)
        return True

    def result(self) -> None:
        self._wake.clear()  # it refers to this
        if self._is_cancelled:
            raise asyncio.CancelledError


class SimulatedLoop(asyncio.BaseEventLoop):
    """Jumps to the next timer whenever nothing is ready. ``turns`` bounds a run that goes round in circles."""

    def __init__(self, rng: random.Random, *, max_turns: int = 50_000_000) -> None:
        super().__init__()
        self.world = Host("world")
        self.failures: list[dict[str, Any]] = []
        """What callbacks raised and nobody took."""
        self.kept: set[asyncio.Task[Any]] = set()
        """Tasks that must not be thrown away, whether anything still refers to them or not."""
        self.now_s = 0.0
        """Virtual seconds since the loop was made."""
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]  # without a frame
        self._rng = rng
        self._runnable: list[Host] = []
        self._queue: list[tuple[float, int, SimulatedHandle]] = []
        self._timers = 0
        self._max_turns = max_turns
        self._is_over = False
        self._stopped: list[Host] = []
        self.set_exception_handler(lambda _loop, context: self.failures.append(context))

    def time(self) -> float:
        """See :attr:`now_s`."""
        return self.now_s

    def later(self, delay_s: float, act: Callable[[], object], context: Context) -> None:
        """:meth:`call_later` for what takes no arguments and is never cancelled."""
        self._timers = order = self._timers + 1
        heappush(self._queue, (self.now_s + delay_s, order, SimulatedHandle((context, act, ()))))

    def pause(self, delay_s: float) -> Pause:
        """To be awaited: goes on after so many virtual seconds."""
        return Pause(self, delay_s)

    # ---- hosts ----

    def kill(self, host: Host) -> None:
        """Nothing of the host runs any more: no handler, no ``finally``, as after kill -9."""
        if self._is_over:
            return
        self.keep_tasks()
        self._stop(host)

    def keep_tasks(self) -> None:
        """A task that is thrown away would run its ``finally`` blocks, which a dead process does not."""
        self.kept |= asyncio.all_tasks(self)

    def freeze(self, host: Host) -> None:
        """The host stands still; what becomes ready waits."""
        if self._is_over:
            return
        host.is_frozen = True
        self._stop(host)

    def thaw(self, host: Host) -> None:
        """The host goes on, with everything that has come due meanwhile."""
        host.is_frozen = host.is_stopped = False
        if host.ready:
            self._runnable.append(host)

    def resurrect(self) -> None:
        """From now on whatever hosts left behind runs, so that their coroutines can end."""
        self._is_over = True
        for host in self._stopped:
            host.is_frozen = host.is_stopped = False
            if host.ready and host not in self._runnable:
                self._runnable.append(host)

    def _stop(self, host: Host) -> None:
        host.is_stopped = True
        self._stopped.append(host)
        if host in self._runnable:
            self._runnable.remove(host)

    # ---- what asyncio calls ----

    # asyncio's own checks (is the loop closed, is it debugged, is it another thread's) would cost a tenth of a run.

    def call_soon(  # type: ignore[override]  # typeshed spells the variadic arguments with a TypeVarTuple
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimulatedHandle:
        if context is None:
            context = copy_context()
        handle = SimulatedHandle((context, callback, args))
        host = context.get(HOST, self.world)
        if not host.ready and not host.is_stopped:
            self._runnable.append(host)
        host.ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimulatedHandle:
        handle = SimulatedHandle((copy_context() if context is None else context, callback, args))
        self._timers = order = self._timers + 1
        heappush(self._queue, (when, order, handle))
        return handle

    def call_later(  # type: ignore[override]  # as above
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimulatedHandle:
        handle = SimulatedHandle((copy_context() if context is None else context, callback, args))
        self._timers = order = self._timers + 1
        heappush(self._queue, (self.now_s + delay, order, handle))
        return handle

    def create_task(  # type: ignore[override]  # typeshed has the signature of each release of Python
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> "asyncio.Task[Any]":
        return asyncio.Task(coro, loop=self, name=name, context=context)

    get_debug = bool  # says no

    def _run_once(self) -> None:
        """Runs until the loop is stopped."""
        runnable, draw, turns_left = self._runnable, self._rng.getrandbits, self._max_turns
        handle: SimulatedHandle | None
        while not self._stopping:  # type: ignore[attr-defined]  # set by stop(), as in the base class
            if runnable:
                place, hosts = 0, len(runnable)
                if hosts > 1:
                    bits = hosts.bit_length()
                    place = draw(bits)
                    while place >= hosts:
                        place = draw(bits)
                ready = runnable[place].ready
                handle = ready.popleft()
                if not ready:
                    runnable[place] = runnable[-1]
                    runnable.pop()
            else:
                handle = self._next_due()
            if handle:
                turns_left -= 1
                if turns_left < 0:
                    raise Stalled("the run goes round in circles")
                context, callback, args = handle
                try:
                    context.run(callback, *args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self.call_exception_handler({"message": f"Exception in {callback!r}", "exception": error})

    def _next_due(self) -> SimulatedHandle | None:
        """Goes on to the next timer. Returns it, unless others are due with it: then all of them are ready."""
        queue = self._queue
        while queue and not queue[0][2]:
            heappop(queue)  # it was cancelled
        if not queue:
            raise Stalled("nothing is left to happen")
        when, _, handle = heappop(queue)
        assert when >= self.now_s, "time does not go back"
        self.now_s = when
        if not (queue and queue[0][0] <= self.now_s) and not handle[0].get(HOST, self.world).is_stopped:
            return handle
        self._admit(handle)
        while queue and queue[0][0] <= self.now_s:
            handle = heappop(queue)[2]
            if handle:
                self._admit(handle)
        return None

    def _admit(self, handle: SimulatedHandle) -> None:
        host = handle[0].get(HOST, self.world)
        if not host.ready and not host.is_stopped:
            self._runnable.append(host)
        host.ready.append(handle)

    def close(self) -> None:
        """Forgets what would have happened, and lets go of the tasks."""
        super().close()
        self._queue.clear()
        self.kept.clear()

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""

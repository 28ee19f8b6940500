"""An event loop of several processes, in a time of its own: what runs next is drawn by a seeded source of chance.

Each process has its callbacks in the order that asyncio promises. Between processes any order is possible. When nobody has
anything to do, the clock goes to the next timer. A process that is killed never runs again, whatever it waited for; one
that is stopped runs what has piled up when it goes on.
"""

import asyncio
import random  # noqa: TID251 -- seeded
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop, heappush
from typing import Any

Work = Callable[..., object]


class Call:
    """A callback of the world's own: cheaper than what asyncio has."""

    __slots__ = ("_args", "_is_cancelled", "_work")

    def __init__(self, work: Work, args: tuple[Any, ...]) -> None:
        self._work, self._args = work, args
        self._is_cancelled = False

    def cancel(self) -> None:
        self._is_cancelled = True

    def cancelled(self) -> bool:
        return self._is_cancelled

    def _run(self) -> None:
        self._work(*self._args)


class Process:
    """What dies as a whole."""

    __slots__ = ("is_alive", "is_stopped", "name", "ready", "tasks")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_stopped = False  # as SIGSTOP does it
        self.ready: deque[asyncio.Handle | Call] = deque()
        self.tasks: list[asyncio.Task[Any]] = []

    def __repr__(self) -> str:
        return self.name


class Loop(asyncio.BaseEventLoop):
    """`run` turns it until `stop_when` is so, or nothing is left to do."""

    def __init__(self, chance: random.Random, *, on_error: Callable[[str], None]) -> None:
        super().__init__()
        self.world = Process("world")
        self.current = self.world
        self.turns = 0
        self._processes = [self.world]
        self._time = 0.0
        self._chance = chance
        self._on_error = on_error
        self._timers: list[tuple[float, int, Process, asyncio.Handle | Call]] = []
        self._numbers = 0

    def process(self, name: str) -> Process:
        """Return a new process."""
        made = Process(name)
        self._processes.append(made)
        return made

    def kill(self, process: Process) -> None:
        """Let it never run again. What it had called and is running now ends with its next `await`."""
        process.is_alive = False
        process.ready.clear()
        if process in self._processes:
            self._processes.remove(process)

    def resume(self, process: Process) -> None:
        process.is_stopped = False

    def run(self, stop_when: Callable[[], bool]) -> None:
        asyncio._set_running_loop(self)
        try:
            while not stop_when() and self._turn():
                self.turns += 1
        finally:
            asyncio._set_running_loop(None)

    def _turn(self) -> bool:
        """Run one callback; False when there is none left."""
        timers = self._timers
        while timers and timers[0][0] <= self._time:
            _, _, process, timer = heappop(timers)
            if process.is_alive and not timer.cancelled():
                process.ready.append(timer)
        can_run = [each for each in self._processes if each.ready and not each.is_stopped]
        if not can_run:
            if not timers:
                return False
            self._time = max(self._time, timers[0][0])
            return True
        process = can_run[0] if len(can_run) == 1 else self._chance.choice(can_run)
        handle = process.ready.popleft()
        if not handle.cancelled():
            self.current = process
            handle._run()
            self.current = self.world
        return True

    def call_in(self, process: Process, work: Work, *args: Any) -> None:
        """Have a process do something soon; nothing if it is dead."""
        if process.is_alive:
            process.ready.append(Call(work, args))

    def call_in_later(self, process: Process, delay: float, work: Work, *args: Any) -> Call:
        """Do so after some seconds."""
        return self.call_in_at(process, self._time + delay, work, *args)

    def call_in_at(self, process: Process, at: float, work: Work, *args: Any) -> Call:
        """Do so at an instant, in the order in which it was asked for."""
        call = Call(work, args)
        self._numbers += 1
        heappush(self._timers, (at, self._numbers, process, call))
        return call

    def spawn(self, process: Process, work: Coroutine[Any, Any, Any]) -> None:
        """Begin a task of a process."""
        before, self.current = self.current, process
        self.create_task(work)
        self.current = before

    # --- asyncio ---------------------------------------------------------------------------

    def time(self) -> float:
        return self._time

    def call_soon(  # type: ignore[override]  # any callback will do
        self, callback: Work, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if self.current.is_alive:
            self.current.ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]  # as above
        self, delay: float, callback: Work, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._time + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Work, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._numbers += 1
        heappush(self._timers, (when, self._numbers, self.current, timer))
        return timer

    def create_task(  # type: ignore[override]  # of any kind
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        self.current.tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what a callback raised; what nobody asks a task or a future for is noted where it counts."""
        if "handle" in context:
            self._on_error(f"a callback raised {context.get('exception')!r}")

    def dispose(self, processes: list[Process]) -> None:
        """Let go of tasks that wait for ever: their last steps are run where they can do no harm."""
        for process in processes:
            process.is_alive = False
            for task in process.tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    _close(task)
        self._timers.clear()
        self.close()


def _close(task: asyncio.Task[Any]) -> None:
    coroutine = task.get_coro()
    for _ in range(20):  # a `finally` may wait again
        try:
            coroutine.close()
        except RuntimeError:  # it does, or there is no loop
            continue
        except BaseException:  # noqa: BLE001 -- it is dead
            pass
        return

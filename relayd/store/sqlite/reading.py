"""The reading connection of a worker: questions that are asked off the event loop.

What comes up in one round of the event loop, or while others are answered, goes to a thread in one piece. A thread that is
woken for each question costs several times what a small question does.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import apsw

from relayd.errors import StoreUnavailable
from relayd.store.sqlite.connection import open_reader, translate

T = TypeVar("T")


@dataclass(slots=True)
class _Asked:
    question: Callable[[apsw.Connection], Any]
    answer: "asyncio.Future[_Answer]"


@dataclass(frozen=True, slots=True)
class _Answer:
    found: Any = None
    error: Exception | None = None


class Reader:
    """One read-only connection. Questions are asked one after the other, on a thread."""

    def __init__(self, path: str) -> None:
        self._db = open_reader(path)
        self._asked: list[_Asked] = []
        self._answering: asyncio.Task[None] | None = None

    async def ask(self, question: Callable[[apsw.Connection], T]) -> T:
        """Return what the question finds. Raises StoreUnavailable."""
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(question, answer))
        if self._answering is None:
            self._answering = asyncio.ensure_future(self._answer())
        given = await answer
        if given.error is not None:
            raise given.error
        found: T = given.found
        return found

    async def _answer(self) -> None:
        """Answer what is asked until nothing is. It is nobody's task: who gives up waiting does not end it for the others."""
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                wanted = [each for each in asked if not each.answer.done()]
                try:
                    given = await in_thread(_answers, self._db, [one.question for one in wanted])
                except StoreUnavailable as error:
                    given = [_Answer(error=error)] * len(wanted)
                for each, one in zip(wanted, given, strict=True):
                    if not each.answer.done():
                        each.answer.set_result(one)
        finally:
            self._answering = None

    async def close(self) -> None:
        while self._answering is not None:
            await asyncio.wait([self._answering])
        self._db.close()


def _answers(
    db: apsw.Connection, questions: Sequence[Callable[[apsw.Connection], Any]]
) -> list[_Answer]:
    return [_answer(db, question) for question in questions]


def _answer(db: apsw.Connection, question: Callable[[apsw.Connection], Any]) -> _Answer:
    try:
        return _Answer(found=question(db))
    except apsw.Error as exc:
        error = translate(exc)
        error.__cause__ = exc
        return _Answer(error=error)
    except Exception as bug:  # noqa: BLE001 -- raised where it was asked
        return _Answer(error=bug)


async def in_thread(call: Callable[..., T], *arguments: Any) -> T:
    """Return what the call gives, off the event loop. Raises StoreUnavailable without a thread."""
    try:
        running = asyncio.get_running_loop().run_in_executor(None, call, *arguments)
    except RuntimeError as exc:  # the system gives us no thread
        raise StoreUnavailable(f"the queue file cannot be used now: {exc}") from exc
    return await running

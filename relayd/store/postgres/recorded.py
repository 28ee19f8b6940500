"""What an operation gave though its connection was lost in the commit: it did happen if its events are there (S-55)."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from relayd.mail.event import Event
from relayd.store.postgres import events
from relayd.store.postgres.line import Operation, Session

T = TypeVar("T")


class Recorded(Generic[T]):
    """An operation that records events with all else that it writes, for `Line.submit`."""

    def __init__(self, operation: Operation[T], events_of: Callable[[T], Sequence[Event]]) -> None:
        self._operation = operation
        self._events_of = events_of
        self._given: list[T] = []  # by the last try

    async def __call__(self, db: Session) -> T:
        self._given.clear()
        result = await self._operation(db)
        self._given.append(result)
        return result

    async def happened(self, db: Session) -> T | None:
        """Return what the last try gave, if that was committed; without events it changed nothing."""
        for result in self._given:
            if await events.recorded(db, self._events_of(result)[:1]):
                return result
        return None

"""What copying asks of a store, whichever engine it has."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from relayd.errors import CopyFailed
from relayd.mail.content import Content
from relayd.mail.ids import MessageId
from relayd.store.copying.tables import Table
from relayd.store.moved import Mark

Row = tuple[Any, ...]
Keyed = tuple[Row, Row]
"""A row behind its key."""

Tell = Callable[[str, int, int], None]
"""Is told what is done, how much of it, and of how much."""

PART = 256 * 1024  # octets of content that are held at once
CONTENTS = 64  # messages whose content is read in one piece


class Side(Protocol):
    """A store that is copied, or is to be the copy. Each verb is one transaction, and raises StoreError.

    Who changes a mark names the one that is there. Raises CopyFailed where another process has changed it meanwhile,
    which copies or undoes the same: on another machine, where the lock of this one says nothing.
    """

    url: str  # as it was given
    shown: str  # the same for people

    async def marks(self) -> tuple[Mark | None, Mark | None]:
        """Return the marks of leaving and of arriving."""
        ...

    async def leave(self, mark: Mark, old: Mark | None) -> None:
        """Mark the store as copied, in the place of `old`: no relayd serves it from now on. Raises CopyFailed while one does."""
        ...

    async def stay(self, mark: Mark) -> None:
        """Take that mark off, if one is there."""
        ...

    async def arrive(self, mark: Mark) -> None:
        """Mark an empty store as the copy. Raises CopyFailed for one that is not empty, or is served."""
        ...

    async def give_up(self, mark: Mark) -> None:
        """Mark the copy that has `mark` as one that nobody may serve.

        Raises CopyFailed if it has been served since it was complete.
        """
        ...

    async def count(self, table: Table) -> int:
        """Return how many rows there are to copy, for who wants to know how far that is."""
        ...

    async def page(self, table: Table, after: Row | None, limit: int) -> Sequence[Keyed]:
        """Return the next rows behind a key."""
        ...

    async def contents(self, after: Row | None) -> Sequence[tuple[MessageId, Content]]:
        """Return the content of the next messages; of a large one alone, or as the last. Raises ContentLost."""
        ...

    async def counters(self) -> Mapping[str, int]:
        """Return the last numbers of `COUNTERS`."""
        ...

    async def last_event(self) -> int:
        """Return the greatest number of an event that anything speaks of."""
        ...

    async def advance(self, old: Mark, new: Mark) -> None:
        """Put one mark in the place of the other. Raises CopyFailed if another process did."""
        ...

    async def put(self, table: Table, rows: Sequence[Row], old: Mark, new: Mark) -> None:
        """Add rows, and `advance`."""
        ...

    async def put_contents(
        self, contents: Sequence[tuple[MessageId, Content]], old: Mark, new: Mark
    ) -> None:
        """Add the content of messages, and `advance`."""
        ...

    async def prepare(self, counters: Mapping[str, int], last_event: int, tell: Tell) -> None:
        """Make what is not copied of what was: when destinations are due, and which numbers come next."""
        ...

    async def complete(self, mark: Mark) -> None:
        """Mark the copy that has `mark` as complete: from now on it may be served."""
        ...

    async def close(self) -> None: ...


def another_works_on(store: str) -> CopyFailed:
    """Say that what was copied is not what it was."""
    return CopyFailed(
        f"another process copies {store}, or undoes that, at the same time: let one of them go on"
    )


def served_since(store: str) -> CopyFailed:
    """Say that the copy has a life of its own."""
    return CopyFailed(
        f"{store} has been served since the copy was complete, and its mail would be sent twice:"
        " copy it back into an empty store"
    )

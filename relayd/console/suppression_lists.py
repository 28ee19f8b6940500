"""Lists of suppressed addresses: read for an import, and written for an export."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from relayd.answers.suppressions import Line, read_list
from relayd.mail.suppression import Suppression
from relayd.ports.view import QueueView

T = TypeVar("T")
MOST = 10_000  # lines of an import
_EXPORTED = 500  # suppressions in one question


class TooLong(ValueError):
    """A list has more lines than are taken at once."""


class Asks(Protocol):
    """Asks the store."""

    def __call__(self, question: Callable[[QueueView], T]) -> Awaitable[T]: ...


def lines_of(text: str, reason: str) -> Sequence[Line]:
    """Return the lines of a list; `reason` is for those that give none. Raises TooLong."""
    lines = []
    for line in read_list(io.StringIO(text), reason=reason):
        lines.append(line)
        if len(lines) > MOST:
            raise TooLong(f"a list has at most {MOST} addresses: import it in parts")
    return lines


async def all_suppressions(ask: Asks) -> AsyncIterator[Sequence[Suppression]]:
    """Yield what suppresses addresses, some at a time, each a read of its own."""
    after = ""
    while page := await ask(partial(_behind, after)):
        yield page
        after = page[-1].address


def _behind(after: str, view: QueueView) -> Sequence[Suppression]:
    return view.suppressions(after=after, limit=_EXPORTED)

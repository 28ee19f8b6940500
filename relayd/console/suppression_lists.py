"""Lists of suppressed addresses: read for an import, what each line would do, and written for an export."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from relayd.answers.suppressions import Line, read_list
from relayd.mail.suppression import EVERYBODY, Suppression, ToSuppress
from relayd.ports.view import QueueView

T = TypeVar("T")
MOST = 10_000  # lines of an import
_EXPORTED = 500  # suppressions in one question


class TooLong(ValueError):
    """A list has more lines than are taken at once."""


class Asks(Protocol):
    """Asks the store."""

    def __call__(self, question: Callable[[QueueView], T]) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What a line would do: `new`, `before` (suppressed already) or `mistake`."""

    line: Line
    does: str


def lines_of(text: str, reason: str) -> Sequence[Line]:
    """Return the lines of a list; `reason` is for those that give none. Raises TooLong."""
    lines = []
    for line in read_list(io.StringIO(text)):
        wanted = line.wanted
        if wanted is not None and reason and not wanted.reason:
            wanted = ToSuppress(address=wanted.address, scope=wanted.scope, reason=reason)
        lines.append(Line(number=line.number, wanted=wanted, mistake=line.mistake))
        if len(lines) > MOST:
            raise TooLong(f"a list has at most {MOST} addresses: import it in parts")
    return lines


def foresee(lines: Sequence[Line], view: QueueView) -> Sequence[Foreseen]:
    return [Foreseen(line=line, does=does) for line, does in _each(lines, view)]


async def all_suppressions(ask: Asks) -> AsyncIterator[Sequence[Suppression]]:
    """Yield what suppresses addresses, some at a time, each a read of its own."""
    after = ""
    while page := await ask(partial(_behind, after)):
        yield page
        after = page[-1].address


def _behind(after: str, view: QueueView) -> Sequence[Suppression]:
    return view.suppressions(after=after, limit=_EXPORTED)


def _each(lines: Sequence[Line], view: QueueView) -> Iterator[tuple[Line, str]]:
    seen: set[tuple[str, str]] = set()
    for line in lines:
        if line.wanted is None:
            yield line, "mistake"
            continue
        address, scope = line.wanted.address.lower(), line.wanted.scope.lower()
        is_old = (
            not seen.isdisjoint({(address, scope), (address, EVERYBODY)})
            or view.is_suppressed(address, sender=scope) is True
        )
        seen.add((address, scope))
        yield line, "before" if is_old else "new"

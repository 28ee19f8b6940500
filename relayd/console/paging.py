"""Pages of a list whose rows have a key, such as a number: which rows, and where the pages beside it are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
K = TypeVar("K", int, str)
P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Part(Generic[T, K]):
    """A page of a list; `prev` and `next` are keys that the pages beside it go on from, None: there is none."""

    rows: Sequence[T]
    prev: K | None
    next: K | None


def part_of(
    found: Sequence[T], limit: int, key: Callable[[T], K], *, is_first: bool, is_back: bool
) -> Part[T, K]:
    """Return the page of what was found with room for one row more than `limit`.

    `is_first`: it was asked for without a place; `is_back`: with the place of a `prev`.
    """
    is_more = len(found) > limit
    rows = found[-limit:] if is_back else found[:limit]
    if not rows:
        return Part(rows, None, None)
    has_prev, has_next = (is_more, True) if is_back else (not is_first, is_more)
    return Part(rows, key(rows[0]) if has_prev else None, key(rows[-1]) if has_next else None)


class Ask(Protocol[P_contra, R_co]):
    """Asks for one row more than a page has, older than `before` or the nearest newer than `after`."""

    def __call__(
        self, *, before: P_contra | None = None, after: P_contra | None = None
    ) -> Sequence[R_co]: ...


def page_of(
    ask: Ask[P, T], limit: int, key: Callable[[T], K], *, before: P | None, after: P | None
) -> Part[T, K]:
    """Return a page for people: who goes back to the newest rows sees a whole page of them."""
    if after is not None:
        part = part_of(ask(after=after), limit, key, is_first=False, is_back=True)
        if part.prev is not None:
            return part
        before = None
    return part_of(ask(before=before), limit, key, is_first=before is None, is_back=False)

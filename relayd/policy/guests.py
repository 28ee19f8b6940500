"""Choose who has to go when all places of a small server are taken.

Owns that choice alone: the caller accepts, reads and hangs up. A server that only waits for a free place
can be locked by a client that opens connections and says nothing. So a newcomer always gets in, and
makes leave: first a guest who has not said yet what it wants, then one whom an answer is being
sent; of the source that has most of these, and there who came first. Guests whose request is
being carried out stay.
"""

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Guest = TypeVar("Guest", bound=Hashable)


class Guests(Generic[Guest]):
    """Who is there, and from where. There can be more than `most` by those that stay."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._asking: dict[Guest, Hashable] = {}  # to their source; who came first is first
        self._staying: dict[Guest, Hashable] = {}
        self._answered: dict[Guest, Hashable] = {}

    def take(self, guest: Guest, source: Hashable) -> Guest | None:
        """Give a place to a guest; return who has to leave for it, None if nobody has."""
        leaving = None
        if len(self._asking) + len(self._staying) + len(self._answered) >= self._most:
            leaving = _longest(self._asking or self._answered)
        if leaving is not None:
            self.leave(leaving)
        self._asking[guest] = source
        return leaving

    def carry_out(self, guest: Guest) -> None:
        """Note that the whole request is here, and that its guest stays until it is answered."""
        self._move(guest, self._staying)

    def answer(self, guest: Guest) -> None:
        """Note that a guest gets its answer, and need do no more than read it."""
        self._move(guest, self._answered)

    def leave(self, guest: Guest) -> None:
        """Note that a guest is gone. Whatever is noted of it later means nothing."""
        self._move(guest, {})

    def _move(self, guest: Guest, to: dict[Guest, Hashable]) -> None:
        for guests in (self._asking, self._staying, self._answered):
            if guest in guests:
                to[guest] = guests.pop(guest)
                return


def _longest(guests: Mapping[Guest, Hashable]) -> Guest | None:
    """Return who came first of the source with most guests; None if there is nobody."""
    if not guests:
        return None
    [(busiest, _)] = Counter(guests.values()).most_common(1)
    return next(guest for guest, source in guests.items() if source == busiest)

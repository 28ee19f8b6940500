"""Who is let in, and who has to leave for it: the places of one worker.

Owns the count of all connections, from the first octet of a PROXY header to the last of a reply; the
choice is `relayd.policy.intake.places`'. Limits hold per worker.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from relayd.policy.intake.places import Places, Whose
from relayd.policy.intake.rate import Rate
from relayd.policy.seldom import Seldom
from relayd.receiver.wire import Wire
from relayd.settings import LimitSettings

_SWEEP = 1.0  # seconds between two looks for strangers that are silent for too long

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class Caller:
    """A proxy that has not said yet for whom it speaks."""

    waits_since: float | None
    sends_since: float | None = None
    has_begun: bool = False


Guest = Wire | Caller


class Admission:
    """Gives places to connections; `make_way` ends one that has to leave."""

    def __init__(
        self,
        limits: LimitSettings,
        *,
        make_way: Callable[[Guest], None],
        on_count: Callable[[int], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.places: Places[Guest] = Places(
            limits.connections, per_client=limits.connections_per_client
        )
        self._make_way = make_way
        self._on_count = on_count
        self._sweep_at: asyncio.TimerHandle | None = None  # set while it is crowded
        self._rate = Rate()
        self._crowd = Seldom()
        self._turned_away = self._gone = 0  # since the last line about it

    def __len__(self) -> int:
        return len(self.places)

    def admit(self, guest: Guest, whose: Whose) -> bool:
        """Give a connection its place; False: there is none for it."""
        now = self._loop.time()
        is_client = isinstance(guest, Wire)  # a proxy may come as often as it has clients
        if whose.is_stranger and is_client and not self._rate.is_kept_by(whose.client, now=now):
            return self._turn_away(whose, now)
        place = self.places.place_for(whose, now=now)
        if place is None:
            return self._turn_away(whose, now)
        for leaving in place.instead_of:
            self._send_away(leaving)
        if place.instead_of:
            self._tell_of_crowd(whose, now)
        self.places.take(guest, whose)
        if self._sweep_at is None and self.places.is_crowded:
            self._sweep_at = self._loop.call_later(_SWEEP, self._sweep)
        self._on_count(len(self.places))
        return True

    def change(self, guest: Guest, whose: Whose) -> bool:
        """Count it as another client's; False: that one has no place for it, and it must leave."""
        before = self.places.leave(guest)
        if before is None:
            return False
        if before.is_stranger:  # it was a proxy, or a program that logs in for each of its messages
            self._rate.give_back(before.client)
        return self.admit(guest, whose)

    def may_send(self, whose: Whose) -> bool:
        """Tell whether a stranger may begin to send a message."""
        now = self._loop.time()
        place = self.places.place_to_send(whose, now=now)
        if place is None:
            self._tell_of_crowd(whose, now)
            return False
        for leaving in place.instead_of:
            self._send_away(leaving)
        return True

    def leave(self, guest: Guest) -> None:
        if self.places.leave(guest):
            self._on_count(len(self.places))

    def _sweep(self) -> None:
        """Send away who is silent for too long, as long as it is crowded."""
        now, self._sweep_at = self._loop.time(), None
        for silent in self.places.silent(now=now):
            self._send_away(silent)
        if self.places.is_crowded:
            self._sweep_at = self._loop.call_later(_SWEEP, self._sweep)

    def _send_away(self, guest: Guest) -> None:
        self._gone += 1
        self.places.leave(guest)
        self._make_way(guest)

    def _turn_away(self, whose: Whose, now: float) -> bool:
        self._turned_away += 1
        self._tell_of_crowd(whose, now)
        return False

    def _tell_of_crowd(self, whose: Whose, now: float) -> None:
        if not self._crowd.is_due(now):
            return
        client, held = self.places.most()
        log.warning(
            "clients_crowded",
            fault="peer",
            listener=whose.listener,
            clients=len(self.places),
            strangers=self.places.strangers,
            most_of=client,
            most=held,
            made_way=self._gone,
            turned_away=self._turned_away,
        )
        self._turned_away = self._gone = 0

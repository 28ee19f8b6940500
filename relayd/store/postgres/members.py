"""Who else is alive, as one worker learns it with each renewal, and whether they all know of it.

A worker is known to those that were seen after it was there for all to see. It is not for as long as it says nothing
for the time of a lease: the others have divided its part of the limits by then, so it joins anew. Who starts again before
that takes the place of the one that was killed: they count it all the time.
"""

from dataclasses import dataclass

from relayd.mail.ids import WorkerIdentity
from relayd.ports.membership import Others
from relayd.store.postgres import nodes
from relayd.store.postgres.line import Session
from relayd.store.postgres.moment import Moment


@dataclass(frozen=True, slots=True)
class Seen:
    """A worker was seen, in milliseconds of the clock that leases end by."""

    before: int  # when it was seen the last time
    now: int


@dataclass(frozen=True, slots=True)
class Found:
    """What one renewal found; it holds once that is committed."""

    since: int | None
    others: Others
    counted_since: int | None  # as the row of the worker has it


class Members:
    """The others, as one worker sees them."""

    def __init__(self) -> None:
        self._worker: WorkerIdentity | None = None
        self._since: int | None = None  # who was seen after that counts this worker
        self._noted: int | None = -1  # in its row; less than 0: not known
        self._is_known = (
            False  # they all did when it last looked: it has a part from the next time on
        )

    async def begin(
        self, db: Session, worker: WorkerIdentity, *, since: int | None, at: Moment
    ) -> Others:
        """Return who is there at its registration; `since` then they count the one whose place it takes.

        Without such a one they cannot know of it yet. Where nobody is, all that come count it.
        """
        now = await nodes.clock(db, at=at)
        others = await nodes.others(db, worker, since=since, alive_at=now)
        if not others.workers:
            since = now
            await nodes.counted(db, worker, since=now)
        self._worker, self._since, self._is_known = worker, since, others.know_us
        self._noted = -1
        return others

    async def look(self, db: Session, seen: Seen, *, at: Moment) -> Found | None:
        """Return who else lives; None for a worker that did not register here.

        Just after the store was away all count that were alive when this one saw them last: they could not renew.
        """
        if self._worker is None:
            return None
        since = self._counted_since(seen)
        is_set = at.server_by is not None and seen.now > at.server_by
        may_be_gone = at.may_take_over and not is_set
        alive_at = seen.now if may_be_gone else min(seen.before, seen.now)
        if seen.now - seen.before >= nodes.ALIVE_FOR:
            self._since, self._is_known = (
                None,
                False,
            )  # also if nobody hears whether this is committed
            await self._note(db, None)
            others = await nodes.others(db, self._worker, since=None, alive_at=alive_at)
            return Found(None, others, None)
        others = await nodes.others(db, self._worker, since=since, alive_at=alive_at)
        has_part = others.know_us and self._is_known
        await self._note(db, counted_since := since if has_part else None)
        return Found(since, others, counted_since)

    async def _note(self, db: Session, since: int | None) -> None:
        if self._worker is not None and since != self._noted:
            self._noted = -1  # until it is known to be committed
            await nodes.counted(db, self._worker, since=since)

    def _counted_since(self, seen: Seen) -> int:
        """Return since when the others that were seen count this one, by the clock as it is now.

        After that was set back, all that are alive were seen before. They go on to count who had its part by then.
        """
        if self._since is None:
            return seen.now
        if seen.now >= max(seen.before, self._since):
            return self._since
        return min(self._since, seen.now - nodes.ALIVE_FOR if self._is_known else seen.now)

    def note(self, found: Found) -> Others:
        """Go by what was found from now on."""
        self._since, self._is_known = found.since, found.others.know_us
        self._noted = found.counted_since
        return found.others

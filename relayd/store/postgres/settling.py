"""Results on their way into the store: the acceptances that come together are written by one statement.

All else is written by `outcomes`, in a transaction: what the statement leaves as it was, whatever the reason. It writes
nothing while an endpoint waits for such events, since deliveries of those are lined up one by one.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from relayd.errors import LeaseLost
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId
from relayd.mail.outcome import (
    RecipientState,
    Relayed,
    Sent,
    may_repeat,
    state_after,
)
from relayd.ports.queue import Lease, Settlement
from relayd.store.postgres import content, events, messages, outcomes, telling
from relayd.store.postgres.guard import UNDER, may_become
from relayd.store.postgres.line import Row, Session
from relayd.store.postgres.moment import Moment
from relayd.store.values import to_ms, without_nul

Who = tuple[MessageId, int]  # a message, and the number of a recipient

_REPORTED = "SELECT id FROM message WHERE id = ANY($1::bigint[])"
_ACCEPTED = (
    "WITH s AS (SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::bigint[], $5::int[], $6::text[], $7::int[],"
    " $8::text[], $9::text[], $10::text[], $11::text[]) AS s (message_id, number, slot, epoch, attempt, became, said_code,"
    " said_enhanced, said_reply, host, redirected) WHERE NOT EXISTS (SELECT 1 FROM subscription"
    " WHERE kind = ANY($19::text[]))),"
    " d AS (DELETE FROM queue q USING s WHERE q.message_id = s.message_id AND q.number = s.number"
    " AND {under} = s.slot AND q.epoch = s.epoch AND q.attempts = coalesce(s.attempt, q.attempts) AND ({allowed})"
    " RETURNING q.*, s.became, s.said_code, s.said_enhanced, s.said_reply, s.host, s.redirected),"
    " r AS (INSERT INTO recipient ({columns}) SELECT {kept}, became, said_code, said_enhanced, said_reply, NULL, NULL, NULL,"
    " false, host, redirected, $12 FROM d),"
    " x AS (DELETE FROM content c USING d WHERE c.message_id = d.message_id AND d.siblings = 1"
    " AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.message_id = c.message_id) RETURNING c.message_id, c.parts),"
    " p AS (DELETE FROM content_part USING x WHERE content_part.message_id = x.message_id AND x.parts > 0),"
    " e AS (INSERT INTO event (number, message_id, recipient, at, kind, detail)"
    " SELECT {number}, n.message_id, n.recipient, n.at, n.kind, n.detail"
    " FROM unnest($13::int[], $14::bigint[], $15::int[], $16::bigint[], $17::text[], $18::text[])"
    " AS n (n, message_id, recipient, at, kind, detail)"
    " JOIN d ON d.message_id = n.message_id AND d.number = n.recipient)"
    " SELECT message_id, number, slot, epoch, siblings FROM d"
)


@dataclass(frozen=True, slots=True)
class Results:
    """What became of recipients of one lease, and what is known of it, should a connection be lost in between."""

    lease: Lease
    settlements: Sequence[Settlement]
    reports: Sequence[NewMessage]
    written: set[Who] = field(default_factory=set)  # for good
    reported: set[int] = field(default_factory=set)  # reports that are written
    given_up: set[Who] = field(default_factory=set)  # nobody knows, and it may not be repeated
    to_drop: set[MessageId] = field(default_factory=set)  # whose content perhaps nobody waits for


class Settling:
    """Writes results. `keeps`: the content of what bounces is kept."""

    def __init__(self, *, moment: Callable[[], Moment], keeps: bool) -> None:
        self._moment = moment
        self._keeps = keeps

    async def write(
        self, db: Session, results: Sequence[Results]
    ) -> Sequence[Sequence[Settlement] | Exception]:
        """Write results; return of each what was written, or LeaseLost."""
        accepted = await self._write_accepted(db, results)
        to_drop = {message_id for each in results for message_id in each.to_drop}
        pairs = list(zip(results, accepted, strict=True))
        if to_drop or any(_left(each, done) for each, done in pairs):
            await db.begin()
            await content.drop(db, to_drop)
        return [await self._write_rest(db, each, done) for each, done in pairs]

    async def _write_accepted(
        self, db: Session, results: Sequence[Results]
    ) -> Sequence[AbstractSet[Who]]:
        """Write acceptances; return which, of each of the results.

        Outside of a transaction they are written for good, whatever comes behind them.
        """
        is_for_good = not db.is_begun
        found_in = [
            (each, one)
            for each in results
            if not each.reports
            for one in _left(each)
            if isinstance(one.outcome, Relayed | Sent)
        ]
        # Of two attempts of one recipient the statement could not tell the events apart.
        once = Counter(_who(one) for _, one in found_in)
        rows = [(each, one) for each, one in found_in if once[_who(one)] == 1]
        if not rows:
            return [set() for _ in results]
        at = self._moment()
        event_rows: list[Row] = [
            (one.message_id, one.recipient, to_ms(one.at), str(one.kind), events.dump(one.detail))
            for _, settled in rows
            for one in settled.events
        ]
        first = events.take_numbers(db, len(event_rows))
        found = await db.fetch(
            accept(),
            *messages.columns([_row(each.lease, one) for each, one in rows], 11),
            at.now,
            list(range(first, db.events)),
            *messages.columns(event_rows, 5),
            telling.may_be_told(event_rows),
        )
        gone: dict[tuple[int, int], set[Who]] = {}
        for message_id, number, slot, epoch, _ in found:
            gone.setdefault((slot, epoch), set()).add((message_id, number))
        shared = {message_id for message_id, _, _, _, siblings in found if siblings > 1}
        accepted = []
        for each in results:
            done = {_who(one) for whose, one in rows if whose is each}
            done &= gone.get((each.lease.slot, each.lease.epoch), set())
            accepted.append(done)
            each.to_drop.update(
                MessageId(message_id) for message_id, _ in done if message_id in shared
            )
            if is_for_good:
                each.written.update(done)
        return accepted

    async def _write_rest(
        self, db: Session, results: Results, accepted: AbstractSet[Who]
    ) -> Sequence[Settlement] | Exception:
        at, left = self._moment(), _left(results, accepted)
        written, lost = results.written | accepted, None
        if left or not results.settlements:
            try:
                rest = await outcomes.settle_all(db, results.lease, left, at=at, keeps=self._keeps)
            except LeaseLost as exc:
                lost = exc
            else:
                written |= {_who(one) for one in rest}
        if passed_over := [one for one in left if _who(one) not in written]:
            before = await self._written_before(db, results, passed_over)
            await content.drop(db, (message_id for message_id, _ in before))
            written |= before
        if lost is not None and not written:
            return lost
        for report in results.reports if written else ():
            if report.id not in results.reported:
                await messages.insert(db, report, {}, at=at, is_returned=True)
        return [one for one in results.settlements if _who(one) in written]

    async def happened(
        self, db: Session, results: Sequence[Results]
    ) -> Sequence[Sequence[Settlement] | Exception] | None:
        """Find out, after a connection was lost, what is written, and which reports are.

        All else may be written again, since its guards see what was. But what goes back uncounted and without an event
        may be leased again by now, as the same attempt: if it did not go back, the release of the lease does that.
        """
        for each in results:
            found = await self._written_before(db, each, each.settlements)
            each.written.update(found)
            each.to_drop.update(message_id for message_id, _ in found)
            each.given_up.update(
                _who(one)
                for one in each.settlements
                if not may_repeat(one.outcome) and not one.events
            )
        return None

    async def _written_before(
        self, db: Session, results: Results, settlements: Sequence[Settlement]
    ) -> AbstractSet[Who]:
        """Return which are written already, and note their reports: those that have their events in the history.

        Who was told that the store is away, or that nobody knows, settles once more, and has to hear of all of it.
        """
        told = [one for one in settlements if one.events]
        found = await events.recorded(db, [one.events[0] for one in told])
        if found:
            ids = [report.id for report in results.reports]
            results.reported.update(known for (known,) in await db.fetch(_REPORTED, ids))
        return {_who(told[n]) for n in found}


def accept() -> str:
    """Return the statement that writes acceptances."""
    return _ACCEPTED.format(
        under=UNDER.replace("slot", "q.slot"),
        allowed=" OR ".join(map(_allowed, (RecipientState.SENT, RecipientState.RELAYED))),
        columns=outcomes.FINISHED,
        kept=outcomes.KEPT,
        number=events.NUMBER,
    )


def _who(one: Settlement) -> Who:
    return one.message_id, one.recipient


def _left(results: Results, accepted: AbstractSet[Who] = frozenset()) -> Sequence[Settlement]:
    """Return what is not written yet, and may be."""
    over = results.written | results.given_up | accepted
    return [one for one in results.settlements if _who(one) not in over]


def _row(lease: Lease, one: Settlement) -> Row:
    return (
        one.message_id,
        one.recipient,
        lease.slot,
        lease.epoch,
        one.attempt,
        state_after(one.outcome).value,
        one.code,
        one.enhanced,
        without_nul(one.reply),
        without_nul(one.remote_host),
        one.redirected_to,
    )


def _allowed(after: RecipientState) -> str:
    """Return the condition of those that may become this, where that is what becomes of them."""
    allowed = may_become(after).replace("state IN", "q.state IN")
    return f"(s.became = '{after}' AND {allowed})"

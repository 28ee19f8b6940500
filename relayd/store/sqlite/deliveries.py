"""Deliveries to endpoints inside one transaction: leasing, what became of them, sending them again.

The trigger `event_told` of the schema is where a delivery begins. `now` and all instants but `at` are
milliseconds of the count by which mail ages (`relayd.store.sqlite.age`).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import apsw

from relayd.policy.console.webhook import Off, Result, Standing, Try, generations_of, judge
from relayd.ports.outbox import (
    Action,
    DeliveryResult,
    EndpointId,
    Outgoing,
    Replay,
    Settled,
)
from relayd.ports.people import Author, Deed
from relayd.store.outbox_rows import (
    FACTS,
    STANDING,
    STATE_AFTER,
    columns_of,
    event_of,
    lined_up,
    standing_of,
)
from relayd.store.sqlite.people_writes import note
from relayd.store.sqlite.values import fetch, from_ms, to_ms

JOINS = (
    " LEFT JOIN event e ON e.id = d.event AND e.message_id = d.message_id"
    " LEFT JOIN message m ON m.id = e.message_id"
    " LEFT JOIN recipient r ON r.message_id = e.message_id AND r.number = e.recipient"
)
_ENDPOINTS = (
    "SELECT e.id, e.url, e.generation, e.rotated_at,"  # noqa: S608 -- constants
    " (SELECT count(*) FROM delivery WHERE endpoint = e.id AND state = 'sending' AND next_at > ?),"
    f" {STANDING} FROM endpoint e WHERE NOT e.dropped ORDER BY e.claimed_at, e.id"
)
_ENDED = "SELECT event FROM delivery WHERE endpoint = ? AND state = 'sending' AND next_at <= ? ORDER BY next_at, event"
_DUE = "SELECT event FROM delivery WHERE endpoint = ? AND state = 'waiting' AND next_at <= ? ORDER BY next_at, event"
_TESTS = " AND event < 0"
_CLAIM = (
    "UPDATE delivery SET state = 'sending', next_at = ?, claimed_at = ?, claims = claims + 1, sent_at = ?"
    " WHERE endpoint = ? AND event = ? RETURNING claims, at"
)
_SENT = (
    "SELECT d.claimed_at, d.refusals, d.message_id, d.recipient,"  # noqa: S608 -- constants
    f" {STANDING} FROM delivery d JOIN endpoint e ON e.id = d.endpoint AND NOT e.dropped"
    " WHERE d.endpoint = ? AND d.event = ? AND d.claims = ? AND d.state = 'sending'"
)
_LINE = (
    "SELECT event, state FROM delivery WHERE endpoint = ? AND message_id = ? AND recipient = ?"
    " AND state IN ('waiting', 'behind', 'sending') ORDER BY event"
)


def claim(db: apsw.Connection, limit: int, *, now: int, until: int, sent_at: int) -> list[Outgoing]:
    """Lease what is due."""
    claimed = []
    for endpoint, url, generations, event in list(_due(db, limit, now=now)):
        [(number, at)] = fetch(db, _CLAIM, (until, now, sent_at, endpoint, event))
        db.execute("UPDATE endpoint SET claimed_at = ? WHERE id = ?", (now, endpoint))
        row = fetch(
            db,
            f"SELECT {FACTS} FROM delivery d {JOINS} WHERE d.endpoint = ? AND d.event = ?",  # noqa: S608 -- constants
            (endpoint, event),
        )[0]
        claimed.append(
            Outgoing(
                endpoint=EndpointId(endpoint),
                number=event,
                claim=number,
                url=url,
                generations=generations,
                at=from_ms(at),
                event=event_of(row),
            )
        )
    return claimed


def is_due(db: apsw.Connection, *, now: int) -> bool:
    """Tell whether there is anything to lease, reading only."""
    return next(_due(db, 1, now=now), None) is not None


def _due(
    db: apsw.Connection, limit: int, *, now: int
) -> Iterator[tuple[int, str, tuple[int, ...], int]]:
    """Yield what may be sent: endpoint, URL, generations of its secret, and the number of the event."""
    for endpoint, url, generation, rotated_at, sending, *row in fetch(db, _ENDPOINTS, (now,)):
        generations = generations_of(generation, rotated_at, now)
        room = standing_of(row).at_once(now) - sending
        tests = "" if room > 0 else _TESTS  # somebody waits for those
        for sql in (_ENDED, _DUE):
            where, order = sql.split(" ORDER BY")
            for (event,) in fetch(
                db,
                f"{where}{tests} ORDER BY{order} LIMIT ?",
                (endpoint, now, min(limit, max(room, 1))),
            ):
                yield endpoint, url, generations, event
                room, limit = room - 1, limit - 1
                if limit <= 0:
                    return
                if room <= 0:
                    break
            if room <= 0 and not tests:
                break


def settle(
    db: apsw.Connection, result: DeliveryResult, *, now: int, heard_at: int, jitter: float
) -> Settled | None:
    """Record what became of one delivery; None, and nothing, if it is not leased under that claim."""
    key = (result.endpoint, result.number)
    found = fetch(db, _SENT, (*key, result.claim))
    if not found:
        return None
    claimed_at, refusals, message_id, recipient, *row = found[0]
    before = standing_of(row)
    tried = Try(begun_at=claimed_at, refusals=refusals, is_test=result.number < 0)
    verdict = judge(result.answer, before, tried, now=now, jitter=jitter)
    heard = result.heard
    said = (heard.status, heard.trouble, heard.octets, int(heard.took.total_seconds() * 1000))
    db.execute(
        "UPDATE delivery SET state = ?, next_at = ?, refusals = ?, status = ?, trouble = ?, octets = ?,"
        " took = ? WHERE endpoint = ? AND event = ?",
        (STATE_AFTER[verdict.result], verdict.due_at, verdict.refusals, *said, *key),
    )
    keep_standing(db, result.endpoint, verdict.standing)
    db.execute(
        "UPDATE endpoint SET heard_at = ?1, ok_at = iif(?2, ?1, ok_at), status = ?3, trouble = ?4, octets = ?5,"
        " took = ?6 WHERE id = ?7",
        (heard_at, verdict.result is Result.DONE, *said, result.endpoint),
    )
    line_up(db, result.endpoint, message_id, recipient)
    return Settled(
        endpoint=result.endpoint,
        number=result.number,
        result=verdict.result,
        disabled=Off.NO if before.off else verdict.standing.off,
    )


def line_up(db: apsw.Connection, endpoint: int, message_id: int, recipient: int) -> None:
    """Let the first unfinished delivery of a recipient wait, and those of later events behind it."""
    if not message_id:  # tests wait for nobody
        return
    for event, state in lined_up(fetch(db, _LINE, (endpoint, message_id, recipient))):
        db.execute(
            "UPDATE delivery SET state = ? WHERE endpoint = ? AND event = ?",
            (state, endpoint, event),
        )


def finished(db: apsw.Connection, wanted: Replay) -> list[int]:
    """Return the numbers of the events whose deliveries match, reading only: the first, and one more than asked for."""
    if wanted.number is not None:
        return [wanted.number]
    states = "state = 'failed'" if wanted.only_failed else "state IN ('done', 'failed')"
    since = 0 if wanted.since is None else to_ms(wanted.since)
    until = 2**62 if wanted.until is None else to_ms(wanted.until)
    rows = fetch(
        db,
        f"SELECT event FROM delivery WHERE endpoint = ? AND event > ? AND {states}"  # noqa: S608 -- constants
        " AND at >= ? AND at < ? ORDER BY event LIMIT ?",
        (wanted.endpoint, max(wanted.after, 0), since, until, wanted.limit + 1),
    )
    return [event for (event,) in rows]


def replay(
    db: apsw.Connection, wanted: Replay, events: Sequence[int], *, author: Author, now: datetime
) -> int:
    """Send those again that are still finished; return how many."""
    states = "state = 'failed'" if wanted.only_failed else "state IN ('done', 'failed')"
    changed = 0
    for event in events:
        found = fetch(
            db,
            "UPDATE delivery SET state = 'behind', next_at = -1, refusals = 0"  # noqa: S608 -- constants
            f" WHERE endpoint = ? AND event = ? AND event > 0 AND {states} RETURNING message_id, recipient",
            (wanted.endpoint, event),
        )
        for message_id, recipient in found:
            line_up(db, wanted.endpoint, message_id, recipient)
        changed += len(found)
    if changed:
        note(db, Deed(Action.REPLAYED, str(wanted.endpoint), f"{changed} deliveries"), author, now)
    return changed


def keep_standing(db: apsw.Connection, endpoint: int, standing: Standing) -> None:
    db.execute(
        "UPDATE endpoint SET failures = ?, failing_since = ?, rests_from = ?, rests_until = ?, off = ?"
        " WHERE id = ?",
        (*columns_of(standing), endpoint),
    )

"""Deliveries to endpoints inside one transaction: leasing, what became of them, sending them again.

`telling` is where a delivery begins. `now` and all instants but `at` are milliseconds of the count by which mail ages
(`relayd.store.postgres.age`).

Workers share the endpoints: each verb locks those that it is about, and what is counted or lined up behind that
lock is of its holder alone, whichever worker it is. Who begins deliveries locks those of the recipient instead.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from relayd.policy.console.webhook import Off, Result, Standing, Try, generations_of, judge
from relayd.ports.outbox import Action, DeliveryResult, EndpointId, Outgoing, Replay, Settled
from relayd.ports.people import Author, Deed
from relayd.store.outbox_rows import (
    FACTS,
    STANDING,
    STATE_AFTER,
    UNFINISHED,
    columns_of,
    event_of,
    lined_up,
    standing_of,
)
from relayd.store.postgres.line import Session
from relayd.store.postgres.people_writes import note
from relayd.store.values import from_ms, to_ms

# Each row is looked up by its key: PostgreSQL would read all recipients to join them from the outside.
JOINS = (
    " LEFT JOIN LATERAL (SELECT kind, at, message_id, recipient, detail FROM event"
    " WHERE number = d.event AND message_id = d.message_id LIMIT 1) e ON true"
    " LEFT JOIN LATERAL (SELECT id, message_id_header, reverse_path, tag, size FROM message"
    " WHERE id = e.message_id LIMIT 1) m ON true"
    " LEFT JOIN LATERAL (SELECT address FROM every_recipient"
    " WHERE message_id = e.message_id AND number = e.recipient LIMIT 1) r ON true"
)
HOLD = "SELECT 1 FROM endpoint WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE"
"""Locks endpoints until the transaction ends."""
_OF = "FROM delivery WHERE endpoint = {}"
# The least of an index, where EXISTS would gather all that is due of all endpoints.
_DUE_AT = f"(SELECT min(next_at) {_OF.format('e.id')} AND state = '{{}}')"
_IS_DUE = f"least({_DUE_AT.format('waiting')}, {_DUE_AT.format('sending')}) <= $1"
_TESTS_DUE = (
    f"(SELECT count(*) {_OF.format('e.id')} AND message_id = 0"
    " AND state IN ('waiting', 'sending') AND next_at <= $1)"
)
_ENDPOINTS = (
    "SELECT e.id, e.url, e.generation, e.rotated_at,"  # noqa: S608 -- constants
    f" (SELECT count(*) {_OF.format('e.id')} AND state = 'sending' AND next_at > $1), {{}}, {STANDING}"
    " FROM endpoint e WHERE NOT e.dropped"
)
_LOOK = f"{_ENDPOINTS.format(_TESTS_DUE)} AND {_IS_DUE} ORDER BY e.claimed_at, e.id"
_HELD = f"{_ENDPOINTS.format('0')} AND e.id = ANY($2::bigint[]) ORDER BY e.claimed_at, e.id"
_TRY_HOLD = "SELECT id FROM endpoint WHERE id = ANY($1::bigint[]) FOR NO KEY UPDATE SKIP LOCKED"
_DUE = (
    f"SELECT event {_OF.format('$1')} AND state = '{{}}' AND next_at <= $2{{}}"
    " ORDER BY next_at, event LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED"
)
_TESTS = " AND event < 0"
_CLAIM = (
    "UPDATE delivery SET state = 'sending', next_at = $3, claimed_at = $4, claims = claims + 1, sent_at = $5"
    " WHERE endpoint = $1 AND event = ANY($2::bigint[])"
)
_CLAIMED = (
    f"SELECT d.event, d.claims, d.at, {FACTS} FROM unnest($2::bigint[]) WITH ORDINALITY AS wanted (event, n)"  # noqa: S608 -- constants
    f" JOIN delivery d ON d.endpoint = $1 AND d.event = wanted.event{JOINS} ORDER BY wanted.n"
)
# Those of the same recipients too: who begins one more has seen the one before either finished or not.
_LINES = (
    "SELECT 1 FROM (SELECT DISTINCT x.endpoint, x.message_id, x.recipient FROM unnest($1::bigint[], $2::bigint[])"  # noqa: S608 -- constants
    " AS wanted (endpoint, event) JOIN delivery x USING (endpoint, event)) line"
    " JOIN delivery d ON d.endpoint = line.endpoint AND d.message_id = line.message_id AND d.recipient = line.recipient"
    f" AND d.{UNFINISHED} ORDER BY d.endpoint, d.event FOR NO KEY UPDATE OF d"
)
_SENT = (
    "SELECT d.claimed_at, d.refusals, d.message_id, d.recipient,"  # noqa: S608 -- constants
    f" {STANDING} FROM delivery d JOIN endpoint e ON e.id = d.endpoint AND NOT e.dropped"
    " WHERE d.endpoint = $1 AND d.event = $2 AND d.claims = $3 AND d.state = 'sending'"
)
_HEARD = (
    "UPDATE delivery SET state = $3, next_at = $4, refusals = $5, status = $6, trouble = $7, octets = $8,"
    " took = $9 WHERE endpoint = $1 AND event = $2"
)
_HEARD_OF = (
    "UPDATE endpoint SET heard_at = $2, ok_at = CASE WHEN $3 THEN $2 ELSE ok_at END, status = $4, trouble = $5,"
    " octets = $6, took = $7 WHERE id = $1"
)
_LINE = (
    f"SELECT event, state {_OF.format('$1')} AND message_id = $2 AND recipient = $3"
    f" AND {UNFINISHED} ORDER BY event"
)
_MOVE = "UPDATE delivery SET state = $3 WHERE endpoint = $1 AND event = $2"


async def claim(db: Session, limit: int, *, now: int, until: int, sent_at: int) -> list[Outgoing]:
    """Lease what is due. It only reads when nothing is; what another worker is busy with is for that one."""
    may = [
        row[0]
        for row in await db.fetch(_LOOK, now)
        if row[5] or standing_of(row[6:]).at_once(now) > row[4]
    ]
    if not may:
        return []
    held = [endpoint for (endpoint,) in await db.fetch(_TRY_HOLD, may)]
    claimed: list[Outgoing] = []
    for endpoint, url, generation, rotated_at, sending, _, *row in await db.fetch(_HELD, now, held):
        room = standing_of(row).at_once(now) - sending
        events = await _due(db, endpoint, limit - len(claimed), room, now=now)
        if not events:
            continue
        await db.execute(_CLAIM, endpoint, events, until, now, sent_at)
        await db.execute("UPDATE endpoint SET claimed_at = $2 WHERE id = $1", endpoint, now)
        claimed += [
            Outgoing(
                endpoint=EndpointId(endpoint),
                number=event,
                claim=claims,
                url=url,
                generations=generations_of(generation, rotated_at, now),
                at=from_ms(at),
                event=event_of(facts),
            )
            for event, claims, at, *facts in await db.fetch(_CLAIMED, endpoint, events)
        ]
    return claimed


async def _due(db: Session, endpoint: int, limit: int, room: int, *, now: int) -> list[int]:
    """Return the events of what may be sent to an endpoint: what was lost on its way goes first."""
    tests = "" if room > 0 else _TESTS  # somebody waits for those
    most = min(limit, max(room, 1))
    found: list[int] = []
    for state in ("sending", "waiting"):
        rows = await db.fetch(_DUE.format(state, tests), endpoint, now, most - len(found))
        found += [event for (event,) in rows]
    return found


async def hold(db: Session, results: Sequence[DeliveryResult]) -> None:
    """Have endpoints and recipients of those results for this transaction alone, before any of them is settled."""
    endpoints = [each.endpoint for each in results]
    await db.fetch(HOLD, endpoints)
    await db.fetch(_LINES, endpoints, [each.number for each in results])


async def settle(
    db: Session, result: DeliveryResult, *, now: int, heard_at: int, jitter: float
) -> Settled | None:
    """Record what became of one delivery that is held; None, and nothing, if it is not leased under that claim."""
    key = (result.endpoint, result.number)
    found = await db.fetch(_SENT, *key, result.claim)
    if not found:
        return None
    claimed_at, refusals, message_id, recipient, *row = found[0]
    before = standing_of(row)
    tried = Try(begun_at=claimed_at, refusals=refusals, is_test=result.number < 0)
    verdict = judge(result.answer, before, tried, now=now, jitter=jitter)
    heard = result.heard
    said = (heard.status, heard.trouble, heard.octets, int(heard.took.total_seconds() * 1000))
    state = STATE_AFTER[verdict.result].value
    await db.execute(_HEARD, *key, state, verdict.due_at, verdict.refusals, *said)
    await keep_standing(db, result.endpoint, verdict.standing)
    is_done = verdict.result is Result.DONE
    await db.execute(_HEARD_OF, result.endpoint, heard_at, is_done, *said)
    await line_up(db, result.endpoint, [(message_id, recipient)])
    return Settled(
        endpoint=result.endpoint,
        number=result.number,
        result=verdict.result,
        disabled=Off.NO if before.off else verdict.standing.off,
    )


async def line_up(db: Session, endpoint: int, whose: Iterable[tuple[int, int]]) -> None:
    """Let the first unfinished delivery of each recipient wait, and those of later events behind it."""
    for message_id, recipient in whose:
        if message_id:  # tests wait for nobody
            line = await db.fetch(_LINE, endpoint, message_id, recipient)
            changes = [(endpoint, event, state.value) for event, state in lined_up(line)]
            if changes:
                await db.many(_MOVE, changes)


async def replay(
    db: Session, wanted: Replay, *, author: Author, now: datetime
) -> tuple[int, int | None]:
    """Send finished deliveries again; return how many, and the last if there may be more."""
    endpoint = wanted.endpoint
    await db.fetch(HOLD, [endpoint])
    events = await _finished(db, wanted)
    part = events[: wanted.limit]
    found = await db.fetch(
        "UPDATE delivery SET state = 'behind', next_at = -1, refusals = 0"  # noqa: S608 -- constants
        f" WHERE endpoint = $1 AND event = ANY($2::bigint[]) AND event > 0 AND {_states(wanted)}"
        " RETURNING message_id, recipient",
        endpoint,
        part,
    )
    await line_up(db, endpoint, sorted(set(found)))
    if found:
        await note(
            db, Deed(Action.REPLAYED, str(endpoint), f"{len(found)} deliveries"), author, now
        )
    return len(found), part[-1] if len(part) < len(events) else None


async def _finished(db: Session, wanted: Replay) -> list[int]:
    """Return the numbers of the events whose deliveries match: the first, and one more than asked for."""
    if wanted.number is not None:
        return [wanted.number]
    since = 0 if wanted.since is None else to_ms(wanted.since)
    until = 2**62 if wanted.until is None else to_ms(wanted.until)
    rows = await db.fetch(
        f"SELECT event {_OF.format('$1')} AND event > $2 AND {_states(wanted)}"
        " AND at >= $3 AND at < $4 ORDER BY event LIMIT $5",
        wanted.endpoint,
        max(wanted.after, 0),
        since,
        until,
        wanted.limit + 1,
    )
    return [event for (event,) in rows]


def _states(wanted: Replay) -> str:
    return "state = 'failed'" if wanted.only_failed else "state IN ('done', 'failed')"


async def keep_standing(db: Session, endpoint: int, standing: Standing) -> None:
    await db.execute(
        "UPDATE endpoint SET failures = $2, failing_since = $3, rests_from = $4, rests_until = $5, off = $6"
        " WHERE id = $1",
        endpoint,
        *columns_of(standing),
    )

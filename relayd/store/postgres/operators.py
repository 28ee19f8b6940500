"""The operator's verbs inside one transaction: hold, release, expedite, bounce, drop (S-20)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby

from relayd.mail.envelope import NewMessage
from relayd.mail.event import Subject
from relayd.mail.ids import MessageId
from relayd.mail.operator import ACTS, BOUNCED_AS, Act, Action, Operator
from relayd.mail.outcome import RecipientState
from relayd.policy.delivery.retry import LastRetry
from relayd.ports.queue import Acted, Batch, Foreseen, ReportGivenUp
from relayd.ports.view import Query, Target
from relayd.store.postgres import content, destinations, events, messages, outcomes
from relayd.store.postgres.claims import MESSAGE_COLUMNS, NO_MAIL_HOST_AT
from relayd.store.postgres.guard import may_become
from relayd.store.postgres.line import Session
from relayd.store.postgres.moment import Moment
from relayd.store.postgres.search import Key, Search
from relayd.store.rows import IS_REPORT, message_of, recipient_of
from relayd.store.values import to_ms

_MS = timedelta(milliseconds=1)
_AT_ONCE = 1000  # recipients found in one step
_OF = "unnest($1::bigint[], $2::int[]) AS wanted (message_id, number)"
_JOINED = f"{_OF} JOIN queue USING (message_id, number)"

# The attempt of a leased recipient runs on, and its outcome will not be heard (S-07).
# Of one that a pause rule holds, no attempt runs, and its time does not count already.
_IS_DUPLICATE = "greatest(possible_duplicate, (coalesce(slot, 0) > 0)::int)"
_DUE = "next_attempt_at = $3, extra = true"
_CHANGES = {
    Action.HOLD: f"slot = NULL, epoch = NULL, possible_duplicate = {_IS_DUPLICATE},"
    " uncounted = uncounted - CASE WHEN slot < 0 THEN 0 ELSE $4 END",
    Action.RELEASE: f"{_DUE}, uncounted = uncounted + $4",
    Action.EXPEDITE: _DUE,
}
_CHANGE = (
    "UPDATE queue SET updated_at = $3, state = '{state}', {change}"  # noqa: S608 -- constants
    f" FROM {_OF} WHERE queue.message_id = wanted.message_id AND queue.number = wanted.number"
    " AND $4::bigint IS NOT NULL"
)
_KEPT = (
    "message_id, number, attempts, soft_failures, siblings, destination, address, address_key, parameters,"
    " returned, uncounted, extra, chosen_by, requeued_as, remote_host, redirected_to"
)
_SAID = "code, enhanced, reply, reason, category, bounce_class, suppress"
_END = (
    "WITH q AS (DELETE FROM queue USING"  # noqa: S608 -- constants
    f" {_OF} WHERE queue.message_id = wanted.message_id AND queue.number = wanted.number RETURNING queue.*)"
    f" INSERT INTO recipient ({_KEPT}, possible_duplicate, updated_at, state, {_SAID})"
    f" SELECT {_KEPT}, {_IS_DUPLICATE}, $3, '{{state}}', {{said}} FROM q"
)
# While a recipient is held or stopped, what was served is in `uncounted`.
_HAS_USED_LAST = (
    "(soft_failures >= $3 OR possible_duplicate >= $4 OR (SELECT"  # noqa: S608 -- constants
    " CASE WHEN queue.state = 'held' OR queue.slot < 0 THEN 0 ELSE $7 END - m.served_at - queue.uncounted"
    f" >= CASE WHEN m.flags & {IS_REPORT} > 0 THEN $6::bigint ELSE $5::bigint END"
    " FROM message m WHERE m.id = queue.message_id))"
)


_MESSAGE = (
    f"SELECT {MESSAGE_COLUMNS.format(served='$2')}, c.body, p.body FROM message m"  # noqa: S608 -- constants
    " JOIN content c ON c.message_id = m.id"
    " LEFT JOIN content_part p ON p.message_id = m.id AND p.part = 0 WHERE m.id = $1"
)
_RECIPIENTS = (
    "SELECT q.number, q.address, q.parameters, q.attempts, q.soft_failures,"  # noqa: S608 -- constants
    f" {_IS_DUPLICATE}, {NO_MAIL_HOST_AT}, 0, false FROM queue q"
    " WHERE q.message_id = $1 AND q.number = ANY($2::int[]) ORDER BY q.number"
)


@dataclass(frozen=True, slots=True)
class _Target:
    message_id: MessageId
    number: int
    destination: str
    has_failed: bool  # in its last attempt
    subject: Subject


async def act(
    db: Session,
    selector: Query,
    operator: Operator,
    *,
    report: ReportGivenUp | None = None,
    batch: Batch,
    at: Moment,
    keeps: bool = False,
) -> Acted:
    """Carry out a verb on every recipient of a batch that matches and allows it, its reports included."""
    keys, more = await _matching(db, selector, batch)
    targets = await _targets(db, keys, ACTS[operator.action])
    reports: list[NewMessage] = []
    if operator.action is Action.BOUNCE and report is not None:
        reports = await _reports(db, targets, report, reason=operator.reason, at=at)
    await _apply(db, targets, operator, at=at)
    if operator.action is Action.BOUNCE and keeps:
        now = to_ms(operator.at)
        await db.many(outcomes.KEEP, [(each.message_id, each.number, now) for each in targets])
    written = [
        operator.event(each.message_id, each.number, each.subject, has_failed=each.has_failed)
        for each in targets
    ]
    await events.record(db, written)
    await content.drop(db, (target.message_id for target in targets))
    for each in reports:
        await messages.insert(db, each, {}, at=at, is_returned=True)
    return Acted(events=tuple(written), reports=tuple(reports), matched=len(keys), more=more)


async def foresee(
    db: Session, selector: Query, action: Action, *, last: LastRetry, served: int
) -> Foreseen:
    """Count whom a verb would change, a step at a time."""
    sql = (
        f"SELECT count(*), count(*) FILTER (WHERE {_HAS_USED_LAST}) FROM {_JOINED}"  # noqa: S608 -- constants
        f" WHERE {_applies(ACTS[action])}"
    )
    search = await _begun(db, selector)
    foreseen = Foreseen()
    while not search.is_done:
        keys = await _step(db, search, _AT_ONCE)
        [(changed, last_retry)] = await db.fetch(sql, *_bound(keys, last, served))
        foreseen = Foreseen(
            matched=foreseen.matched + len(keys),
            changed=foreseen.changed + changed,
            last_retry=foreseen.last_retry + last_retry,
        )
    return foreseen


async def name(
    db: Session, selector: Query, action: Action, batch: Batch, *, last: LastRetry, served: int
) -> Foreseen:
    """Name whom a verb would change in a batch."""
    sql = (
        f"SELECT message_id, number, address, {_HAS_USED_LAST} FROM {_JOINED}"  # noqa: S608 -- constants
        f" WHERE {_applies(ACTS[action])} ORDER BY message_id DESC, number"
    )
    keys, more = await _matching(db, selector, batch)
    rows = await db.fetch(sql, *_bound(keys, last, served))
    return Foreseen(
        matched=len(keys),
        changed=len(rows),
        last_retry=sum(row[3] for row in rows),
        targets=tuple(Target(MessageId(row[0]), row[1], row[2]) for row in rows),
        more=more,
    )


def _bound(keys: Sequence[Key], last: LastRetry, served: int) -> tuple[object, ...]:
    return (
        *_columns(keys),
        last.soft_failures,
        last.unknown_outcomes,
        last.age // _MS,
        last.report_age // _MS,
        served,
    )


def _columns(keys: Sequence[Key]) -> tuple[list[int], list[int]]:
    return [message_id for message_id, _ in keys], [number for _, number in keys]


async def _matching(db: Session, selector: Query, batch: Batch) -> tuple[list[Key], Key | None]:
    """Return the unfinished recipients of a batch that match, and the last if there may be more."""
    search = await _begun(db, selector, before=batch.before)
    keys: list[Key] = []
    while not search.is_done and (batch.limit is None or len(keys) < batch.limit):
        left = _AT_ONCE if batch.limit is None else batch.limit - len(keys)
        keys += await _step(db, search, min(_AT_ONCE, left))
    if not keys or search.is_done:
        return keys, None
    rest = await _begun(db, replace(selector, message_id=keys[-1][0]), before=keys[-1])
    while not rest.is_done:  # a batch ends with a message
        keys += await _step(db, rest, _AT_ONCE)
    return keys, keys[-1]


async def _begun(db: Session, selector: Query, *, before: Key | None = None) -> Search:
    search = Search(replace(selector, unfinished=True), before=before)
    await search.begin(db)
    return search


async def _step(db: Session, search: Search, limit: int) -> list[Key]:
    rows = await search.step(db, "r.message_id, r.number", limit)
    return [(MessageId(message_id), number) for message_id, number in rows]


def _applies(act: Act) -> str:
    """Return the SQL condition of recipients for whom a verb has an effect."""
    spared = " AND coalesce(slot, 0) <= 0" if act.spares_leased else ""
    return may_become(act.leads_to, act.applies_to) + spared


async def _targets(db: Session, keys: Sequence[Key], act: Act) -> list[_Target]:
    """Return whom the action is about, the oldest first; nobody else changes them in this transaction."""
    await db.fetch(
        f"SELECT 1 FROM {_JOINED} ORDER BY message_id, number FOR UPDATE OF queue",  # noqa: S608 -- constants
        *_columns(keys),
    )
    rows = await db.fetch(
        "SELECT queue.message_id, queue.number, queue.destination, queue.category IS NOT NULL,"  # noqa: S608 -- constants
        " m.message_id_header, m.reverse_path, m.tag, m.size, queue.address"
        f" FROM {_JOINED} JOIN message m ON m.id = queue.message_id"
        f" WHERE {_applies(act)} ORDER BY 1, 2",
        *_columns(keys),
    )
    return [
        _Target(
            MessageId(row[0]),
            row[1],
            row[2],
            row[3],
            Subject(
                message_id_header=row[4],
                reverse_path=row[5],
                tag=row[6],
                size=row[7],
                address=row[8],
            ),
        )
        for row in rows
    ]


async def _reports(
    db: Session, targets: Sequence[_Target], report: ReportGivenUp, *, reason: str, at: Moment
) -> list[NewMessage]:
    """Compose a report for each message, while its content is there."""
    reports = []
    for message_id, those in groupby(targets, key=lambda target: target.message_id):
        numbers = [target.number for target in those]
        [(*row, body, part)] = await db.fetch(_MESSAGE, message_id, at.served)
        rows = await db.fetch(_RECIPIENTS, message_id, numbers)
        composed = report(
            message_of(tuple(row)), list(map(recipient_of, rows)), bytes(part or body), reason
        )
        if composed is not None:
            reports.append(composed)
    return reports


async def _apply(
    db: Session, targets: Sequence[_Target], operator: Operator, *, at: Moment
) -> None:
    action, now = operator.action, to_ms(operator.at)
    who = _columns([(target.message_id, target.number) for target in targets])
    state = ACTS[action].leads_to
    if action in _CHANGES:
        await db.execute(_CHANGE.format(state=state, change=_CHANGES[action]), *who, now, at.served)
    elif action is Action.BOUNCE:
        bounce_class, category = BOUNCED_AS
        said = "NULL, NULL, NULL, $4, $5, $6, false"
        why = (operator.reason, category.value, bounce_class.value)
        await db.execute(_END.format(state=state, said=said), *who, now, *why)
    else:
        await db.execute(_END.format(state=state, said=_SAID), *who, now)
    those = sorted({target.destination for target in targets})
    if action is Action.EXPEDITE:
        for destination in those:
            await destinations.pause(db, destination, 0)
    await destinations.refresh(db, *those)
    if state is RecipientState.QUEUED:
        await destinations.touch(db, dict.fromkeys(those, now))

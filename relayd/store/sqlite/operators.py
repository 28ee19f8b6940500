"""The operator's verbs inside one transaction: hold, release, expedite, bounce, drop (S-20)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby

import apsw
import orjson

from relayd.mail.envelope import NewMessage
from relayd.mail.event import Subject
from relayd.mail.ids import MessageId
from relayd.mail.operator import ACTS, BOUNCED_AS, Act, Action, Operator
from relayd.mail.outcome import RecipientState
from relayd.policy.delivery.retry import LastRetry
from relayd.ports.queue import Acted, Batch, Foreseen, ReportGivenUp
from relayd.ports.view import Query, Target
from relayd.store.sqlite import destinations, outcomes
from relayd.store.sqlite.guard import may_become
from relayd.store.sqlite.rows import (
    IS_REPORT,
    MESSAGE_COLUMNS,
    NO_MAIL_HOST_AT,
    message_of,
    recipient_of,
)
from relayd.store.sqlite.search import Key, Search
from relayd.store.sqlite.values import fetch, to_ms

_MS = timedelta(milliseconds=1)
_AT_ONCE = 1000  # recipients found in one step

# The attempt of a leased recipient runs on, and its outcome will not be heard (S-07).
# Of one that a pause rule holds, no attempt runs, and its time does not count already.
_AWAY = "slot = NULL, possible_duplicate = max(possible_duplicate, coalesce(slot > 0, 0))"
_DUE = "next_attempt_at = ?1, extra = 1"
_CHANGES = {
    Action.HOLD: f"{_AWAY}, uncounted = uncounted - iif(coalesce(slot, 0) < 0, 0, served())",
    Action.RELEASE: f"{_DUE}, uncounted = uncounted + served()",
    Action.EXPEDITE: _DUE,
    Action.BOUNCE: _AWAY,
    Action.DROP: _AWAY,
}


@dataclass(frozen=True, slots=True)
class _Target:
    message_id: MessageId
    number: int
    destination: str
    has_failed: bool  # in its last attempt
    subject: Subject


def act(
    db: apsw.Connection,
    selector: Query,
    operator: Operator,
    *,
    report: ReportGivenUp | None = None,
    batch: Batch,
    keeps: bool = False,
) -> tuple[Acted, list[MessageId]]:
    """Carry out a verb on every recipient of a batch that matches and allows it.

    The reports are not stored. Return also whose files can go once all this is durable.
    """
    keys, more = _matching(db, selector, batch)
    targets = _targets(db, keys, ACTS[operator.action])
    reports: list[NewMessage] = []
    if operator.action is Action.BOUNCE and report is not None:
        reports = _reports(db, targets, report, reason=operator.reason)
    _apply(db, targets, operator)
    if operator.action is Action.BOUNCE and keeps:
        now = to_ms(operator.at)
        db.executemany(
            outcomes.KEEP, [(now, target.message_id, target.number) for target in targets]
        )
    events = [
        operator.event(each.message_id, each.number, each.subject, has_failed=each.has_failed)
        for each in targets
    ]
    for event in events:
        outcomes.record(db, event)
    dropped = outcomes.drop_content(db, {target.message_id for target in targets})
    acted = Acted(events=tuple(events), reports=tuple(reports), matched=len(keys), more=more)
    return acted, dropped


# While a recipient is held or stopped, what was served is in `uncounted`.
_HAS_USED_LAST = (
    "(soft_failures >= ?2 OR possible_duplicate >= ?3 OR (SELECT"  # noqa: S608 -- constants
    " iif(recipient.state = 'held' OR coalesce(recipient.slot, 0) < 0, 0, ?6) - m.served_at - recipient.uncounted"
    f" >= iif(m.flags & {IS_REPORT}, ?5, ?4) FROM message m WHERE m.id = recipient.message_id))"
)


def _bound(keys: Sequence[Key], last: LastRetry, served: int) -> tuple[object, ...]:
    return (
        orjson.dumps(keys).decode(),
        last.soft_failures,
        last.unknown_outcomes,
        last.age // _MS,
        last.report_age // _MS,
        served,
    )


def foresee(
    db: apsw.Connection, selector: Query, action: Action, *, last: LastRetry, served: int
) -> Foreseen:
    """Count whom a verb would change, a step at a time."""
    act = ACTS[action]
    sql = (
        f"SELECT count(*), count(*) FILTER (WHERE {_HAS_USED_LAST})"  # noqa: S608 -- constants
        " FROM json_each(?1) wanted CROSS JOIN recipient"
        " ON message_id = wanted.value->>0 AND number = wanted.value->>1"
        f" WHERE {_applies(act)}"
    )
    search = Search(db, replace(selector, unfinished=True))
    foreseen = Foreseen()
    while not search.is_done:
        keys = search.step(_AT_ONCE)
        [(changed, last_retry)] = fetch(db, sql, _bound(keys, last, served))
        foreseen = Foreseen(
            matched=foreseen.matched + len(keys),
            changed=foreseen.changed + changed,
            last_retry=foreseen.last_retry + last_retry,
        )
    return foreseen


def name(
    db: apsw.Connection,
    selector: Query,
    action: Action,
    batch: Batch,
    *,
    last: LastRetry,
    served: int,
) -> Foreseen:
    """Name whom a verb would change in a batch."""
    sql = (
        f"SELECT message_id, number, address, {_HAS_USED_LAST}"  # noqa: S608 -- constants
        " FROM json_each(?1) wanted CROSS JOIN recipient"
        " ON message_id = wanted.value->>0 AND number = wanted.value->>1"
        f" WHERE {_applies(ACTS[action])} ORDER BY wanted.key"
    )
    keys, more = _matching(db, selector, batch)
    rows = fetch(db, sql, _bound(keys, last, served))
    return Foreseen(
        matched=len(keys),
        changed=len(rows),
        last_retry=sum(row[3] for row in rows),
        targets=tuple(Target(MessageId(row[0]), row[1], row[2]) for row in rows),
        more=more,
    )


def _matching(db: apsw.Connection, selector: Query, batch: Batch) -> tuple[list[Key], Key | None]:
    """Return the unfinished recipients of a batch that match, and the last if there may be more."""
    search = Search(db, replace(selector, unfinished=True), before=batch.before)
    keys: list[Key] = []
    while not search.is_done and (batch.limit is None or len(keys) < batch.limit):
        left = _AT_ONCE if batch.limit is None else batch.limit - len(keys)
        keys += search.step(min(_AT_ONCE, left))
    if not keys or search.is_done:
        return keys, None
    last = replace(selector, unfinished=True, message_id=keys[-1][0])
    rest = Search(db, last, before=keys[-1])  # a batch ends with a message
    while not rest.is_done:
        keys += rest.step(_AT_ONCE)
    return keys, keys[-1]


def _applies(act: Act) -> str:
    """Return the SQL condition of recipients for whom a verb has an effect."""
    spared = " AND coalesce(slot, 0) <= 0" if act.spares_leased else ""
    return may_become(act.leads_to, act.applies_to) + spared


def _targets(db: apsw.Connection, keys: Sequence[Key], act: Act) -> list[_Target]:
    """Return whom the action is about, the oldest first."""
    sql = (
        "SELECT r.message_id, r.number, r.destination, r.category IS NOT NULL,"  # noqa: S608 -- constants
        " m.message_id_header, m.reverse_path, m.tag, m.size, r.address FROM recipient r JOIN message m ON m.id = r.message_id"
        f" WHERE r.message_id = ? AND r.number = ? AND {_applies(act)}"
    )
    return [
        _Target(
            MessageId(row[0]),
            row[1],
            row[2],
            bool(row[3]),
            Subject(
                message_id_header=row[4],
                reverse_path=row[5],
                tag=row[6],
                size=row[7],
                address=row[8],
            ),
        )
        for key in sorted(keys)
        for row in fetch(db, sql, key)
    ]


def _reports(
    db: apsw.Connection, targets: Sequence[_Target], report: ReportGivenUp, *, reason: str
) -> list[NewMessage]:
    """Compose a report for each message, while its content is there."""
    reports = []
    for message_id, those in groupby(targets, key=lambda target: target.message_id):
        numbers = {target.number for target in those}
        *row, body = fetch(
            db,
            f"SELECT {MESSAGE_COLUMNS}, c.body FROM message m"  # noqa: S608 -- fixed columns
            " JOIN content c ON c.message_id = m.id WHERE m.id = ?",
            (message_id,),
        )[0]
        recipients = [
            recipient_of(each)
            for each in fetch(
                db,
                "SELECT number, address, parameters, attempts, soft_failures,"  # noqa: S608 -- a constant
                f" max(possible_duplicate, coalesce(slot > 0, 0)), {NO_MAIL_HOST_AT}, 0, 0 FROM recipient"
                " WHERE message_id = ? ORDER BY number",
                (message_id,),
            )
            if each[0] in numbers
        ]
        composed = report(message_of(tuple(row)), recipients, bytes(body), reason)
        if composed is not None:
            reports.append(composed)
    return reports


def _apply(db: apsw.Connection, targets: Sequence[_Target], operator: Operator) -> None:
    action, now = operator.action, to_ms(operator.at)
    if action is Action.BOUNCE:
        _note(db, targets, reason=operator.reason)
    state = ACTS[action].leads_to
    db.executemany(
        f"UPDATE recipient SET updated_at = ?1, state = '{state}', {_CHANGES[action]}"  # noqa: S608 -- constants
        " WHERE message_id = ?2 AND number = ?3",
        [(now, target.message_id, target.number) for target in targets],
    )
    for destination in {target.destination for target in targets}:
        if action is Action.EXPEDITE:
            destinations.pause(db, destination, 0)
        destinations.refresh(db, destination)
        if state is RecipientState.QUEUED:
            destinations.touch(db, destination, now)


def _note(db: apsw.Connection, targets: Sequence[_Target], *, reason: str) -> None:
    bounce_class, category = BOUNCED_AS
    db.executemany(
        "UPDATE recipient SET reason = ?, category = ?, bounce_class = ?, suppress = 0,"
        " code = NULL, enhanced = NULL, reply = NULL WHERE message_id = ? AND number = ?",
        [(reason, category, bounce_class, target.message_id, target.number) for target in targets],
    )

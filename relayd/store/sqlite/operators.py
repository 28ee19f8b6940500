"""The operator's verbs inside one transaction: hold, release, expedite, bounce, drop (S-20)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import apsw

from relayd.mail.envelope import MessageId
from relayd.mail.event import Event, EventKind
from relayd.mail.outcome import BounceClass, Category
from relayd.ports import Action, Query, Status
from relayd.store.sqlite import leases, outcomes
from relayd.store.sqlite.rows import fetch, to_ms
from relayd.store.sqlite.search import UNFINISHED, conditions

KINDS = {
    Action.HOLD: EventKind.HELD,
    Action.RELEASE: EventKind.RELEASED,
    Action.EXPEDITE: EventKind.EXPEDITED,
    Action.BOUNCE: EventKind.BOUNCED,
    Action.DROP: EventKind.DROPPED,
}
_STATUS = {
    Action.HOLD: Status.HELD,
    Action.BOUNCE: Status.BOUNCED,
    Action.DROP: Status.DROPPED,
}
_APPLIES_TO = {
    Action.HOLD: "r.state = 'queued'",
    Action.RELEASE: "r.state = 'held'",
    Action.EXPEDITE: "r.state = 'queued' AND r.slot IS NULL",
    Action.BOUNCE: UNFINISHED,
    Action.DROP: UNFINISHED,
}

# The attempt of a leased recipient runs on, and its outcome will not be heard (S-07).
_AWAY = "slot = NULL, possible_duplicate = possible_duplicate OR slot IS NOT NULL"
_CHANGE = {
    Action.HOLD: f"state = 'held', {_AWAY}",
    Action.RELEASE: "state = 'queued', next_attempt_at = ?1",
    Action.EXPEDITE: "next_attempt_at = ?1",
    Action.BOUNCE: f"state = 'bounced', {_AWAY}",
    Action.DROP: f"state = 'dropped', {_AWAY}",
}


@dataclass(frozen=True, slots=True)
class _Target:
    message_id: MessageId
    number: int
    destination: str
    waits_as: Status  # what it is called while it is queued
    reverse_path: str
    address: str


def act(
    db: apsw.Connection, selector: Query, action: Action, *, by: str, reason: str, at: datetime
) -> Sequence[Event]:
    """Carry out `action` on every recipient that matches and allows it; return the events."""
    where, bound = conditions(selector)
    found = fetch(
        db,
        "SELECT r.message_id, r.number, r.destination, r.category IS NULL, m.reverse_path,"  # noqa: S608 -- constants
        " r.address FROM recipient r"
        f" JOIN message m ON m.id = r.message_id WHERE {where} AND {_APPLIES_TO[action]}"
        " ORDER BY r.message_id, r.number",
        bound,
    )
    targets = [
        _Target(
            MessageId(row[0]),
            row[1],
            row[2],
            Status.QUEUED if row[3] else Status.DEFERRED,
            reverse_path=row[4],
            address=row[5],
        )
        for row in found
    ]
    _apply(db, targets, action, reason=reason, now=to_ms(at))
    events = [_event(target, action, by=by, reason=reason, at=at) for target in targets]
    for event in events:
        outcomes.record(db, event)
    outcomes.drop_content(db, {target.message_id for target in targets})
    return events


def _apply(
    db: apsw.Connection, targets: Sequence[_Target], action: Action, *, reason: str, now: int
) -> None:
    if action is Action.BOUNCE:
        _note(db, targets, reason=reason)
    db.executemany(
        f"UPDATE recipient SET updated_at = ?1, {_CHANGE[action]}"  # noqa: S608 -- constants
        " WHERE message_id = ?2 AND number = ?3",
        [(now, target.message_id, target.number) for target in targets],
    )
    for destination in {target.destination for target in targets}:
        if action is Action.EXPEDITE:
            leases.pause(db, destination, 0)
        leases.refresh(db, destination)
        if action in (Action.RELEASE, Action.EXPEDITE):
            leases.touch(db, destination, now)


def _note(db: apsw.Connection, targets: Sequence[_Target], *, reason: str) -> None:
    db.executemany(
        "UPDATE recipient SET reason = ?, category = ?, bounce_class = ?, suppress = 0,"
        " code = NULL, enhanced = NULL, reply = NULL WHERE message_id = ? AND number = ?",
        [
            (reason, Category.POLICY, BounceClass.BLOCK, target.message_id, target.number)
            for target in targets
        ],
    )


def _event(target: _Target, action: Action, *, by: str, reason: str, at: datetime) -> Event:
    detail: dict[str, str | int | float | bool | None] = {
        "from": target.reverse_path,
        "rcpt": target.address,
        "by": by,
        "reason": reason,
        "status": _STATUS.get(action, target.waits_as).value,
    }
    if action is Action.BOUNCE:
        detail |= {
            "bounce_class": "block",
            "category": "policy",
            "fault": "policy",
            "suppress": False,
        }
    return Event(
        kind=KINDS[action],
        at=at,
        message_id=target.message_id,
        recipient=target.number,
        detail=detail,
    )

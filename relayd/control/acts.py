"""The messages of an operator's act on many recipients: what is asked, and what is answered.

    {"verb": "act", "action": "hold", "selector": {"rcpt": "a@example.org", "tag": ["a", "b"]}, "reason": "...",
     "dry_run": BOOL, "limit": NUMBER, "before": {"queue_id": "0CNA0NJ6E0401", "recipient": 0}}
    {"ok": true, "matched": NUMBER, "changed": NUMBER, "last_retry": NUMBER, "more": {...}, "events": [...],
     "targets": [{"queue_id": "0CNA0NJ6E0401", "recipient": 0, "rcpt": "a@example.org"}]}

`limit` bounds how many recipients that match are looked at, the newest messages first and each as a whole; then `more`
says where to go on: it is the `before` of the next request. A dry run changes nothing: without `limit` it counts everything, with it
a part, whose recipients it names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from relayd.control.protocol import (
    BadMessage,
    Message,
    event_from_json,
    event_to_json,
    query_from_json,
    query_to_json,
    read_text,
    refuse_unknown,
    selects_everything,
)
from relayd.mail.event import Event
from relayd.mail.ids import format_id, parse_id
from relayd.mail.operator import Action
from relayd.ports.queue import Acted, Batch, Foreseen
from relayd.ports.view import Place, Query, Target

_KEYS = frozenset({"verb", "action", "selector", "reason", "all", "dry_run", "limit", "before"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ActRequest:
    """Carry out `action` on what `query` selects. An empty query needs `everything`."""

    query: Query
    action: Action
    reason: str = ""
    everything: bool = False
    dry_run: bool = False
    limit: int | None = None  # recipients that match, at most
    before: Place | None = None  # where the last answer ended


@dataclass(frozen=True, slots=True, kw_only=True)
class ActAnswer:
    """What was changed, or what would be."""

    matched: int = 0  # recipients that were looked at
    changed: int = 0
    last_retry: int = 0  # of a dry run: those that have used their last retry
    more: Place | None = None  # where to go on; None: that was all
    events: tuple[Event, ...] = field(default=())
    targets: tuple[Target, ...] = ()  # of a dry run with a limit: whom


def act_to_json(request: ActRequest) -> Message:
    return {
        "verb": "act",
        "action": request.action.value,
        "selector": query_to_json(request.query),
        "reason": request.reason,
        "all": request.everything,
        "dry_run": request.dry_run,
        **({} if request.limit is None else {"limit": request.limit}),
        **({} if request.before is None else {"before": place_to_json(request.before)}),
    }


def act_from_json(message: Message) -> ActRequest:
    """Read an `act` request. Raises BadMessage, also when it selects everything without saying so."""
    refuse_unknown(message, _KEYS)
    everything = read_flag("all", message)
    query = query_from_json(message.get("selector"))
    if selects_everything(query) and not everything:
        raise BadMessage("the selector is empty, which would select everything")
    return ActRequest(
        query=query,
        action=read_text("action", message.get("action"), Action),
        reason=read_text("reason", message.get("reason", ""), str),
        everything=everything,
        dry_run=read_flag("dry_run", message),
        limit=read_limit(message),
        before=read_place("before", message),
    )


def foreseen_to_json(foreseen: Foreseen) -> Message:
    """The answer to a dry run."""
    return {
        "ok": True,
        "matched": foreseen.matched,
        "changed": foreseen.changed,
        "last_retry": foreseen.last_retry,
        **({} if foreseen.more is None else {"more": place_to_json(foreseen.more)}),
        "events": [],
        **targets_to_json(foreseen.targets),
    }


def acted_to_json(acted: Acted) -> Message:
    """The answer to what was carried out."""
    return {
        "ok": True,
        "matched": acted.matched,
        "changed": len(acted.events),
        **({} if acted.more is None else {"more": place_to_json(acted.more)}),
        "events": [event_to_json(event) for event in acted.events],
    }


def answer_from_json(answer: Mapping[str, object]) -> ActAnswer:
    """Read either answer. Raises BadMessage."""
    return ActAnswer(
        matched=read_number("matched", answer),
        changed=read_number("changed", answer),
        last_retry=read_number("last_retry", {"last_retry": 0, **answer}),
        more=read_place("more", answer),
        events=read_events(answer),
        targets=read_targets(answer),
    )


def targets_to_json(targets: Sequence[Target]) -> Message:
    """Write them as `read_targets` reads them; none if there are none."""
    if not targets:
        return {}
    return {
        "targets": [
            {**place_to_json((message_id, recipient)), "rcpt": address}
            for message_id, recipient, address in targets
        ]
    }


def read_targets(answer: Mapping[str, object]) -> tuple[Target, ...]:
    """Return the `targets` of an answer. Raises BadMessage."""
    targets = answer.get("targets", [])
    if not isinstance(targets, list) or not all(isinstance(each, dict) for each in targets):
        raise BadMessage("no targets")
    return tuple(
        Target(
            read_text("queue_id", each.get("queue_id"), parse_id),
            read_number("recipient", each),
            read_text("rcpt", each.get("rcpt"), str),
        )
        for each in targets
    )


def batch_of(*, dry_run: bool, limit: int | None, before: Place | None) -> Batch | None:
    """Return the part that a request is about; None for a dry run that counts everything."""
    return None if dry_run and limit is None else Batch(limit=limit, before=before)


def read_events(answer: Mapping[str, object]) -> tuple[Event, ...]:
    """Return the `events` of an answer. Raises BadMessage."""
    events = answer.get("events")
    if not isinstance(events, list) or not all(isinstance(each, dict) for each in events):
        raise BadMessage("no events")
    return tuple(map(event_from_json, events))


def read_flag(key: str, message: Message) -> bool:
    """Return a flag; without it, it is off. Raises BadMessage."""
    value = message.get(key, False)
    if not isinstance(value, bool):
        raise BadMessage(f"{key!r} is not true or false")
    return value


def read_limit(message: Message) -> int | None:
    """Return the `limit` of a request, None without one. Raises BadMessage."""
    limit = None if "limit" not in message else read_number("limit", message)
    if limit == 0:
        raise BadMessage("'limit' is 0: nothing could be done")
    return limit


def read_place(key: str, message: Message) -> Place | None:
    """Return a place in the order of recipients, None without one. Raises BadMessage."""
    place = message.get(key)
    if place is None:
        return None
    if not isinstance(place, dict) or place.keys() != {"queue_id", "recipient"}:
        raise BadMessage(f"{key!r} is not an object of queue_id and recipient")
    return read_text("queue_id", place["queue_id"], parse_id), read_number("recipient", place)


def place_to_json(place: Place) -> Message:
    """Write a place as `read_place` reads it."""
    message_id, recipient = place
    return {"queue_id": format_id(message_id), "recipient": recipient}


def read_number(key: str, message: Mapping[str, object]) -> int:
    """Return a number from 0 on. Raises BadMessage."""
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadMessage(f"{key!r} is not a number from 0 on")
    return value

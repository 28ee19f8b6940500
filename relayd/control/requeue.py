"""The messages of requeueing: what is asked, and what is answered.

    {"verb": "requeue", "selector": {...}, "reason": "...", "all": BOOL, "again": BOOL, "dry_run": BOOL,
     "limit": NUMBER, "before": {...}}
    {"ok": true, "matched": NUMBER, "changed": NUMBER, "suppressed": NUMBER, "already": NUMBER,
     "gone": NUMBER, "refused": NUMBER, "more": {...}, "events": [...], "targets": [...]}

As in `relayd.control.acts`. Only bounced recipients match. `again` sends once more what was requeued before.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from relayd.control.acts import (
    place_to_json,
    read_events,
    read_flag,
    read_limit,
    read_number,
    read_place,
    read_targets,
    targets_to_json,
)
from relayd.control.protocol import (
    BadMessage,
    Message,
    event_to_json,
    query_from_json,
    query_to_json,
    read_text,
    selects_everything,
)
from relayd.mail.event import Event
from relayd.mail.requeue import RequeueCounts
from relayd.ports.requeue import Requeued
from relayd.ports.view import Place, Query, Target

_KEYS = frozenset({"verb", "selector", "reason", "all", "again", "dry_run", "limit", "before"})
_COUNTS = tuple(asdict(RequeueCounts()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequeueRequest:
    """Requeue the bounced recipients that `query` selects. An empty query needs `everything`."""

    query: Query
    reason: str = ""
    everything: bool = False
    again: bool = False
    dry_run: bool = False
    limit: int | None = None
    before: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequeueAnswer:
    """What was requeued, or what would be."""

    counts: RequeueCounts = field(default_factory=RequeueCounts)
    more: Place | None = None
    events: tuple[Event, ...] = ()
    targets: tuple[Target, ...] = ()


def requeue_to_json(request: RequeueRequest) -> Message:
    return {
        "verb": "requeue",
        "selector": query_to_json(request.query),
        "reason": request.reason,
        "all": request.everything,
        "again": request.again,
        "dry_run": request.dry_run,
        **({} if request.limit is None else {"limit": request.limit}),
        **({} if request.before is None else {"before": place_to_json(request.before)}),
    }


def requeue_from_json(message: Message) -> RequeueRequest:
    """Read a `requeue` request. Raises BadMessage, also when it selects everything without saying so."""
    unknown = message.keys() - _KEYS
    if unknown:
        raise BadMessage(f"unknown key {min(unknown)!r}")
    everything = read_flag("all", message)
    query = query_from_json(message.get("selector"))
    if selects_everything(query) and not everything:
        raise BadMessage("the selector is empty, which would select everything")
    return RequeueRequest(
        query=query,
        reason=read_text("reason", message.get("reason", ""), str),
        everything=everything,
        again=read_flag("again", message),
        dry_run=read_flag("dry_run", message),
        limit=read_limit(message),
        before=read_place("before", message),
    )


def requeued_to_json(requeued: Requeued) -> Message:
    return {
        "ok": True,
        **asdict(requeued.counts),
        **({} if requeued.more is None else {"more": place_to_json(requeued.more)}),
        "events": [event_to_json(event) for event in requeued.events],
        **targets_to_json(requeued.targets),
    }


def requeued_from_json(answer: Mapping[str, object]) -> RequeueAnswer:
    """Read that answer. Raises BadMessage."""
    return RequeueAnswer(
        counts=RequeueCounts(**{name: read_number(name, answer) for name in _COUNTS}),
        more=read_place("more", answer),
        events=read_events(answer),
        targets=read_targets(answer),
    )

"""The messages about webhooks: endpoints, and deliveries to them.

    {"verb": "endpoint.put", "endpoint": NUMBER, "url": "https://...", "events": ["bounced"], "senders": ["@example.org"],
     "tags": ["news"], "on": BOOL}
    {"ok": true, "done": BOOL, "endpoint": NUMBER, "secret": "whsec_..."}
    {"verb": "endpoint.change", "endpoint": NUMBER, ...}, with what of these is to be other than before
    {"ok": true, "done": BOOL}
    {"verb": "endpoint.drop", "endpoint": NUMBER}, "endpoint.rotate", "endpoint.test"
    {"ok": true, "done": BOOL, "secret": "whsec_..."}, {"ok": true, "done": BOOL, "delivery": NUMBER}
    {"verb": "deliveries.replay", "endpoint": NUMBER, "delivery": NUMBER, "since": "...", "until": "...", "only_failed": BOOL,
     "after": NUMBER}
    {"ok": true, "changed": NUMBER, "more": NUMBER}

Without `endpoint` one is added. Not done is what is there no more. A secret is told when it is new, and to the
console with each delivery:

    {"verb": "deliveries.claim", "limit": NUMBER}
    {"ok": true, "deliveries": [{"endpoint": NUMBER, "delivery": NUMBER, "claim": NUMBER, "id": "evt_...", "ts": "...",
     "url": "...", "secrets": ["whsec_..."], "event": {...}}]}
    {"verb": "deliveries.settle", "results": [{"endpoint": NUMBER, "delivery": NUMBER, "claim": NUMBER, "status": NUMBER,
     "trouble": "...", "octets": NUMBER, "took": SECONDS, "retry_after": SECONDS}]}
    {"ok": true, "settled": NUMBER}

`event` is null for a test, `status` where there was no answer. A number of a delivery is that of its event; those
of tests are below 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from relayd.control.protocol import (
    BadMessage,
    Message,
    event_from_json,
    event_to_json,
    read_instant,
    read_text,
    refuse_unknown,
)
from relayd.mail.account import parse_sender
from relayd.mail.event import Event
from relayd.mail.words import EventKind, format_instant
from relayd.ports.outbox import (
    TOLD,
    DeliveryResult,
    EndpointId,
    Heard,
    Outgoing,
    Replay,
    Replayed,
    Subscription,
    SubscriptionChange,
)

AT_ONCE = 64  # deliveries in one answer
_MOST = 50  # senders, or tags, of an endpoint
_TAG = 200  # characters
_TROUBLE = 100  # characters
_LARGEST = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSend:
    """A delivery as the console sends it."""

    endpoint: EndpointId
    number: int
    claim: int
    webhook_id: str
    at: datetime
    url: str
    secrets: tuple[str, ...]  # the newest first
    event: Event | None  # None: a test


def put_to_json(wanted: Subscription, endpoint: EndpointId | None = None) -> Message:
    return {
        "verb": "endpoint.put",
        **({} if endpoint is None else {"endpoint": endpoint}),
        "url": wanted.url,
        "events": list(wanted.kinds),
        "senders": list(wanted.senders),
        "tags": list(wanted.tags),
        "on": wanted.is_on,
    }


def put_from_json(message: Message) -> tuple[Subscription, EndpointId | None]:
    """Read an `endpoint.put` request. Raises BadMessage; the URL is not judged."""
    whole = {"url": None, "events": None, "senders": [], "tags": [], "on": True, **message}
    given = _change_from(whole)
    nothing = Subscription(url="", kinds=())
    return given.of(nothing), endpoint_from(message) if "endpoint" in message else None


def change_to_json(change: SubscriptionChange, endpoint: EndpointId) -> Message:
    told = {
        "url": change.url,
        "events": change.kinds,
        "senders": change.senders,
        "tags": change.tags,
        "on": change.is_on,
    }
    given = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in told.items()
        if value is not None
    }
    return {**about_to_json("endpoint.change", endpoint), **given}


def change_from_json(message: Message) -> tuple[SubscriptionChange, EndpointId]:
    """Read an `endpoint.change` request. Raises BadMessage; the URL is not judged."""
    return _change_from(message), endpoint_from(message)


def _change_from(message: Message) -> SubscriptionChange:
    """Read what is there of the fields of an endpoint. Raises BadMessage."""
    refuse_unknown(message, {"verb", "endpoint", "url", "events", "senders", "tags", "on"})
    change = SubscriptionChange()
    if "url" in message:
        change = replace(change, url=read_text("url", message["url"], str))
    if "events" in message:
        change = replace(change, kinds=_texts("events", message["events"], _kind, len(TOLD)))
        if not change.kinds:
            raise BadMessage("'events' is empty: an endpoint that is told nothing")
    if "senders" in message:
        senders = _texts("senders", message["senders"], parse_sender, _MOST)
        change = replace(change, senders=senders)
    if "tags" in message:
        change = replace(change, tags=_texts("tags", message["tags"], _tag, _MOST))
    if "on" in message:
        if not isinstance(message["on"], bool):
            raise BadMessage("'on' is not true or false")
        change = replace(change, is_on=message["on"])
    return change


def about_to_json(verb: str, endpoint: EndpointId) -> Message:
    """A request that names an endpoint, and nothing else."""
    return {"verb": verb, "endpoint": endpoint}


def about_from_json(message: Message) -> EndpointId:
    """Read such a request. Raises BadMessage."""
    refuse_unknown(message, {"verb", "endpoint"})
    return endpoint_from(message)


def replay_to_json(wanted: Replay) -> Message:
    given: dict[str, object] = {
        "delivery": wanted.number,
        "since": None if wanted.since is None else format_instant(wanted.since),
        "until": None if wanted.until is None else format_instant(wanted.until),
        "only_failed": wanted.only_failed or None,
        "after": wanted.after or None,
    }
    return {
        **about_to_json("deliveries.replay", wanted.endpoint),
        **{key: value for key, value in given.items() if value is not None},
    }


def replay_from_json(message: Message) -> Replay:
    """Read a `deliveries.replay` request. Raises BadMessage."""
    known = {"verb", "endpoint", "delivery", "since", "until", "only_failed", "after"}
    refuse_unknown(message, known)
    only_failed = message.get("only_failed", False)
    if not isinstance(only_failed, bool):
        raise BadMessage("'only_failed' is not true or false")
    return Replay(
        endpoint=endpoint_from(message),
        number=_number("delivery", message, least=1) if "delivery" in message else None,
        since=_instant("since", message),
        until=_instant("until", message),
        only_failed=only_failed,
        after=_number("after", message) if "after" in message else 0,
    )


def replayed_to_json(replayed: Replayed) -> Message:
    more = {} if replayed.more is None else {"more": replayed.more}
    return {"ok": True, "changed": replayed.changed, **more}


def replayed_from_json(message: Message) -> Replayed:
    """Read that answer. Raises BadMessage."""
    more = _number("more", message) if "more" in message else None
    return Replayed(changed=_number("changed", message), more=more)


def claim_to_json(limit: int) -> Message:
    return {"verb": "deliveries.claim", "limit": limit}


def claim_from_json(message: Message) -> int:
    """Read a `deliveries.claim` request: how many at most. Raises BadMessage."""
    refuse_unknown(message, {"verb", "limit"})
    return min(_number("limit", message, least=1), AT_ONCE)


def claimed_to_json(
    claimed: Sequence[Outgoing], secrets_of: Callable[[Outgoing], Sequence[str]]
) -> Message:
    return {
        "ok": True,
        "deliveries": [
            {
                "endpoint": each.endpoint,
                "delivery": each.number,
                "claim": each.claim,
                "id": each.webhook_id,
                "ts": format_instant(each.at),
                "url": each.url,
                "secrets": list(secrets_of(each)),
                "event": None if each.event is None else event_to_json(each.event),
            }
            for each in claimed
        ],
    }


def claimed_from_json(message: Message) -> list[ToSend]:
    """Read that answer. Raises BadMessage."""
    return [
        ToSend(
            endpoint=endpoint_from(each),
            number=_number("delivery", each, least=-_LARGEST),
            claim=_number("claim", each),
            webhook_id=read_text("id", each.get("id"), str),
            at=read_text("ts", each.get("ts"), read_instant),
            url=read_text("url", each.get("url"), str),
            secrets=_texts("secrets", each.get("secrets"), str, 2),
            event=None if each.get("event") is None else event_from_json(_object(each["event"])),
        )
        for each in _objects("deliveries", message, AT_ONCE)
    ]


def settle_to_json(results: Sequence[DeliveryResult]) -> Message:
    return {
        "verb": "deliveries.settle",
        "results": [
            {
                "endpoint": each.endpoint,
                "delivery": each.number,
                "claim": each.claim,
                "status": each.heard.status,
                "trouble": each.heard.trouble,
                "octets": each.heard.octets,
                "took": round(each.heard.took.total_seconds(), 3),
                **(
                    {}
                    if each.retry_after is None
                    else {"retry_after": int(each.retry_after.total_seconds())}
                ),
            }
            for each in results
        ],
    }


def settle_from_json(message: Message) -> list[DeliveryResult]:
    """Read a `deliveries.settle` request. Raises BadMessage."""
    refuse_unknown(message, {"verb", "results"})
    return [_result(each) for each in _objects("results", message, AT_ONCE)]


def _result(each: Mapping[str, Any]) -> DeliveryResult:
    known = {"endpoint", "delivery", "claim", "status", "trouble", "octets", "took", "retry_after"}
    refuse_unknown(each, known)
    took = each.get("took")
    if not isinstance(took, int | float) or not 0 <= took < _LARGEST:
        raise BadMessage("'took' is not a number of seconds")
    asked = _number("retry_after", each) if "retry_after" in each else None
    return DeliveryResult(
        endpoint=endpoint_from(each),
        number=_number("delivery", each, least=-_LARGEST),
        claim=_number("claim", each),
        heard=Heard(
            status=None if each.get("status") is None else _number("status", each),
            trouble=read_text("trouble", each.get("trouble"), str)[:_TROUBLE],
            octets=_number("octets", each),
            took=timedelta(seconds=min(took, 86400)),
        ),
        retry_after=None if asked is None else timedelta(seconds=min(asked, 86400)),
    )


def endpoint_from(message: Mapping[str, Any]) -> EndpointId:
    return EndpointId(_number("endpoint", message, least=1))


def _kind(text: str) -> EventKind:
    kind = EventKind(text)
    if kind not in TOLD:
        raise ValueError(f"{text} is no event for webhooks: {', '.join(TOLD)}")
    return kind


def _tag(text: str) -> str:
    if not 1 <= len(text) <= _TAG:
        raise ValueError(f"expected a tag of 1 to {_TAG} characters")
    return text


def _texts(name: str, value: object, reader: Callable[[str], Any], most: int) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) > most:
        raise BadMessage(f"{name!r} is not a list of {most} at most")
    return tuple(dict.fromkeys(read_text(name, each, reader) for each in value))


def _instant(name: str, message: Message) -> datetime | None:
    at: datetime | None = None
    if name in message:
        at = read_text(name, message[name], read_instant)
    return at


def _number(name: str, message: Mapping[str, Any], *, least: int = 0) -> int:
    value = message.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _LARGEST:
        raise BadMessage(f"{name!r} is not a number from {least} on")
    return value


def _objects(name: str, message: Message, most: int) -> list[Mapping[str, Any]]:
    value = message.get(name)
    if not isinstance(value, list) or len(value) > most:
        raise BadMessage(f"{name!r} is not a list of {most} at most")
    return [_object(each) for each in value]


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadMessage("not a JSON object")
    return value

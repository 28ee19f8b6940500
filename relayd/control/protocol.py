"""The messages of the control socket: one JSON object per line, one request per connection.

Owns the conversion between those objects and our values, in both directions, and knows neither
sockets nor the store. A request names a `verb`:

    {"verb": "ping"}
    {"verb": "status"}
    {"verb": "metrics"}
    {"verb": "act", ...}, which `relayd.control.acts` reads
    {"verb": "requeue", ...}, which `relayd.control.requeue` reads
    {"verb": "suppress", ...}, {"verb": "unsuppress", ...}, which `relayd.control.suppress` reads
    {"verb": "compact"}, which `relayd.control.compact` answers
    {"verb": "content", ...}, which `relayd.control.content` reads
    {"verb": "people.add_account", ...} and other verbs of `people`, which `relayd.control.people` reads
    {"verb": "endpoint.put", ...}, {"verb": "deliveries.claim", ...} and others, which `relayd.control.webhooks` reads
    {"verb": "settings"}
    {"verb": "reload"}
    {"verb": "set", ...}, which `relayd.control.set_keys` reads
    {"verb": "doctor", "checks": "quick"}, or "all"
    {"verb": "trace", "queue_id": "0CNA0NJ6E0401"}, or with "client" or "destination"; "content": BOOL

With `as` a request is made for somebody who uses the console (`relayd.control.behalf`).

A reply is `{"ok": true, ...}` or `{"ok": false, "error": TEXT, "again": BOOL}`; `again` says that
the same request may succeed later, and `"forbidden": true` that another user has to ask. `settings`, `reload` and `set` answer with the `file` of the settings in force, and
`settings`, name to JSON text, or `digest`; `reload` and `set` do not answer before they are.
After the answer to `trace` come lines of what is traced, until one of the two hangs up. Keys are those of the status log (`docs/events.md`).

Invariant: what is not understood is refused. A misspelt selector must never select everything.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from ipaddress import ip_network
from typing import Any

import orjson

from relayd.answers.status_line import status_line
from relayd.mail.event import Event, Subject
from relayd.mail.ids import format_id, parse_id
from relayd.mail.words import BounceClass, Category, EventKind, format_instant
from relayd.metrics.families import Sample
from relayd.ports.view import Metric, Query, Status

DOCTOR_CHECKS = ("quick", "all")
REQUEST_LIMIT = 1024 * 1024  # octets of one request line, its newline included

Message = Mapping[str, object]


class BadMessage(ValueError):
    """Not a message of this protocol; the text says why."""


def encode(message: Message) -> bytes:
    """Return one line. Raises BadMessage for text that is not Unicode."""
    try:
        return orjson.dumps(dict(message), option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError as exc:
        raise BadMessage(f"cannot be sent as JSON: {exc}") from exc


def decode(line: bytes) -> dict[str, Any]:
    """Read one line. Raises BadMessage."""
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise BadMessage(f"not JSON: {exc}") from exc
    if not isinstance(message, dict):
        raise BadMessage("not a JSON object")
    return message


def samples_to_json(samples: Iterable[Sample]) -> Message:
    """The answer to `metrics`: name, labels and value of each."""
    written = []
    for sample in samples:
        labels = dict(zip(sample.family.labels, sample.labels, strict=True))
        if sample.bound:
            labels["le"] = sample.bound
        written.append([f"{sample.family.name}{sample.suffix}", labels, sample.value])
    return {"ok": True, "metrics": written}


def metrics_from_json(message: Message) -> list[Metric]:
    """Read that answer. Raises BadMessage."""
    try:
        return [
            Metric(str(name), tuple(sorted(labels.items())), value)
            for name, labels, value in message["metrics"]  # type: ignore[attr-defined]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise BadMessage(f"no metrics: {exc}") from exc


def query_to_json(query: Query) -> Message:
    given: dict[str, object] = {
        "queue_id": None if query.message_id is None else format_id(query.message_id),
        "rcpt": query.recipient,
        "domain": query.domain,
        "from": query.sender,
        "message_id": query.message_id_header,
        "tag": query.tag,
        "status": query.status,
        "bounce_class": query.bounce_class,
        "category": query.category,
        "auth_user": query.user,
        "client_ip": query.client,
        "destination": query.destination,
        "possible_duplicate": query.possible_duplicate or None,
        "changed_since": None if query.changed_since is None else query.changed_since.isoformat(),
        "since": None if query.since is None else query.since.isoformat(),
        "until": None if query.until is None else query.until.isoformat(),
        "unfinished": query.unfinished or None,
    }
    return {key: _shortest(value) for key, value in given.items() if value not in (None, ())}


def _shortest(value: object) -> object:
    """Several values as a list, a single one as itself, as older daemons know it."""
    if not isinstance(value, tuple):
        return value
    values = [str(each) for each in value]
    return values[0] if len(values) == 1 else values


def query_from_json(selector: object) -> Query:
    """Read a selector. Raises BadMessage."""
    if not isinstance(selector, dict):
        raise BadMessage("'selector' is not a JSON object")
    fields: dict[str, Any] = {}
    for key, value in selector.items():
        if key in ("unfinished", "possible_duplicate"):
            if not isinstance(value, bool):
                raise BadMessage(f"{key!r} is not true or false")
            fields[key] = value
        elif key in _READERS:
            name, reader = _READERS[key]
            fields[name] = read_text(key, value, reader)
        elif key in _READERS_OF_ANY:
            name, reader = _READERS_OF_ANY[key]
            fields[name] = _read_any(key, value, reader)
        else:
            raise BadMessage(f"unknown key {key!r} in the selector")
    return Query(**fields)


def selects_everything(query: Query) -> bool:
    """Whether no filter is given; that only unfinished mail is meant narrows nothing here."""
    return replace(query, unfinished=False) == Query()


def event_to_json(event: Event) -> Message:
    identity = {
        "ts": format_instant(event.at),
        "event": event.kind.value,
        "queue_id": format_id(event.message_id),
        "recipient": event.recipient,
    }
    subject = event.subject
    fields: Message = event.detail
    if subject is not None:
        fields = status_line(event, event.message_id, subject, subject.address)
    return {**identity, **fields, **identity}  # first to be read, and never overridden


def event_from_json(fields: Message) -> Event:
    """Read what `event_to_json` wrote. Raises BadMessage."""
    detail = dict(fields)
    number = detail.pop("recipient", None)
    if not isinstance(number, int):
        raise BadMessage("'recipient' is not a number")
    return Event(
        kind=read_text("event", detail.pop("event", None), EventKind),
        at=read_text("ts", detail.pop("ts", None), read_instant),
        message_id=read_text("queue_id", detail.pop("queue_id", None), parse_id),
        recipient=number,
        subject=_subject(detail),
        detail=detail,  # type: ignore[arg-type]  # JSON values, as decoded
    )


def _subject(fields: dict[str, Any]) -> Subject | None:
    """Take out of `fields` whom they are about, if they say so."""
    if not fields.keys() >= {"from", "rcpt", "size"}:
        return None
    return Subject(
        message_id_header=fields.pop("message_id", None),
        reverse_path=fields.pop("from"),
        tag=fields.pop("tag", None),
        size=fields.pop("size"),
        address=fields.pop("rcpt"),
    )


def read_instant(text: str) -> datetime:
    """Read an instant with its zone. Raises ValueError."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("no time zone")
    return at


def refuse_unknown(message: Message, known: Collection[str]) -> None:
    """Raise BadMessage if there is another key."""
    unknown = message.keys() - known
    if unknown:
        raise BadMessage(f"unknown key {min(unknown)!r}")


def read_text(key: str, value: object, reader: Callable[[str], Any]) -> Any:
    """Return what `reader` makes of a text. Raises BadMessage."""
    if not isinstance(value, str):
        raise BadMessage(f"{key!r} is not a text")
    try:
        return reader(value)
    except ValueError as exc:
        raise BadMessage(f"{key!r}: {exc}") from exc


def _read_any(key: str, value: object, reader: Callable[[str], Any]) -> tuple[Any, ...]:
    """Read a text, or a list of texts of which any may match; an empty list would mean everything."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise BadMessage(f"{key!r} is an empty list, which would select nothing or everything")
    return tuple(read_text(key, each, reader) for each in values)


# JSON key -> field of Query, and how its text is read.
_READERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "queue_id": ("message_id", parse_id),
    "changed_since": ("changed_since", read_instant),
    "since": ("since", read_instant),
    "until": ("until", read_instant),
}
_READERS_OF_ANY: dict[str, tuple[str, Callable[[str], object]]] = {
    "rcpt": ("recipient", str),
    "domain": ("domain", str),
    "from": ("sender", str),
    "message_id": ("message_id_header", str),
    "tag": ("tag", str),
    "status": ("status", Status),
    "bounce_class": ("bounce_class", BounceClass),
    "category": ("category", Category),
    "auth_user": ("user", str),
    "client_ip": ("client", ip_network),
    "destination": ("destination", str),
}

"""The status log of one worker: one line per recipient and event (`docs/events.md`).

The store has every status event in any case; a line is written after the commit, from the same value.
"""

from datetime import datetime
from typing import Any

import orjson

from relayd.logs.jsonline import dump
from relayd.logs.writer import LineWriter
from relayd.mail.envelope import MessageFacts, NewMessage, QueuedMessage
from relayd.mail.event import Event, first_events
from relayd.mail.ids import MessageId, format_id, received_at_of
from relayd.mail.words import Detail, EventKind, format_instant
from relayd.metrics.counters import Counters

SCHEMA = 1
_NOTHING: Detail = {}


class StatusLog:
    """`relayd.ports.outward.EventSink`: the status log of one worker, and the count of its lines."""

    def __init__(self, path: str, *, node: str, counters: Counters | None = None) -> None:
        self._writer = LineWriter(path)
        self._node = node
        self._counters = counters or Counters()

    def received(self, message: NewMessage) -> None:
        facts, client, size = message.facts, message.client, len(message.content)
        sender = str(message.reverse_path or "")
        self._counters.received(len(message.recipients))
        for recipient in message.recipients:
            line = self._begin(message.received_at, EventKind.RECEIVED, message.id)
            _describe(line, facts, sender=sender, rcpt=str(recipient.address), size=size)
            line["client_ip"] = client.ip
            line["helo"] = client.helo
            if client.auth_user is not None:
                line["auth_user"] = client.auth_user
            line["status"] = "queued"
            self._end(line)
        for event in first_events(message):
            line = self._begin(event.at, event.kind, message.id)
            rcpt = str(message.recipients[event.recipient].address)
            _describe(line, facts, sender=sender, rcpt=rcpt, size=size)
            line["status"] = _STATUS.get(event.kind, "queued")
            self._end(line, event.detail)

    def record(self, event: Event, message: QueuedMessage, address: str) -> None:
        self._counters.event(event.kind, event.detail, event.at - message.received_at)
        line = self._begin(event.at, event.kind, message.id)
        _describe(line, message, sender=message.reverse_path, rcpt=address, size=message.size)
        self._end_with_status(line, event)

    def acted(self, event: Event) -> None:
        """Note an operator's act: the store gives the event without the message."""
        waited = event.at - received_at_of(event.message_id)
        self._counters.event(event.kind, event.detail, waited)
        self._end_with_status(self._begin(event.at, event.kind, event.message_id), event)

    def refused(self, at: datetime, detail: Detail) -> None:
        self._counters.refused(detail.get("code"))
        self._end(self._begin(at, EventKind.REFUSED), detail)

    def refused_again(self, detail: Detail) -> None:
        """Count a refusal that has no line."""
        self._counters.refused(detail.get("code"))

    def reopen(self) -> None:
        self._writer.reopen()

    def close(self) -> None:
        self._writer.close()

    def _begin(
        self, at: datetime, kind: EventKind, message_id: MessageId | None = None
    ) -> dict[str, Any]:
        line = {"ts": format_instant(at), "event": kind.value, "node": self._node}
        if message_id is not None:
            line["queue_id"] = format_id(message_id)
        return line

    def _end_with_status(self, line: dict[str, Any], event: Event) -> None:
        if (status := _STATUS.get(event.kind)) is not None:
            line["status"] = status
        self._end(line, event.detail)

    def _end(self, line: dict[str, Any], detail: Detail = _NOTHING) -> None:
        """Write a line; what is not known is left out."""
        for name, value in detail.items():
            if value is not None:
                line[name] = value  # noqa: PERF403 -- `update` with another dict takes longer
        line["schema"] = SCHEMA
        self._writer.write(dump(line, orjson.OPT_APPEND_NEWLINE))


def _describe(
    line: dict[str, Any],
    message: MessageFacts | QueuedMessage,
    *,
    sender: str,
    rcpt: str,
    size: int,
) -> None:
    """Say which message it is about."""
    if message.message_id_header is not None:
        line["message_id"] = message.message_id_header
    line["from"] = sender
    line["rcpt"] = rcpt
    if message.tag is not None:
        line["tag"] = message.tag
    line["size"] = size


_STATUS = {
    EventKind.SENT: "sent",
    EventKind.RELAYED: "relayed",
    EventKind.DEFERRED: "deferred",
    EventKind.BOUNCED: "bounced",
    EventKind.LATE_BOUNCED: "bounced",
    EventKind.HELD: "held",
    EventKind.RELEASED: "queued",
    EventKind.EXPEDITED: "queued",
    EventKind.DROPPED: "dropped",
}

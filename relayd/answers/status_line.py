"""One event, as everybody tells it: the status log, `relayd status show --json`, the API (`docs/events.md`).

Owns that they say the same, field by field. The status log adds which node wrote the line, and the
version of the format.
"""

from datetime import datetime
from typing import Protocol

from relayd.mail.ids import MessageId, format_id
from relayd.mail.words import Detail, EventKind, format_instant


class Fact(Protocol):
    """What is told: an event on its way into the history, or as the history has it."""

    @property
    def kind(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def detail(self) -> Detail: ...


class Message(Protocol):
    """The message that it is about, as the store, the deliverer and a list of recipients have it."""

    @property
    def message_id_header(self) -> str | None: ...
    @property
    def reverse_path(self) -> str: ...
    @property
    def tag(self) -> str | None: ...
    @property
    def size(self) -> int: ...


_STATUS: dict[str, str] = {
    EventKind.RECEIVED: "queued",
    EventKind.SCORED: "queued",
    EventKind.UNCHECKED: "queued",
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
"""The status that an event leads to, unless its detail says another. Others change none."""


FIELDS = (
    "ts",
    "event",
    "node",
    "queue_id",
    "message_id",
    "from",
    "rcpt",
    "tag",
    "size",
    "status",
    "attempt",
    "route",
    "remote_host",
    "remote_ip",
    "remote_port",
    "local_ip",
    "helo",
    "tls",
    "tls_problem",
    "tls_policy",
    "tls_proof",
    "tls_result",
    "stage",
    "code",
    "enhanced",
    "reply",
    "reason",
    "bounce_class",
    "category",
    "suppress",
    "not_counted",
    "possible_duplicate",
    "redirected_to",
    "rewritten",
    "report",
    "unreported",
    "feedback_type",
    "orig_rcpt",
    "chosen_by",
    "next_attempt_at",
    "delay_queue",
    "delay_connect",
    "delay_transaction",
    "client_ip",
    "auth_user",
    "listener",
    "content_score",
    "dkim",
    "requeued_as",
    "requeued_from",
    "by",
    "fault",
    "schema",
)
"""Every field that a line of the status log may have (`docs/events.md`), in an order for tables."""


def status_line(
    event: Fact, message_id: MessageId, message: Message, address: str, *, node: str = ""
) -> dict[str, object]:
    """Return the fields of `event`, which is about the recipient `address` of `message`.

    What is not known is left out. One call for each line of the status log, so it makes none that it can avoid.
    """
    line: dict[str, object] = {"ts": format_instant(event.at), "event": event.kind}
    if node:
        line["node"] = node
    line["queue_id"] = format_id(message_id)
    if message.message_id_header is not None:
        line["message_id"] = message.message_id_header
    line["from"] = message.reverse_path
    line["rcpt"] = address
    if message.tag is not None:
        line["tag"] = message.tag
    line["size"] = message.size
    if (status := _STATUS.get(event.kind)) is not None:
        line["status"] = status
    for name, value in event.detail.items():
        if value is not None:
            line[name] = value  # noqa: PERF403 -- `update` with another dict takes longer
    return line

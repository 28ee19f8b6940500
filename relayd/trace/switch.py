"""The switchboard of one worker: what is traced goes to those who want to see it.

Owns the ambient `tracing`, which is off until somebody looks. What is to be told looks at
`tracing.is_on` first, so that nobody's looking costs no call. Nothing here raises for what a follower
does, and no follower is waited for.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import count
from typing import Protocol

from relayd.mail.attempt import Peer
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage, QueuedMessage, QueuedRecipient
from relayd.mail.ids import MessageId
from relayd.mail.reply import Reply
from relayd.mail.words import JsonValue, format_instant
from relayd.policy.delivery.route import names_of
from relayd.ports.queue import Lease
from relayd.trace.mask import Mask, shown_content
from relayd.trace.wanted import Subject, Wanted, subject_of

CONTENT_SHOWN = 16 * 1024  # octets of a message
_REMEMBERED = 10_000  # messages
LONGEST_TOKEN = 1024  # octets, with soft line breaks: none may be cut before it is masked

TraceLine = Mapping[str, JsonValue]


class Follower(Protocol):
    """Who looks on."""

    @property
    def wanted(self) -> Wanted | None:
        """What of; None: everything but content."""
        ...

    def take(self, line: TraceLine) -> None:
        """Take a line at once; never raises, never waits."""
        ...


class Trace:
    """What one dialogue, or the delivery of one message, has told so far: its subject and secrets."""

    def __init__(self, subject: Subject, mask: Mask, **names: JsonValue) -> None:
        """`names` go into every line: who is at the other end."""
        self.era = tracing.era
        self.subject = subject
        self.mask = mask
        self._names = names

    def dialogue(self, **names: JsonValue) -> "Trace":
        """Return the trace of a dialogue about the same subject, with whom `names` say."""
        return Trace(self.subject, self.mask.of_another(), **names)

    def command(self, event: str, octets: bytes) -> None:
        """Tell one or several complete lines of a client."""
        for line in octets.split(b"\r\n"):
            if line:
                self._tell(event, {"line": self.mask.of_command(line)})

    def reply(self, event: str, text: str) -> None:
        """Tell a whole reply of a server."""
        self._tell(event, {"line": self.mask.of_reply(text)})

    def content(self, event: str, content: Content) -> None:
        """Tell that content goes by, and the beginning of it to who may see that."""
        size = len(content)
        shown = None
        asked = [one.wanted for one in tracing.followers if one.wanted is not None]
        if any(wanted.content and wanted.fits(self.subject) for wanted in asked):
            octets = content[: CONTENT_SHOWN + LONGEST_TOKEN]
            shown = shown_content(octets, most=CONTENT_SHOWN)
        self._tell(event, {"line": f"({size} octets of content)"}, content=shown)

    def tell(self, event: str, **fields: JsonValue) -> None:
        """Tell a decision."""
        shown = {
            key: self.mask.shown(value) if isinstance(value, str) else value
            for key, value in fields.items()
            if value is not None
        }
        self._tell(event, shown)

    def _tell(self, event: str, fields: TraceLine, *, content: str | None = None) -> None:
        at = format_instant(datetime.now(UTC))  # noqa: TID251 -- as the log's own time stamp
        line: dict[str, JsonValue] = {"ts": at, "event": event}
        if self.subject.queue_id:
            line["queue_id"] = self.subject.queue_id
        line |= {**self._names, **fields}
        for follower in tracing.followers:
            wanted = follower.wanted
            if wanted is None:
                follower.take(line)
            elif wanted.fits(self.subject):
                more = wanted.content and content is not None
                follower.take({**line, "content": content} if more else line)


class Tracing:
    """Who follows, and what the task at hand is about."""

    def __init__(self) -> None:
        self.is_on = False
        self.era = 0  # rises whenever somebody begins to look while nobody does
        self.followers: tuple[Follower, ...] = ()
        self._current: ContextVar[Trace | None] = ContextVar("trace", default=None)
        self._sessions = count(1)
        self._clients: dict[MessageId, str] = {}  # whose messages those are that came lately

    def add(self, follower: Follower) -> None:
        self.era += not self.is_on
        self.followers += (follower,)
        self.is_on = True

    def remove(self, follower: Follower) -> None:
        self.followers = tuple(one for one in self.followers if one is not follower)
        self.is_on = bool(self.followers)

    def begin(self, subject: Subject) -> Trace:
        """Say what this task is about from now on, when it is on; return the trace of it."""
        trace = Trace(subject, Mask())
        self._current.set(trace)
        return trace

    def current(self) -> Trace | None:
        """Return the trace of what this task is about; None if nobody looks, or came in its midst."""
        trace = self._current.get()
        # What was begun before somebody looked, and looked away, is over by now.
        return trace if trace is not None and self.is_on and trace.era == self.era else None

    def begin_delivery(
        self, message: QueuedMessage, lease: Lease, recipients: Sequence[QueuedRecipient]
    ) -> None:
        """Say that this task brings a message to these recipients now."""
        client_ip = self._clients.get(message.id, "") or _address_in(message.account)
        addresses = [each.address for each in recipients]
        subject = subject_of(message.id, lease.destination, addresses, client_ip=client_ip)
        self.begin(subject).tell(
            "attempt_begun",
            destination=lease.destination,
            attempt=recipients[0].attempt,
            recipients=", ".join(addresses),
            sender=message.reverse_path,
        )

    def taken(self, message: NewMessage, *, leased: bool) -> None:
        """Tell that a message is in the queue, and which ways its recipients go."""
        client_ip = message.client.ip
        self._clients[message.id] = client_ip
        if len(self._clients) > _REMEMBERED:
            del self._clients[next(iter(self._clients))]
        addresses = [str(each.address) for each in message.recipients]
        keys = {each.destination for each in message.recipients}
        parts = [subject_of(message.id, key, addresses, client_ip=client_ip) for key in keys]
        names = frozenset().union(*(each.destinations for each in parts))
        trace = Trace(replace(parts[0], destinations=names), Mask(), client_ip=client_ip)
        trace.content("message_taken", message.content)
        for each in message.recipients:
            trace.tell("route_chosen", rcpt=str(each.address), destination=each.destination)
        waits = "it is delivered from memory" if leased else "a worker claims it when it has room"
        trace.tell("delivery_planned", reason=waits)

    def about_destination(self, event: str, lease: Lease, **fields: JsonValue) -> None:
        """Tell a decision about a destination as a whole."""
        subject = Subject(destinations=names_of(lease.destination))
        Trace(subject, Mask()).tell(
            event, destination=lease.destination, slot=lease.slot, epoch=lease.epoch, **fields
        )

    def chosen(self, peer: Peer, reason: str) -> None:
        """Tell over which connection the message goes."""
        self.tell(
            "host_chosen",
            remote_host=peer.host,
            remote_ip=peer.ip,
            remote_port=peer.port,
            reason=reason,
        )

    def next_session(self) -> int:
        """Return a number that tells a dialogue from others of this worker."""
        return next(self._sessions)

    def tell(self, event: str, **fields: JsonValue) -> None:
        """Tell a decision about what this task is about."""
        trace = self.current()
        if trace is not None:
            trace.tell(event, **fields)


def _address_in(account: str) -> str:
    """Return the address that counts as a client; empty if that is something else."""
    try:
        return str(ip_address(account))
    except ValueError:
        return ""


tracing = Tracing()


def reply_lines(reply: Reply) -> str:
    """Return a reply as it was said, a line for each of its lines."""
    *first, last = reply.lines or ("",)
    return "\n".join([*(f"{reply.code}-{line}" for line in first), f"{reply.code} {last}"])

"""What one message is to the relay: its envelope, its content, its recipients.

Owns the values that travel from the receiver through the store to the deliverer, and the ids.
A message's content is bytes and stays the same bytes (S-23); the trace header is already in front.

Source: RFC 5321 §2.3.1; RFC 3461 for the DSN parameters.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NewType

from relayd.mail.address import Address
from relayd.mail.content import Content

MessageId = NewType("MessageId", int)
"""63 bits: 42 of milliseconds since 2020, 9 of the worker's number, 12 of a counter. Sorts by time."""

WorkerNumber = NewType("WorkerNumber", int)
"""Given by the store at registration; never the same for two live workers."""

IDS_PER_MILLISECOND = 4096  # of one worker
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_DIGITS = {digit: value for value, digit in enumerate(_ALPHABET)}
_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{13}\Z")


def make_id(at: datetime, worker: WorkerNumber, count: int) -> MessageId:
    """Compose an id; unique while a worker makes fewer than 4,096 in one millisecond."""
    ms = (at - _EPOCH) // _MS
    return MessageId((ms << 21) | ((worker & 0x1FF) << 12) | (count & 0xFFF))


def format_id(message_id: MessageId) -> str:
    """The queue id as people see it: 13 characters."""
    value = int(message_id)
    pairs = [_PAIRS[value >> shift & 1023] for shift in (50, 40, 30, 20, 10, 0)]
    return _ALPHABET[value >> 60] + "".join(pairs)


def parse_id(text: str) -> MessageId:
    """Read a queue id, any case. Raises ValueError."""
    text = text.upper()
    if not _ID.match(text):
        raise ValueError(f"{text!r} is not a queue id (13 letters and digits)")
    value = 0
    for char in text:
        value = value << 5 | _DIGITS[char]
    if value >= 1 << 63:
        raise ValueError(f"{text!r} is not a queue id (too large)")
    return MessageId(value)


def received_at_of(message_id: MessageId) -> datetime:
    """The instant that the id was made, to the millisecond."""
    return _EPOCH + (int(message_id) >> 21) * _MS


def first_id_at(at: datetime) -> MessageId:
    """The smallest id that could have been made at `at`: ids below it are older."""
    return MessageId(max(0, (at - _EPOCH) // _MS) << 21)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFacts:
    """What the receiver found in the content; policy sees this and never a body."""

    size: int  # octets of the content as received, without our trace header
    hops: int  # Received headers it came with
    message_id_header: str | None = None  # the Message-ID as written, angle brackets included
    tag: str | None = None  # X-Relayd-Tag
    is_test: bool = False  # X-Relayd-Test: yes
    is_8bit: bool = False  # content has octets above 127
    utf8_headers: bool = False  # the header section has octets above 127


REPORT = "report"
"""Stands for the listener of messages that are reports of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who gave us the message."""

    ip: str  # empty for a unix socket
    helo: str
    listener: str
    auth_user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecipient:
    """One forward-path, as accepted at RCPT."""

    address: Address
    destination: str  # route key by `policy.route` at intake; decided anew at each attempt
    parameters: Mapping[str, str]  # NOTIFY and ORCPT, xtext and case kept; usually empty


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentCheck:
    """What the content check found, where that is worth a line in the history."""

    score: float | None  # None: the message was not checked
    reason: str
    holds: bool = False  # every recipient is held from the start


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message on its way into the store."""

    id: MessageId
    received_at: datetime
    reverse_path: Address | None  # None is the null reverse-path
    parameters: Mapping[str, str]  # BODY, SMTPUTF8, RET, ENVID of MAIL; usually empty
    recipients: tuple[NewRecipient, ...]
    content: Content  # trace header first, CRLF lines, not dot-stuffed
    facts: MessageFacts
    client: Client
    content_check: ContentCheck | None = None

    @property
    def is_held(self) -> bool:
        """No recipient is tried until somebody releases it."""
        return self.content_check is not None and self.content_check.holds

    @property
    def is_report(self) -> bool:
        """It is a report of ours to a sender."""
        return self.client.listener == REPORT


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedMessage:
    """A message as the deliverer needs it."""

    id: MessageId
    received_at: datetime
    reverse_path: str  # as given; empty for the null reverse-path
    parameters: Mapping[str, str]
    size: int  # octets of the stored content
    message_id_header: str | None
    tag: str | None
    is_test: bool
    is_8bit: bool
    utf8_headers: bool
    is_report: bool = False  # a report of ours to a sender


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRecipient:
    """A recipient that is leased for one attempt. The unit of state."""

    number: int  # 0 for the first RCPT of the message
    address: str
    parameters: Mapping[str, str]
    attempt: int  # the number of this attempt, from 1
    soft_failures: int  # soft bounces before this attempt
    possible_duplicate: bool  # an earlier attempt ended with its outcome unknown

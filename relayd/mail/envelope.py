"""What one message is to the relay: its envelope, its content, its recipients.

Owns the values that travel from the receiver through the store to the deliverer.
A message's content is bytes and stays the same bytes (S-23); the trace header is already in front.

Source: RFC 5321 §2.3.1; RFC 3461 for the DSN parameters.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from relayd.mail.address import Address
from relayd.mail.content import Content
from relayd.mail.ids import MessageId
from relayd.mail.once import Once
from relayd.mail.parameters import MailParameters, RcptParameters
from relayd.mail.signing import ToSign


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFacts:
    """What the receiver found in the content; policy sees this and never a body."""

    size: int  # octets of the content as received, without our trace header
    hops: int  # Received headers it came with
    message_id_header: str | None = None  # the Message-ID as written, angle brackets included
    tag: str | None = None  # X-Relayd-Tag
    is_test: bool = False  # X-Relayd-Test: yes, or smarthost:NAME
    test_via: str = ""  # that name
    is_8bit: bool = False  # content has octets above 127
    utf8_headers: bool = False  # the header section has octets above 127
    subject: str | None = None  # decoded and shortened, if the settings want it kept
    lifts_tls: bool = False  # TLS-Required: No


LOGIN = "login"
"""The first word in the account of a client that logged in; its user follows."""
REPORT = "report"
"""Stands for the listener of messages that are reports of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who gave us the message."""

    ip: str  # empty for a unix socket
    helo: str
    listener: str
    auth_user: str | None = None
    account: str = ""  # what counts as one client: a login, a local user, an address or its network


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecipient:
    """One forward-path, as accepted at RCPT."""

    address: Address
    destination: str  # route key by `policy.route` at intake; decided anew at each attempt
    parameters: RcptParameters
    chosen_by: str = ""  # the entry of the settings that says so; empty: none does


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
    parameters: MailParameters
    recipients: tuple[NewRecipient, ...]
    content: Content  # trace header first, CRLF lines, not dot-stuffed
    facts: MessageFacts
    client: Client
    content_check: ContentCheck | None = None
    once: Once | None = None  # it is to be taken once
    is_awaited: bool = False  # its client waits for what the next hop says (`listen.cut_through`)
    not_before: datetime | None = None  # nobody tries it earlier
    to_sign: ToSign | None = None  # set until it is signed
    dkim: str = ""  # whose signatures of ours it has, for the history; empty: there are no keys
    unsigned: str = ""  # why it is held: it lacks a signature that it must have
    author_unproven: bool = False  # nothing says that its client may be the author that it names

    @property
    def is_held(self) -> bool:
        """No recipient is tried until somebody releases it."""
        return bool(self.unsigned) or (self.content_check is not None and self.content_check.holds)

    @property
    def has_findings(self) -> bool:
        """Something was found when it came in that its history tells besides."""
        return bool(self.unsigned) or self.content_check is not None

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
    parameters: MailParameters
    size: int  # octets of the stored content
    message_id_header: str | None
    tag: str | None
    is_test: bool
    is_8bit: bool
    utf8_headers: bool
    is_report: bool = False  # a report of ours to a sender
    account: str = ""  # of the client: `Client.account`
    listener: str = ""  # `Client.listener`
    test_via: str = ""  # `MessageFacts.test_via`
    is_awaited: bool = False  # `NewMessage.is_awaited`
    lifts_tls: bool = False  # `MessageFacts.lifts_tls`
    author_unproven: bool = False  # `NewMessage.author_unproven`
    age: timedelta = timedelta()  # for how long relayd could try, when this was read (S-10)

    @property
    def user(self) -> str | None:
        """Return the user that its client logged in as, if it did."""
        kind, _, user = self.account.partition(" ")
        return user if kind == LOGIN else None

    def began(self, now: datetime) -> datetime:
        """Return the instant from which the message ages, by a clock that shows `now`.

        Not `received_at`: the clock may have been set since, or relayd may have been down.
        """
        return now - self.age


def queued_message(message: NewMessage) -> QueuedMessage:
    """Return a new message as the deliverer will see it, at age 0."""
    facts = message.facts
    return QueuedMessage(
        id=message.id,
        received_at=message.received_at,
        reverse_path=str(message.reverse_path or ""),
        parameters=message.parameters,
        size=len(message.content),
        message_id_header=facts.message_id_header,
        tag=facts.tag,
        is_test=facts.is_test,
        is_8bit=facts.is_8bit,
        utf8_headers=facts.utf8_headers,
        is_report=message.is_report,
        account=message.client.account,
        listener=message.client.listener,
        test_via=facts.test_via,
        is_awaited=message.is_awaited,
        lifts_tls=facts.lifts_tls,
        author_unproven=message.author_unproven,
    )


NO_TIME = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRecipient:
    """A recipient that is leased for one attempt. The unit of state."""

    number: int  # 0 for the first RCPT of the message
    address: str
    parameters: RcptParameters
    attempt: int  # the number of this attempt, from 1
    soft_failures: int  # soft bounces before this attempt
    unknown_outcomes: int  # earlier attempts that may have delivered it, unknown to us
    no_mail_host_at: datetime | None = None  # when the DNS had none, if that was the last finding
    uncounted: timedelta = NO_TIME  # of the message's age: nobody could try it meanwhile
    is_extra: bool = (
        False  # an operator asked for this attempt: it never ends the mail by itself (S-58)
    )

    @property
    def possible_duplicate(self) -> bool:
        """An earlier attempt may have delivered it."""
        return self.unknown_outcomes > 0

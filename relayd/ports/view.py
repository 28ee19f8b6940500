"""The queue and its history as questions see them, from any process."""

import heapq
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from relayd.mail.ids import MessageId
from relayd.mail.suppression import EVERYBODY, Suppression
from relayd.mail.words import LOGIN_REFUSED, BounceClass, Category, JsonValue

if TYPE_CHECKING:  # few questions need these
    from ipaddress import IPv4Network, IPv6Network

    from relayd.mail.content import Content
    from relayd.mail.once import FirstMessage
    from relayd.mail.pause import PauseRule
    from relayd.ports.backlog import Backlog
    from relayd.ports.outbox import OutboxView
    from relayd.ports.people import PeopleView
    from relayd.ports.permits import PermitsView
    from relayd.ports.samples import SamplesView
    from relayd.ports.sites import SiteStatesView
    from relayd.ports.tally import TallyAnswer, TallyQuery
    from relayd.ports.trust import TrustView
    from relayd.ports.waiting import By, Counted


class Status(StrEnum):
    """The status of a recipient as people see it (`docs/states.md`)."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    HELD = "held"
    RELAYED = "relayed"
    SENT = "sent"
    BOUNCED = "bounced"
    DROPPED = "dropped"


Place = tuple[MessageId, int]
"""A recipient in the order of questions: its message, the newest first, and its number."""


class Target(NamedTuple):
    """A recipient that an operator's verb would change."""

    message_id: MessageId
    recipient: int
    address: str


UNFINISHED = (Status.QUEUED, Status.DEFERRED, Status.HELD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which recipients are meant: all that is given must match, each by any of its values.

    Text compares without case.
    """

    message_id: MessageId | None = None  # queue id
    recipient: tuple[str, ...] = ()
    domain: tuple[str, ...] = ()
    sender: tuple[str, ...] = ()
    message_id_header: tuple[str, ...] = ()  # with or without angle brackets
    tag: tuple[str, ...] = ()
    status: tuple[Status, ...] = ()
    bounce_class: tuple[BounceClass, ...] = ()
    category: tuple[Category, ...] = ()
    user: tuple[str, ...] = ()  # names that clients logged in as
    client: "tuple[IPv4Network | IPv6Network, ...]" = ()  # of the client's address
    destination: tuple[str, ...] = ()  # route keys, hosts or domains, as `names_of` has them
    possible_duplicate: bool = False  # only those that may have arrived more than once
    changed_since: datetime | None = None  # something became of it at or after
    since: datetime | None = None  # received at or after
    until: datetime | None = None  # received before
    unfinished: bool = False  # only queued, deferred and held ones

    @property
    def is_of_addresses(self) -> bool:
        """Whether it asks for nothing that only a message has."""
        return replace(self, recipient=(), domain=()) == Query()

    def narrowed_to(self, user: str) -> "Query | None":
        """Return what of it one login submitted; None: it asks for that of others only."""
        if self.user and user.lower() not in {each.lower() for each in self.user}:
            return None
        return replace(self, user=(user,))


class HeldBy(NamedTuple):
    """Who holds a recipient, and why: an operator, or what of the settings, such as `[content]`."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientRow:
    """One recipient as `relayd status` shows it."""

    message_id: MessageId
    recipient: int
    received_at: datetime
    reverse_path: str
    address: str
    status: Status
    destination: str
    size: int
    message_id_header: str | None
    tag: str | None
    client_ip: str
    auth_user: str | None
    attempts: int
    next_attempt_at: datetime | None
    leased: bool  # an attempt is running or about to
    possible_duplicate: bool
    code: int | None
    enhanced: str | None
    reply: str | None
    reason: str | None
    category: Category | None
    bounce_class: BounceClass | None
    suppress: bool
    remote_host: str | None
    updated_at: datetime
    paused_until: datetime | None  # of the destination
    paused_for: str = ""  # why, or what a connection to it waits for; for people
    served: bool = False  # a worker has the destination in hand
    pause: "PauseRule | None" = None  # that stops its delivery; its time may be over
    orig_rcpt: str | None = None  # ORCPT: the address that was written to, with its type
    redirected_to: str | None = None  # the address that `[redirect]` put in its place
    subject: str | None = None  # if it was kept (`store.keep_subject`)
    chosen_by: str | None = None  # the entry of the settings that chose its way
    held: HeldBy | None = None  # of one that is held, since `updated_at`


class Page(NamedTuple):
    """What a bounded search found, and where to go on."""

    rows: "Sequence[RecipientRow]"
    next: Place | None  # the place before those not looked at; None: nothing more matches
    prev: Place | None  # the place after those that are newer; None: nothing newer was left out


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRow:
    """One recipient address as `relayd addresses` shows it."""

    address: str
    messages: int
    hard_bounces: int
    other_bounces: int
    last_status: Status | None = None  # None: no message of the history went there
    last_at: datetime | None = None
    last_reply: str | None = None
    suppressions: tuple[Suppression, ...] = ()  # what decided, as `suppression.in_force` tells

    @classmethod
    def of_unused(cls, suppressions: Sequence[Suppression]) -> "AddressRow":
        """Return the row of a suppressed address that no message of the history went to."""
        return cls(
            address=suppressions[0].address,
            messages=0,
            hard_bounces=0,
            other_bounces=0,
            suppressions=tuple(suppressions),
        )

    @property
    def suppress(self) -> bool:
        return bool(self.suppressions)

    @property
    def suppress_for(self) -> tuple[str, ...]:
        """The senders whose mail alone it is suppressed for; empty: all mail, if it is."""
        return tuple(each.scope for each in self.suppressions if each.scope != EVERYBODY)


class RecentAddresses(NamedTuple):
    """Addresses that a bounded search found, and how far back it went."""

    rows: "Sequence[AddressRow]"
    since: datetime | None  # only mail received from then on was looked at; None: all


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One event of a message as stored."""

    kind: str
    at: datetime
    recipient: int
    detail: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much lies in the queue, by status, and by destination."""

    by_status: Mapping[Status, int]  # unfinished ones only
    paused: int = 0  # of these, that a pause rule holds
    pause_rules: "Sequence[PauseRule]" = ()  # some may be over
    by_destination: Mapping[str, int] = field(default_factory=dict)
    oldest: Mapping[str, datetime] = field(default_factory=dict)  # reception of what is not held
    paused_until: Mapping[str, datetime] = field(default_factory=dict)  # of these; may be over
    paused_for: Mapping[str, str] = field(default_factory=dict)  # of those: why, where it is known

    def most_queued(self, limit: int) -> list[tuple[str, int]]:
        """Return the destinations that have most recipients waiting, the greatest number first."""
        return heapq.nlargest(
            limit, self.by_destination.items(), key=lambda item: (item[1], item[0])
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PausedDestination:
    """A destination that is left alone for now."""

    destination: str
    until: datetime
    why: str  # for people; may be empty

    @property
    def is_login_refused(self) -> bool:
        return self.why.startswith(LOGIN_REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestEvent:
    """One of the last events in the whole history, with whom it is about."""

    message_id: MessageId
    address: str
    destination: str
    kind: str
    at: datetime
    detail: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedEvent:
    """An event in the order of the whole history, with the message and the recipient that it is about."""

    number: int  # the later, the greater
    kind: str
    at: datetime
    detail: Mapping[str, JsonValue]
    message_id: MessageId
    address: str
    message_id_header: str | None
    reverse_path: str
    tag: str | None
    size: int
    auth_user: str | None


class Metric(NamedTuple):
    """One number of a running daemon, as a reader gets it (`docs/metrics.md`)."""

    name: str
    labels: tuple[tuple[str, str], ...]  # names and values, sorted
    value: float


class QueueView(Protocol):
    """The store as questions see it: read-only, from any process."""

    @property
    def people(self) -> "PeopleView":
        """Who may use the console, and the audit."""
        ...

    @property
    def outbox(self) -> "OutboxView":
        """What applications are told."""
        ...

    @property
    def permits(self) -> "PermitsView":
        """What is known of accounts at smarthosts."""
        ...

    @property
    def sites(self) -> "SiteStatesView":
        """What is known of the sites that mail goes to directly."""
        ...

    @property
    def trust(self) -> "TrustView":
        """What is kept about TLS of mail hosts."""
        ...

    @property
    def samples(self) -> "SamplesView | None":
        """What machines told each other; None where one machine has the queue alone."""
        ...

    def find(
        self,
        query: Query,
        *,
        limit: int,
        before: Place | None = None,
        back_from: Place | None = None,
    ) -> Sequence[RecipientRow]:
        """Return matching recipients, newest message first; `before` is the last row of the page before.

        With `back_from` they are the last in that order up to this place, what is there included. Exact, whatever is asked for together. The store reads in short steps, each of which sees one
        instant; the time that all of them take grows only where two values are common and hardly meet.
        """
        ...

    def page(
        self,
        query: Query,
        *,
        limit: int,
        before: Place | None = None,
        back_from: Place | None = None,
    ) -> Page:
        """The same in a bounded time: perhaps fewer rows than `limit` though more follow, as `next` and `prev` say.

        Pages put together, each before the `next` of the last, have what `find` has; so have those
        that each lead back from the `prev` of the last.
        """
        ...

    def history(self, message_id: MessageId) -> Sequence[HistoryEntry]:
        """Return a message's events, oldest first, its reception included."""
        ...

    def content_of(self, message_id: MessageId) -> "Content | None":
        """Return the content as stored; None when it is gone. Raises ContentLost.

        Nothing is recorded: that is for who asks while no daemon runs. Else `QueueStore.read` gives it.
        """
        ...

    def first_message(self, key: bytes) -> "FirstMessage | None":
        """Return the message that came with this key of a message that is to be taken once.

        It may not be durable yet: `QueueStore.enqueue` tells it when it is.
        """
        ...

    def addresses(self, query: Query, *, limit: int) -> Sequence[AddressRow]:
        """Return addresses with a matching recipient, the newest such message first.

        What a row sums up is all messages to the address, not only those that match; `suppress`
        is what `is_suppressed` tells for everybody, or for some senders, of whom 20 are named. Mail that relayd itself sends to a sender, its reports and the
        asynchronous bounces that it hands on, is left out: no client gave us that address to write to.
        A query for nothing but addresses also gets the suppressed ones that no such mail went to, at the end.
        """
        ...

    def recent_addresses(self, query: Query, *, limit: int) -> RecentAddresses:
        """The same in a bounded time: perhaps only those of newer mail, as `since` says."""
        ...

    def is_suppressed(self, address: str, *, sender: str = "") -> bool | Awaitable[bool]:
        """Tell whether an address is suppressed, for mail of `sender`.

        It is after one bounce that proves it invalid (`Bounced.suppress`), after those of two
        messages because its mailbox is inactive, and when a person said so; until it is unsuppressed, also when
        the history has forgotten those messages. Mail that relayd itself sends to a sender does not count. An asynchronous bounce counts for
        mail from the reverse-path of its message only, compared without case; without `sender`, none
        does. An indexed read: a store in this machine tells it at once, short enough for an event loop; one
        behind a network returns what tells it later. Either may raise StoreUnavailable.
        """
        ...

    def suppressions(
        self, *, after: str = "", ahead_of: str = "", limit: int
    ) -> Sequence[Suppression]:
        """Return what suppresses the addresses behind `after`, by domain and local part in lower case.

        With `ahead_of` it is the last of it that is ahead of that address. About `limit` of them: as many more as the last address has. Empty: there is no further one.
        """
        ...

    def came_back(self, message_id: MessageId, recipient: int) -> Sequence[datetime]:
        """Return when mail came to the VERP address of a recipient, oldest first. A short read."""
        ...

    def counts(self) -> Counts:
        """Return how much is unfinished. Reads that, and no history: seconds for a million."""
        ...

    def backlog(self, at: datetime, *, most: int) -> "Backlog":
        """Return how much is unfinished, by status and by its age at that instant, each number up to `most`.

        Reads about ten times `most` entries of an index at most, and no history.
        """
        ...

    def waiting(self, query: Query, by: "By", *, most: int | None = None) -> "Counted":
        """Return how much of what matches is unfinished, by what it has in common.

        Reads that, and no history: 1 to 2 seconds for a million. With `most`, a bounded part: all, if no more
        than that of any status and category waits, else the newest.
        """
        ...

    def paused_destinations(self, at: datetime, *, limit: int) -> Sequence[PausedDestination]:
        """Return destinations with mail that are left alone at that instant, the last to be tried first."""
        ...

    def pause_rules(self) -> "Sequence[PauseRule]":
        """Return the pause rules that nobody has ended, the oldest first; of some the time may be over.

        A short read.
        """
        ...

    def latest(self, limit: int) -> Sequence[LatestEvent]:
        """Return the last events of all messages, newest first; receptions are none."""
        ...

    def events(self, *, after: int, limit: int) -> Sequence[NumberedEvent]:
        """Return what happened to all messages behind an event, oldest first; behind 0: from the first that is kept.

        Receptions are none. What is committed later has a greater number, so that who asks again and again misses
        nothing. A short read.
        """
        ...

    def store_secret(self) -> bytes | None:
        """Return the random octets of this store, as `QueueStore.secret`; None: no worker has made them yet."""
        ...

    def last_event(self) -> int:
        """Return the number of the last event; 0: there is none."""
        ...

    def tally(self, query: "TallyQuery") -> "TallyAnswer":
        """Return how many events there were in a time, and the delays from reception to acceptance.

        Exact up to the last commit, in time moved outwards to full steps, as the answer says: 10 minutes, hours
        or days, the coarser the longer ago. Rare values of a step that is over are counted together. Reads a bounded number of rows, whatever the
        history. Text compares without case.
        """
        ...

    def close(self) -> None: ...

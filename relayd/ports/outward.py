"""The world outside: the clock, the DNS, sessions with next hops, checkers, the status log."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol

from relayd.errors import PeerError
from relayd.mail.attempt import AttemptFacts, Breakdown, Peer, RouteKind
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage, QueuedMessage, QueuedRecipient
from relayd.mail.event import Event
from relayd.mail.reply import Reply, Stage
from relayd.mail.tls_result import Proof
from relayd.mail.words import Detail
from relayd.policy.delivery.login_refusal import ends_in_refusal

if TYPE_CHECKING:  # those who read this at run time need none of them
    from relayd.mail.dns import Addresses, MxAnswer, TextAnswer, TlsaAnswer
    from relayd.policy.intake.content import Verdict
    from relayd.policy.tls.ladder import Requirement
    from relayd.settings import CertificateSettings, Login


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to connect to: the address is resolved and vetted already."""

    route: RouteKind
    host: str  # the name, for SNI, the certificate and the history
    ip: str
    port: int
    requirement: "Requirement"  # what the session has to have
    login: "Login | None"
    source_ip: str | None = None
    helo: str = ""  # our name there; empty: the usual one
    certificate: "CertificateSettings | None" = None  # of ours, shown in TLS
    assume_8bit: bool = False  # it takes 8-bit mail though it does not say so

    @property
    def is_loopback(self) -> bool:
        """It is on this machine: nobody else can listen or pose as it."""
        return ip_address(self.ip).is_loopback


class SessionFailed(PeerError):
    """No usable session with a host. Exactly one of `reply` and `breakdown` is set.

    `note` is what else helps to understand it; `login_refused` is of our login there (S-53).
    """

    def __init__(
        self,
        stage: Stage,
        ended_by: Reply | Breakdown,
        *,
        peer: Peer | None = None,
        note: str = "",
    ) -> None:
        self.stage = stage
        self.reply = ended_by if isinstance(ended_by, Reply) else None
        self.breakdown = ended_by if isinstance(ended_by, Breakdown) else None
        self.peer = peer  # None: no address could be found
        self.login_refused = ends_in_refusal(stage, ended_by)
        words = ended_by.reason if isinstance(ended_by, Breakdown) else str(ended_by)
        super().__init__(f"{stage}: {words}" + (f" ({note})" if note else ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What one transaction saw."""

    facts: tuple[AttemptFacts, ...]  # one per recipient, in their order
    not_tried: tuple[int, ...] = ()  # indexes that go into another transaction at once (S-15, S-19)
    stale: bool = False  # a reused connection gave no verdict: once more on a fresh one


class Connection(Protocol):
    """A session with a next hop that has got as far as MAIL."""

    @property
    def peer(self) -> Peer: ...

    @property
    def proof(self) -> Proof:
        """What it has shown in the handshake."""
        ...

    def serve(self, requirement: "Requirement") -> None:
        """Note what the domain asks whose mail it carries from now on; what it has shown meets that."""
        ...

    @property
    def is_usable(self) -> bool:
        """May take another transaction."""
        ...

    @property
    def transactions(self) -> int:
        """How many it has carried."""
        ...

    @property
    def is_after_dot(self) -> bool:
        """The server may have the message that was sent last: the final dot has left."""
        ...

    async def deliver(
        self, message: QueuedMessage, recipients: Sequence[QueuedRecipient], content: Content
    ) -> Delivery:
        """Run one transaction; never raises for what the peer does."""
        ...

    async def quit(self) -> None:
        """Leave politely; bounded in time, never raises."""
        ...

    def abort(self) -> None: ...

    def cut_off(self) -> None:
        """Hang up because relayd stops: that is no fault of the server."""
        ...


told_of_waiting: ContextVar[Callable[[str], None]] = ContextVar(
    "told_of_waiting", default=lambda _: None
)
"""Whom `Transport.connect` tells what it waits for, in words for people, when that takes long.

Empty words: it goes on, or has ended. A task that opens connections sets it for itself.
"""


class Transport(Protocol):
    """How the deliverer reaches next hops."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a configured host name. Raises SessionFailed, never returns none."""
        ...

    async def connect(self, target: Target) -> Connection:
        """Open a session. Raises SessionFailed."""
        ...


class Resolver(Protocol):
    """The DNS as direct delivery needs it. Bounded in time; never raises for what the DNS says."""

    async def mx(self, domain: str) -> "MxAnswer":
        """Return where mail for `domain` goes; in any case, U-labels or A-labels."""
        ...

    async def addresses(self, host: str) -> "Addresses":
        """Return the addresses of a mail host; none for what cannot be a name."""
        ...

    async def texts(self, name: str) -> "TextAnswer":
        """Return the TXT records of a name."""
        ...

    async def tlsa(self, name: str) -> "TlsaAnswer":
        """Return the TLSA records of a name such as `_25._tcp.mx.a.test`."""
        ...

    async def alias_is_secure(self, host: str) -> bool:
        """Tell whether `host` is an alias and DNSSEC proves that, whatever is at its end."""
        ...

    @property
    def is_trusted(self) -> bool:
        """Answers can be `authenticated` at all: a name server whose word counts is asked."""
        ...


class Clock(Protocol):
    """Where instants come from; tests inject their own."""

    def now(self) -> datetime:
        """Return the wall clock as an aware UTC datetime."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for durations inside this process."""
        ...


class ContentChecker(Protocol):
    """What decides about a complete message by its content."""

    async def judge(self, message: NewMessage) -> "Verdict":
        """Return what becomes of the message. Bounded in time; never raises for what the checker does."""
        ...


class EventSink(Protocol):
    """Where events go after their commit: the status log and the counters. Never raises, never drops one."""

    def received(self, message: NewMessage) -> None:
        """Note what is recorded with the reception of a message that is durable now."""
        ...

    def record(self, event: Event, message: QueuedMessage, address: str) -> None:
        """Note one event of one recipient."""
        ...

    def acted(self, event: Event) -> None:
        """Note an event that has a subject: an operator's act, or what a mail to a VERP address says."""
        ...

    def refused(self, at: datetime, detail: Detail, *, is_written: bool = True) -> None:
        """Note that a client was refused: there is no message to speak of.

        With `is_written` false it is one of too many, and only counted.
        """
        ...

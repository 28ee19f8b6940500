"""What a destination queue and the way to its hosts tell each other: sessions, or why not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from relayd.deliverer.connections import Leave
from relayd.mail.attempt import AttemptFacts, RouteKind
from relayd.mail.ids import MessageId
from relayd.mail.reply import Reply, Stage
from relayd.mail.tls_result import TlsPolicy
from relayd.mail.words import Category
from relayd.policy.delivery.hosts import FailedHost
from relayd.policy.delivery.route import HostPort, RouteFacts
from relayd.ports.outward import Connection, SessionFailed

if TYPE_CHECKING:
    from relayd.deliverer.nexthop.account import Account

ANYBODY = RouteFacts()
"""Mail of which nothing is known."""
NO_MESSAGE = MessageId(0)
Address = tuple[str, int]
"""An IP address, or a name for which there is none; and a port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFailure:
    """A host that could not be used, and why."""

    host: HostPort
    at: datetime
    failed: SessionFailed
    route: RouteKind = RouteKind.SMARTHOST
    preference: int = 0  # of its MX record
    at_door: bool = True  # it takes nothing from us; False: what we brought may be to blame
    facts: AttemptFacts | None = None  # of the transaction that broke; None: it had none
    said: Mapping[int, AttemptFacts] = field(default_factory=dict, compare=False)
    """What was seen of each recipient, by its number; of those that are not in it, `facts`."""
    has_served: bool = False  # its session had carried a transaction before
    was_asked: bool = True  # False: a policy refuses it, and nobody connected

    @property
    def address(self) -> Address:
        peer = self.failed.peer
        return (self.host.host if peer is None else peer.ip, self.host.port)

    @property
    def is_of_policy(self) -> bool:
        """It may be fine for other domains: it fails what this one asks of TLS."""
        peer, breakdown = self.failed.peer, self.failed.breakdown
        result = None if peer is None else peer.tls_result
        is_tls = breakdown is not None and breakdown.category is Category.TLS_FAILURE
        ours = (TlsPolicy.NONE, TlsPolicy.OPERATOR)
        return not self.was_asked or (is_tls and result is not None and result.policy not in ours)

    @property
    def lacks(self) -> bool:
        """It is up, and does not offer what the message needs."""
        return self.facts is not None and bool(self.facts.own_refusal)

    @property
    def has_ended(self) -> bool:
        """The session is over, and not only this transaction."""
        if self.facts is None or self.facts.own_refusal:
            return self.facts is None
        return self.facts.reply is None or self.facts.reply.code == 421

    @property
    def has_put_off(self) -> bool:
        """It works, and may take this mail later."""
        reply = self._reply
        return reply is not None and reply.is_transient and reply.code != 421

    @property
    def wants_login(self) -> bool:
        """It wants one at MAIL: no other refusal for good is left to another host."""
        return self._reply is not None and self._reply.is_permanent

    @property
    def _reply(self) -> Reply | None:
        """What it said in a transaction, and not what relayd says in its place."""
        return None if self.facts is None or self.lacks else self.facts.reply

    def met_by(self, recipient: int) -> "HostFailure":
        """Return it as one recipient met it: what was said of others is none of its matters."""
        said = self.said.get(recipient)
        if said is None or said is self.facts:
            return self
        ended_by = said.reply or said.breakdown
        assert ended_by is not None, "one of them is set"
        failed = SessionFailed(said.stage, ended_by, peer=said.peer)
        return replace(self, facts=said, failed=failed)

    @property
    def known(self) -> FailedHost:
        """Return what is decided by."""
        reply, breakdown = self.failed.reply, self.failed.breakdown
        return FailedHost(
            host=self.host,
            at_door=self.at_door,
            is_direct=self.route is RouteKind.DIRECT,
            code=None if reply is None else reply.code,
            login_refused=self.failed.login_refused,
            lacks=self.lacks,
            wants_login=self.wants_login,
            is_proof=breakdown is not None and bool(breakdown.status),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A connection, and what happened on the way to it."""

    connection: Connection
    failures: tuple[HostFailure, ...] = ()
    preference: int = 0  # of the host's MX record
    better_mx_unreachable: bool = False  # a better MX than this one is out of reach (S-17)
    site: str = ""  # whose host it is, of a direct route


class NoHost(Exception):
    """No host could be used; `failures` is never empty.

    `all_asked`: there is no host besides those that failed. What follows from it is decided in
    `relayd.policy.delivery.hosts`.
    """

    def __init__(self, failures: tuple[HostFailure, ...], *, all_asked: bool = False) -> None:
        self.failures = failures
        self.all_asked = all_asked
        super().__init__("; ".join(f"{failure.host}: {failure.failed}" for failure in failures))

    @property
    def facts(self) -> list[FailedHost]:
        """Return what is known of the hosts, in the order of `failures`."""
        return [failure.known for failure in self.failures]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """A site that is given nothing now, from any address of ours."""

    site: str
    reply: str  # what it said
    is_for_long: bool  # its mail goes another way meanwhile, where there is one
    is_warm_up: bool = False  # it said nothing: our address is new to it, and has had its turn


class NotYet(Exception):
    """No transaction may begin before `until`, and why; nobody failed in this attempt.

    `left_alone`: for what the site said of us, or because our address is new to it. Where the site spoke, that may go
    on: mail that is too old by now is given up.
    """

    def __init__(self, until: datetime, why: str, *, left_alone: LeftAlone | None = None) -> None:
        self.until = until
        self.why = why
        self.left_alone = left_alone
        super().__init__(f"not before {until}: {why}")


class NextHop(Protocol):
    """Where the mail of one destination goes."""

    @property
    def idle_timeout(self) -> float:
        """Seconds a connection waits for the next message before it is given back."""
        ...

    @property
    def allowed(self) -> int:
        """How many connections are allowed by now, at least 1."""
        ...

    @property
    def is_limited(self) -> bool:
        """Tell whether a rate holds the mail back."""
        ...

    @property
    def account(self) -> "Account | None":
        """What limits its transactions beside connections; None: nothing does."""
        ...

    async def connect(
        self,
        after: Sequence[HostFailure] = (),
        facts: RouteFacts = ANYBODY,
        message: MessageId = NO_MESSAGE,
    ) -> Session:
        """Open a session for a message of `facts`, or take an idle one. Raises NoHost, NotYet.

        `after` are the hosts that failed in this attempt so far. They are not asked again, and
        are before the others in the failures of whatever comes of it.
        """
        ...

    def keeps(self, session: Session, facts: RouteFacts = ANYBODY) -> bool:
        """Tell whether a queue may carry on with its session, for mail of `facts`."""
        ...

    def rest(self, leave: Leave) -> None:
        """Note that a connection waits for work; `leave` may be called when its slot is needed."""
        ...

    def resume(self, leave: Leave) -> None:
        """Note that it does not any more."""
        ...

    async def give_back(self, session: Session) -> None:
        """Take a session that its queue has no more use for."""
        ...

    def has_another_host(self, session: Session) -> bool:
        """Tell whether there is a host that this attempt has not asked yet, and that may take what this one puts off."""
        ...

    def has_another_source(self, session: Session, facts: RouteFacts = ANYBODY) -> bool:
        """Tell whether mail of `facts` may come from another address of ours, where this one is refused."""
        ...

    async def saw(
        self,
        session: Session,
        replies: Sequence[tuple[Reply | None, Stage]],
        message: MessageId,
        facts: RouteFacts = ANYBODY,
    ) -> None:
        """Learn from what a server said of one message."""
        ...

    def answered(self) -> None:
        """A server has dealt with a transaction, or takes long for one: one more connection is allowed."""
        ...

    def turned_away(self) -> None:
        """A server has too much of us: half as many are allowed."""
        ...

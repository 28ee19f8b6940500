"""What the sessions of a worker share, and those of one listener."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from relayd.mail.address import Address
from relayd.mail.signing import Signer
from relayd.policy.dsn.budget import DsnBudget
from relayd.policy.intake.access import AccessRules
from relayd.policy.intake.aliases import Aliases
from relayd.policy.intake.places import Whose
from relayd.policy.pausing import Pausing
from relayd.policy.rewriting.srs import SrsDomains
from relayd.ports.outward import Clock, ContentChecker
from relayd.receiver.intake import Intake
from relayd.receiver.lenient_log import LenientLog
from relayd.receiver.quotas import Quotas
from relayd.receiver.tls import ServerTls
from relayd.receiver.users import Users
from relayd.settings import LimitSettings, ListenerAuth, ListenerSettings, SenderSettings

NO_SENDERS = SenderSettings()
NO_RULES = AccessRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionContext:
    """Of one listener."""

    fqdn: str
    listener: ListenerSettings
    limits: LimitSettings
    refuse_suppressed: bool = False
    keeps_subject: bool = False
    soft_bounce: bool = False  # refuse mail for now only
    aliases: Aliases | None = None  # for clients of this machine
    srs: SrsDomains | None = None  # whose paths are taken back
    srs_budget: DsnBudget | None = None  # how much of it, from strangers
    senders: SenderSettings = NO_SENDERS
    access: AccessRules = NO_RULES
    quotas: Quotas | None = None  # where clients have some
    tls: ServerTls | None = None  # set where the listener has TLS
    checker: ContentChecker | None = None  # of messages, if they are checked
    signer: Signer | None = None  # set where there are keys
    users: Users | None = None  # set where clients may log in
    intake: Intake
    now: Callable[[], datetime]
    monotonic: Callable[[], float]  # seconds
    may_send: Callable[[Whose], bool]  # a stranger, a message
    pausing: Pausing = field(default_factory=Pausing)
    lenient_log: LenientLog = field(default_factory=LenientLog)

    def may_come_back(self, target: Address, site: str) -> bool:
        """Tell whether one more mail of strangers from `site` may go to a sender of forwarded mail; if so, it counts."""
        budget = self.srs_budget
        return budget is None or budget.may_mail(str(target), site, now=self.now()) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Of a worker: what it offers to all of its clients."""

    fqdn: str
    limits: LimitSettings
    intake: Intake
    clock: Clock
    refuse_suppressed: bool = False
    keeps_subject: bool = False
    soft_bounce: bool = False  # refuse mail for now only
    aliases: Aliases | None = None  # for clients of this machine
    srs: SrsDomains | None = None  # whose paths are taken back
    srs_budget: DsnBudget | None = None  # how much of it, from strangers
    senders: SenderSettings = NO_SENDERS
    access: AccessRules = NO_RULES
    quotas: Quotas | None = None  # where clients have some
    tls: ServerTls | None = None  # where a listener has TLS
    users: Users | None = None  # where clients may log in
    checker: ContentChecker | None = None
    signer: Signer | None = None  # set where there are keys
    pausing: Pausing = field(default_factory=Pausing)
    lenient_log: LenientLog = field(default_factory=LenientLog)

    def on(self, listener: ListenerSettings, may_send: Callable[[Whose], bool]) -> SessionContext:
        """Return what sessions of a listener share."""
        return SessionContext(
            fqdn=self.fqdn,
            listener=listener,
            limits=self.limits,
            refuse_suppressed=self.refuse_suppressed,
            soft_bounce=self.soft_bounce,
            aliases=self.aliases,
            srs=self.srs,
            srs_budget=self.srs_budget,
            senders=self.senders,
            access=self.access,
            quotas=self.quotas,
            keeps_subject=self.keeps_subject,
            tls=self.tls,
            checker=self.checker,
            signer=self.signer,
            users=None if listener.auth is ListenerAuth.OFF or listener.is_console else self.users,
            intake=self.intake,
            now=self.clock.now,
            monotonic=self.clock.monotonic,
            lenient_log=self.lenient_log,
            may_send=may_send,
            pausing=self.pausing,
        )

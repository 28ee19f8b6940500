"""Put the receiver together: listeners, logins, the certificate, the content checker."""

from dataclasses import dataclass, replace

from relayd.errors import (
    StartError,
    UsersError,
)
from relayd.net.content import ContentGate
from relayd.policy.dsn.budget import USUAL_LIMITS, DsnBudget
from relayd.policy.intake.known_sources import KnownSources
from relayd.policy.rewriting.srs import SrsDomains
from relayd.ports.outward import Clock
from relayd.receiver.context import Service
from relayd.receiver.listener import Receiver
from relayd.receiver.quotas import Quotas
from relayd.receiver.tls import ServerTls
from relayd.receiver.users import Users
from relayd.settings import Settings
from relayd.worker.descriptors import shares_of
from relayd.worker.inherited import Inherited
from relayd.worker.intake import Intake
from relayd.worker.names import aliases_here
from relayd.worker.parts import Parts


@dataclass(frozen=True, slots=True)
class Inward:
    """The receiver, with what belongs to it."""

    receiver: Receiver
    users: Users | None
    tls: ServerTls | None

    def close(self) -> None:
        if self.users is not None:
            self.users.close()


async def receive(settings: Settings, inherited: Inherited, parts: Parts, intake: Intake) -> Inward:
    """Return what takes mail from the inherited sockets, not started yet. Raises StartError."""
    users = _users(settings, parts.clock, inherited.known)
    tls = _server_tls(settings, parts.clock)
    receiver = Receiver(
        inherited.listeners,
        Service(
            fqdn=settings.fqdn,
            limits=replace(settings.limits, connections=shares_of(settings.limits).clients),
            intake=intake,
            clock=parts.clock,
            refuse_suppressed=settings.bounces.refuse_suppressed,
            soft_bounce=settings.soft_bounce,
            aliases=aliases_here(settings),
            srs=await _srs(settings, parts),
            srs_budget=DsnBudget(USUAL_LIMITS, now=parts.clock.now()),
            senders=settings.senders,
            access=settings.access,
            quotas=Quotas(settings.quotas, inherited.quotas, parts.clock)
            if settings.quotas.are_set
            else None,
            keeps_subject=settings.store.keep_subject,
            tls=tls,
            users=users,
            checker=_checker(settings),
            pausing=parts.pausing,
            signer=parts.signer,
        ),
        share=inherited.balance.share_of(inherited.name),
    )
    return Inward(receiver, users, tls)


async def _srs(settings: Settings, parts: Parts) -> SrsDomains | None:
    """Return the domains from which forwarded mail comes back; None: there are none."""
    rules = [
        *settings.senders.rewrites.values(),
        *(each.rewrite for each in settings.smarthosts.values()),
    ]
    domains = {rule.srs_domain.lower() for rule in rules if rule is not None and rule.srs_domain}
    if not domains:
        return None
    return SrsDomains(domains=frozenset(domains), key=await parts.store.secret())


def _server_tls(settings: Settings, clock: Clock) -> ServerTls | None:
    """Load the certificate, if listeners need it; it was good when the settings were read."""
    if settings.certificate is None:
        return None
    try:
        return ServerTls(settings.certificate, clock)
    except OSError as error:
        raise StartError(f"the certificate cannot be used: {error}") from error


def _users(settings: Settings, clock: Clock, known: KnownSources) -> Users | None:
    """Read the users file, if listeners need it; it was good when the settings were read."""
    if settings.users_file is None:
        return None
    try:
        return Users(settings.users_file, clock, known)
    except UsersError as error:
        raise StartError(f"the users file cannot be used: {error}") from error


def _checker(settings: Settings) -> ContentGate | None:
    """Return who judges content, if the settings draw consequences from it."""
    if settings.content is None or not settings.content.rules.has_effect:
        return None
    return ContentGate(settings.content)

"""Knock at mail servers: connect, greet, log in where we would, and leave. No mail is sent."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address

from relayd.doctor.context import CheckContext
from relayd.mail.attempt import RouteKind
from relayd.mail.dns import IpAddress
from relayd.mail.reply import Stage
from relayd.mail.words import Category, Fault
from relayd.net.oauth2.tokens import TokenRefused, Tokens, TokenServerDown, as_failure
from relayd.net.smtp.client import Timers, TlsContexts, connect, resolve
from relayd.policy.delivery.route import DEFAULT, named_in, table_of
from relayd.policy.doctor.dns import first_failure
from relayd.policy.doctor.finding import Finding
from relayd.policy.doctor.servers import (
    Knock,
    Trouble,
    judge_no_reach,
    judge_reach,
    judge_smarthosts,
)
from relayd.policy.tls.ladder import Level, Requirement, asked_by
from relayd.ports.outward import SessionFailed, Target
from relayd.settings import HostPort, SmarthostSettings

_TIMERS = Timers(connect=10, greeting=30, command=30)  # people wait for this


async def check_port(context: CheckContext) -> Sequence[Finding]:
    """Try the hosts that the operator named, from every address that we would send from."""
    if not context.request.reach:
        return [judge_no_reach()]
    found, tls = [], TlsContexts()
    for host in context.request.reach:
        ips, trouble = await _addresses(context, host)
        ways = list(_ways(context, ips))
        if not ways:
            found.append(judge_reach(Knock(host=str(host), trouble=trouble)))
        for source, ip in ways:
            found.append(judge_reach(await _reach(context, host, ip, source, tls)))
    return found


async def check_smarthost(context: CheckContext) -> Sequence[Finding]:
    """Knock at every host of every smarthost."""
    tls, settings, found = TlsContexts(), context.settings, list[Finding]()
    named = named_in(settings.routes)
    for name, smarthost in settings.smarthosts.items():
        knocks = [await _smarthost(context, smarthost, host, tls) for host in smarthost.hosts]
        is_needed = name in named or (name == DEFAULT and not context.is_direct)
        found += judge_smarthosts(knocks, table_of(name), is_needed=is_needed)
    return found


async def _addresses(
    context: CheckContext, host: HostPort
) -> tuple[tuple[IpAddress, ...], Trouble]:
    """Return the addresses of a host, and what to say if none of them will do."""
    try:
        ips: tuple[IpAddress, ...] = (ip_address(host.host),)
        reason = "we send from no address of its family"
    except ValueError:
        found = await context.dns.addresses(host.host)
        failure = first_failure(found)
        ips = found.ips
        reason = "it has no address that we could connect to" if failure is None else failure.reason
    return ips, Trouble(stage=Stage.CONNECT, reason=reason, category=Category.DNS_FAILURE)


def _ways(
    context: CheckContext, ips: Sequence[IpAddress]
) -> Iterator[tuple[IpAddress | None, IpAddress]]:
    """Give the addresses to try, each with the one of ours to bind to; None: the system chooses."""
    chosen = [ip_address(each) for each in context.settings.direct.source_addresses]
    for source in chosen:
        for ip in _of_family(source.version, ips):
            yield source, ip
    if not chosen:
        families = sorted({ip.version for ip in context.local})
        likely = [ip for family in families for ip in _of_family(family, ips)]
        allowed = {family.version for family in context.settings.direct.families}
        for ip in likely or [ip for ip in ips if ip.version in allowed][:1]:
            yield None, ip


def _of_family(version: int, ips: Sequence[IpAddress]) -> Sequence[IpAddress]:
    """Return the first address of a family, if there is one."""
    return [ip for ip in ips if ip.version == version][:1]


async def _reach(
    context: CheckContext, host: HostPort, ip: IpAddress, source: IpAddress | None, tls: TlsContexts
) -> Knock:
    target = Target(
        route=RouteKind.DIRECT,
        host=host.host,
        ip=str(ip),
        port=host.port,
        requirement=Requirement(level=Level.CLEAR),
        login=None,
        source_ip=None if source is None else str(source),
        helo="" if source is None else context.settings.direct.helo_of(str(source)),
    )
    words = str(host) if source is None else f"{host} from {source}"
    return await _knock(context, target, words, tls)


async def _smarthost(
    context: CheckContext, smarthost: SmarthostSettings, host: HostPort, tls: TlsContexts
) -> Knock:
    """Try the addresses of one host until one lets us in."""
    try:
        ips = await resolve(host.host, host.port)
    except SessionFailed as failure:
        return Knock(host=str(host), trouble=_trouble(failure))
    knock = Knock(host=str(host))
    for ip in ips:
        target = Target(
            route=RouteKind.SMARTHOST,
            host=host.host,
            ip=ip,
            port=host.port,
            requirement=asked_by(smarthost.tls, ip),
            login=smarthost.login,
            source_ip=smarthost.source_address or None,
            helo=smarthost.ehlo,
            certificate=smarthost.certificate,
        )
        knock = await _knock(context, target, str(host), tls)
        if knock.trouble is None:
            break
    return knock


async def _knock(context: CheckContext, target: Target, host: str, tls: TlsContexts) -> Knock:
    try:
        target = await _with_token(context, target)
        connection = await connect(
            target,
            helo=target.helo or context.settings.fqdn,
            timers=_TIMERS,
            tls=tls,
            clock=context.clock,
        )
    except SessionFailed as failure:
        return Knock(host=host, trouble=_trouble(failure))
    await connection.quit()
    return Knock(host=host, tls=connection.peer.tls, logged_in=target.login is not None)


async def _with_token(context: CheckContext, target: Target) -> Target:
    """Return a target whose login has the token of now, if it needs one. Raises SessionFailed."""
    login = target.login
    if login is None or login.oauth2 is None:
        return target
    try:
        token = await Tokens(clock=context.clock).token(login.oauth2)
    except (TokenRefused, TokenServerDown) as error:
        raise as_failure(error) from None
    return replace(target, login=replace(login, secret=token))


def _trouble(failure: SessionFailed) -> Trouble:
    breakdown = failure.breakdown
    return Trouble(
        stage=failure.stage,
        reason=str(failure) if breakdown is None else breakdown.reason,
        reply=failure.reply,
        category=None if breakdown is None else breakdown.category,
        fault=Fault.PEER if breakdown is None else breakdown.fault,
        login_refused=failure.login_refused,
    )

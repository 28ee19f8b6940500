"""Check what the settings say of where mail goes: smarthosts, hosts of `[routes]`, and who chooses among them."""

from collections.abc import Iterator
from ipaddress import ip_address

from relayd.config import units
from relayd.config.mistakes import Report, show_key
from relayd.config.model import Document, Key
from relayd.config.nearest import nearest
from relayd.config.oauth2 import OAUTH2_KEYS, check_oauth2
from relayd.config.rewrite import RewriteKeys, rivals_in
from relayd.config.routes import Destination, named_route
from relayd.config.smarthosts import Smarthost, smarthosts_of
from relayd.policy.delivery.route import DEFAULT, ViaHost, ViaSmarthost
from relayd.policy.delivery.senders import shadowed
from relayd.settings import AuthMechanism, HostPort, TlsMode

_LOGIN_KEYS = (
    *("hosts", "tls", "username", "auth", "password_file", "token_file"),
    *(f"oauth2_{name}" for name in OAUTH2_KEYS),
)


def check_ways(document: Document, report: Report) -> None:
    """Note what is wrong with ways that each are well-formed."""
    _check_default(document, report)
    _check_names(document, report)
    _check_loop(document, report)
    _check_port_465(document, report)
    _check_route_hosts(document, report)
    _check_senders(document, report)
    _check_rewriting(document, report)
    for table, smarthost in smarthosts_of(document).values():
        if report.is_sound(*((*table, name) for name in _LOGIN_KEYS)):
            _check_login(smarthost, table, report)
        _check_certificate(smarthost, table, report)
        _check_source(smarthost, table, report)


def _check_default(document: Document, report: Report) -> None:
    """The default smarthost has one description."""
    if DEFAULT in document.smarthosts and report.data.get("smarthost"):
        report.add(
            ("smarthosts", DEFAULT),
            "[smarthost] is the smarthost of this name already: write one of both",
        )


def _check_names(document: Document, report: Report) -> None:
    """Who names a smarthost names one that exists, and who describes one has a use for it."""
    if not report.is_sound(("smarthosts",)):
        return
    names = smarthosts_of(document).keys()
    used = {DEFAULT}
    for key, name in _named(document):
        used.add(name)
        if report.is_sound(key) and name not in names:
            close = nearest(name, names)
            meant = f'; did you mean "{close[0]}"?' if close else ""
            report.add(key, f"there is no [smarthosts.{name}]{meant}")
    for name in names - used:
        report.warn(("smarthosts", name), "no mail goes by it: nothing names it")


def _named(document: Document) -> Iterator[tuple[Key, str]]:
    """Every place that names a smarthost, and the name."""
    for pattern, to in document.routes.items():
        route = named_route(pattern, to.name)
        if isinstance(route, ViaSmarthost):
            yield ("routes", pattern), route.name
    named: list[tuple[Key, str]] = [
        *((("logins", name), each.smarthost) for name, each in document.logins.items()),
        *((("listen", number), each.smarthost) for number, each in enumerate(document.listen)),
        *((("senders", pattern), each.smarthost) for pattern, each in document.senders.items()),
    ]
    for table, name in named:
        if name:
            yield (*table, "smarthost"), name


def _check_loop(document: Document, report: Report) -> None:
    """Mail that we hand to ourselves would go round until its hop count ends it."""
    for key, hop in _next_hops(document, report):
        for number, listener in enumerate(document.listen):
            own = listener.address.endpoint
            if (
                own is not None
                and report.is_sound(("listen", number, "address"))
                and _is_same(hop, own, document.fqdn.lower())
            ):
                report.add(key, f"a loop: this is our own listener listen[{number}]")
                break


def _next_hops(document: Document, report: Report) -> Iterator[tuple[Key, HostPort]]:
    """Every server that the settings name, and where they do."""
    for key, hop, _ in _smarthost_hosts(document, report):
        yield key, hop
    for pattern, _, hop in _route_hosts(document):
        yield ("routes", pattern), hop


def _smarthost_hosts(
    document: Document, report: Report
) -> Iterator[tuple[Key, HostPort, Smarthost]]:
    """Every host of a smarthost."""
    for table, smarthost in smarthosts_of(document).values():
        if report.is_sound((*table, "hosts")):
            for index, hop in enumerate(smarthost.hosts):
                yield (*table, "hosts", index), hop, smarthost


def _route_hosts(document: Document) -> Iterator[tuple[str, Destination, HostPort]]:
    """Every entry of `[routes]` that names a host."""
    for pattern, to in document.routes.items():
        route = named_route(pattern, to.name)
        if isinstance(route, ViaHost):
            yield pattern, to, route.host


def _check_route_hosts(document: Document, report: Report) -> None:
    """A host is one destination, whichever entries name it."""
    seen: dict[HostPort, tuple[str, Destination]] = {}
    for pattern, to, hop in _route_hosts(document):
        first, other = seen.setdefault(hop, (pattern, to))
        if (to.tls, to.assume_8bit) != (other.tls, other.assume_8bit):
            report.add(
                ("routes", pattern),
                f"expected the same tls and assume_8bit as in {show_key(('routes', first))},"
                " which names this host too",
            )


def _check_port_465(document: Document, report: Report) -> None:
    """A server there waits for TLS from the first octet on, and we for its greeting."""
    ways = [
        (key, hop.port, smarthost.tls)
        for key, hop, smarthost in _smarthost_hosts(document, report)
        if report.is_sound((*key[:-2], "tls"))
    ]
    ways += [(("routes", name), hop.port, to.tls) for name, to, hop in _route_hosts(document)]
    if report.is_sound(("direct", "port"), ("direct", "tls")):
        ways.append((("direct", "port"), document.direct.port, document.direct.tls))
    for key, port, tls in ways:
        if port == 465 and tls is not TlsMode.IMPLICIT:
            report.add(key, f'port 465 needs tls = "implicit", and it is "{tls}"')


def _check_senders(document: Document, report: Report) -> None:
    """The first entry that fits a sender counts, so none may come after one that has all of its mail."""
    for pattern, earlier in shadowed(document.senders):
        before = show_key(("senders", earlier))
        report.add(("senders", pattern), f"no mail gets here: {before} before it fits all of it")


def _check_rewriting(document: Document, report: Report) -> None:
    """One key says what becomes of a field; and paths of SRS lead back to us only in a domain of their own."""
    tables: list[tuple[Key, RewriteKeys]] = [*smarthosts_of(document).values()]
    tables += [(("senders", pattern), each) for pattern, each in document.senders.items()]
    others = {document.bounces.verp_domain.lower(): "bounces.verp_domain"}
    others[document.fqdn.lower()] = "fqdn"
    for table, rules in tables:
        for key, rival in rivals_in(rules):
            report.add((*table, key), f"expected it or {rival}, not both")
        taken = others.get(rules.srs_domain.lower()) if rules.srs_domain else None
        if taken and report.is_sound((*table, "srs_domain")):
            report.add((*table, "srs_domain"), f"expected a domain of its own: {taken} is this one")


def _is_same(hop: HostPort, own: HostPort, fqdn: str) -> bool:
    """The hop is certainly our listener: the same address, or another spelling of this machine."""
    if hop.port != own.port:
        return False
    if hop.host == own.host:
        return True
    if units.is_wildcard(own.host):
        return hop.host == fqdn or units.is_loopback(hop.host)
    either_is_name = "localhost" in (hop.host, own.host)
    return either_is_name and units.is_loopback(hop.host) and units.is_loopback(own.host)


def _check_login(smarthost: Smarthost, table: Key, report: Report) -> None:
    check_oauth2(smarthost, table, report)
    if smarthost.auth is AuthMechanism.OAUTH2:
        _check_tls(smarthost, table, report)
        return
    if not (smarthost.username or smarthost.password_file or smarthost.token_file):
        if smarthost.auth is not AuthMechanism.AUTO:
            report.add((*table, "auth"), "needs username, and password_file or token_file")
        return
    with_token = smarthost.auth in (AuthMechanism.XOAUTH2, AuthMechanism.OAUTHBEARER)
    needed, other = (
        ("token_file", "password_file") if with_token else ("password_file", "token_file")
    )
    if not smarthost.username:
        report.add((*table, "username"), f"expected the user's name: {needed} is set")
    if not getattr(smarthost, needed):
        report.add((*table, needed), f'is missing: a login with auth = "{smarthost.auth}" needs it')
    if getattr(smarthost, other):
        report.add((*table, other), f'is set, but auth = "{smarthost.auth}" takes {needed} instead')
    _check_tls(smarthost, table, report)


def _check_tls(smarthost: Smarthost, table: Key, report: Report) -> None:
    if smarthost.tls not in (TlsMode.VERIFY, TlsMode.IMPLICIT) and not all(
        units.is_loopback(hop.host) for hop in smarthost.hosts
    ):
        report.add(
            (*table, "tls"),
            'expected "verify" (or "implicit", for port 465): a login would go over a connection that proves no name',
        )


def _check_certificate(smarthost: Smarthost, table: Key, report: Report) -> None:
    """A certificate is shown in TLS only, and to who proves its name: it is a login too."""
    if (smarthost.certificate or smarthost.key_file) and smarthost.tls is TlsMode.OFF:
        report.add((*table, "tls"), "expected TLS: certificate is shown to the smarthost in it")


def _check_source(smarthost: Smarthost, table: Key, report: Report) -> None:
    """An address of one family reaches no host of the other."""
    source = smarthost.source_address
    if not source or not report.is_sound((*table, "hosts"), (*table, "source_address")):
        return
    for index, hop in enumerate(smarthost.hosts):
        if ":" in hop.host or hop.host.replace(".", "").isdecimal():
            to = ip_address(hop.host)
            if to.version != ip_address(source).version:
                report.add(
                    (*table, "hosts", index), f"cannot be reached from source_address, {source}"
                )

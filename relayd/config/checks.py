"""Check what settings mean to each other, once each of them is well-formed.

Owns the rules that need more than one key. Each check leaves out values that had a mistake of their
own: one mistake is reported once.
"""

from collections.abc import Iterator
from ipaddress import ip_address

from relayd.config import units
from relayd.config.console import check_console
from relayd.config.content import check_content
from relayd.config.mistakes import Report, show_key
from relayd.config.model import (
    Direct,
    Document,
    Key,
    Listen,
    Smarthost,
)
from relayd.config.routes import Destination, named_route
from relayd.policy.delivery.route import ViaHost
from relayd.policy.intake.aliases import flaws_of
from relayd.settings import (
    AuthMechanism,
    HostPort,
    ListenerAuth,
    ListenerTls,
    TlsMode,
    console_smtp_beside,
)

SOFT_BOUNCE_IS_ON = (
    "is on: mail that would bounce is deferred, and clients are refused for now only."
    " No sender hears of it. Switch it off when the change that it was for has proved right"
)


def check(document: Document, report: Report) -> None:
    """Note every mistake of `document` that no key shows by itself."""
    if document.soft_bounce:
        report.warn(("soft_bounce",), SOFT_BOUNCE_IS_ON)
    _check_listeners(document.listen, report)
    _check_metrics(document, report)
    _check_console(document, report)
    check_console(document.console, report)
    _check_our_sockets(document, report)
    _check_loop(document, report)
    _check_port_465(document, report)
    _check_route_hosts(document, report)
    _check_redirect(document, report)
    _check_aliases(document, report)
    _check_sources(document.direct, report)
    check_content(document.content, report)
    if report.is_sound(*_login_keys()):
        _check_login(document.smarthost, report)


def _check_listeners(listeners: list[Listen], report: Report) -> None:
    seen: dict[units.ListenAddress, int] = {}
    for index, listener in enumerate(listeners):
        key: Key = ("listen", index, "address")
        if not report.is_sound(key):
            continue
        endpoint = listener.address.endpoint
        if endpoint is None or endpoint.port != 0:  # the system gives each 0 a port of its own
            first = seen.setdefault(listener.address, index)
            if first != index:
                report.add(key, f"duplicate: listen[{first}] has this address already")
        if (
            endpoint is not None
            and not units.is_loopback(endpoint.host)
            and report.is_sound(("listen", index, "networks"))
            and "networks" not in listener.model_fields_set
            and listener.auth is ListenerAuth.OFF
        ):
            report.add(
                ("listen", index, "networks"),
                f"is missing; {endpoint} can be reached from outside:"
                " write which networks may relay without a login",
            )
        if (
            endpoint is not None
            and not units.is_loopback(endpoint.host)
            and listener.auth is not ListenerAuth.OFF
            and listener.tls is ListenerTls.OFF
            and report.is_sound(("listen", index, "tls"))
        ):
            report.add(
                ("listen", index, "tls"),
                'expected "starttls" or "implicit": from outside, a login is taken over TLS only',
            )


def _check_metrics(document: Document, report: Report) -> None:
    """An address either takes mail or hands out metrics."""
    key: Key = ("metrics", "address")
    if not document.metrics.address or not report.is_sound(key):
        return
    for index, listener in enumerate(document.listen):
        same = str(listener.address) == document.metrics.address
        if same and report.is_sound(("listen", index, "address")):
            report.add(key, f"listen[{index}] has this address already")
            return


def _check_our_sockets(document: Document, report: Report) -> None:
    """Two sockets that relayd makes itself, whatever is set."""
    control = document.control.socket
    if not report.is_sound(("control", "socket")):
        return
    ours = {
        control: "the control socket is there",
        console_smtp_beside(control): "the console hands mail over there",
    }
    addresses: list[tuple[Key, units.ListenAddress]] = [
        (("listen", index, "address"), each.address) for index, each in enumerate(document.listen)
    ]
    for key, address in (*addresses, (("console", "address"), document.console.address)):
        if report.is_sound(key) and address.unix_path in ours:
            report.add(key, f"expected another path: {ours[address.unix_path]}")


def _check_console(document: Document, report: Report) -> None:
    """Passwords are typed there: what comes from outside comes through a proxy with TLS."""
    key: Key = ("console", "address")
    if not report.is_sound(key):
        return
    address = document.console.address
    if address.endpoint is not None and not units.is_loopback(address.endpoint.host):
        report.add(
            key,
            "expected a loopback address, unix: or systemd:; others reach it through a proxy with TLS",
        )
        return
    taken = {str(each.address): f"listen[{index}]" for index, each in enumerate(document.listen)}
    taken |= {document.metrics.address: "metrics.address"} if document.metrics.address else {}
    if str(address) in taken:
        report.add(key, f"{taken[str(address)]} has this address already")


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
    if report.is_sound(("smarthost", "hosts")):
        for index, hop in enumerate(document.smarthost.hosts):
            yield ("smarthost", "hosts", index), hop
    for pattern, _, hop in _route_hosts(document):
        yield ("routes", pattern), hop


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
        (key, hop.port, document.smarthost.tls)
        for key, hop in _next_hops(document, report)
        if key[0] == "smarthost" and report.is_sound(("smarthost", "tls"))
    ]
    ways += [(("routes", name), hop.port, to.tls) for name, to, hop in _route_hosts(document)]
    if report.is_sound(("direct", "port"), ("direct", "tls")):
        ways.append((("direct", "port"), document.direct.port, document.direct.tls))
    for key, port, tls in ways:
        if port == 465 and tls is not TlsMode.IMPLICIT:
            report.add(key, f'port 465 needs tls = "implicit", and it is "{tls}"')


def _check_redirect(document: Document, report: Report) -> None:
    """Who names exceptions believes that all other mail is kept from leaving."""
    redirect = document.redirect
    if redirect.allow and not redirect.to and report.is_sound(("redirect", "to")):
        report.add(("redirect", "allow"), "needs redirect.to: without it all mail leaves")


def _check_aliases(document: Document, report: Report) -> None:
    """What a wrong entry is about, the others may be about as well."""
    if any(key[0] == "aliases" for key in report.broken):
        return
    for name, flaw in flaws_of(document.aliases).items():
        report.add(("aliases", name), flaw)


def _check_sources(direct: Direct, report: Report) -> None:
    """A source of a family that is not used would have no effect."""
    if not report.is_sound(("direct", "families")):
        return
    versions = {family.version for family in direct.families}
    for index, source in enumerate(direct.source_addresses):
        key: Key = ("direct", "source_addresses", index)
        version = ip_address(source).version if report.is_sound(key) else None
        if version is not None and version not in versions:
            report.add(key, f"an IPv{version} address, which direct.families leaves out")


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


def _login_keys() -> tuple[Key, ...]:
    names = ("hosts", "tls", "username", "auth", "password_file", "token_file")
    return tuple(("smarthost", name) for name in names)


def _check_login(smarthost: Smarthost, report: Report) -> None:
    if not (smarthost.username or smarthost.password_file or smarthost.token_file):
        if smarthost.auth is not AuthMechanism.AUTO:
            report.add(("smarthost", "auth"), "needs username, and password_file or token_file")
        return
    with_token = smarthost.auth is AuthMechanism.XOAUTH2
    needed, other = (
        ("token_file", "password_file") if with_token else ("password_file", "token_file")
    )
    if not smarthost.username:
        report.add(("smarthost", "username"), f"expected the user's name: {needed} is set")
    if not getattr(smarthost, needed):
        report.add(
            ("smarthost", needed), f'is missing: a login with auth = "{smarthost.auth}" needs it'
        )
    if getattr(smarthost, other):
        report.add(
            ("smarthost", other), f'is set, but auth = "{smarthost.auth}" takes {needed} instead'
        )
    if smarthost.tls not in (TlsMode.VERIFY, TlsMode.IMPLICIT) and not all(
        units.is_loopback(hop.host) for hop in smarthost.hosts
    ):
        report.add(
            ("smarthost", "tls"),
            'expected "verify" (or "implicit", for port 465): a login would go over a connection that proves no name',
        )

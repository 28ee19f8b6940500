"""Check what settings mean to each other, once each of them is well-formed.

Owns the rules that need more than one key. Each check leaves out values that had a mistake of their
own: one mistake is reported once.
"""

from relayd.config import units
from relayd.config.access import same_networks
from relayd.config.check_ways import check_ways
from relayd.config.console import check_console
from relayd.config.content import check_content
from relayd.config.mistakes import Report, show_key
from relayd.config.model import (
    Document,
    Key,
    Listen,
)
from relayd.config.sources import check_sources
from relayd.config.tlsrpt import check_tlsrpt
from relayd.policy.intake.aliases import flaws_of
from relayd.settings import (
    ListenerAuth,
    ListenerTls,
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
    check_ways(document, report)
    _check_networks(document, report)
    _check_redirect(document, report)
    _check_aliases(document, report)
    _check_complaints(document, report)
    check_sources(document.direct, report)
    check_tlsrpt(document.tlsrpt, document.dkim, report)
    check_content(document.content, report)


def _check_complaints(document: Document, report: Report) -> None:
    """Note what complaints need besides: return paths, by which they are known, and that suppression counts."""
    bounces, key = document.bounces, ("bounces", "complaints")
    if bounces.complaints and not bounces.verp_domain and report.is_sound(("bounces",)):
        report.add(key, "needs bounces.verp_domain: a complaint is known by the return path in it")
    if bounces.refuse_complained and not bounces.refuse_suppressed:
        report.add(
            ("bounces", "refuse_complained"), "needs refuse_suppressed = true: it refuses them"
        )


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


def _check_networks(document: Document, report: Report) -> None:
    """One network has one description."""
    for name, earlier in same_networks(tuple(document.networks)):
        report.add(("networks", name), f"the same network as {show_key(('networks', earlier))}")


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

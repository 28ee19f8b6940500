"""The console: what its settings mean to each other, and as one value."""

from pathlib import Path

from relayd.config.mistakes import Report
from relayd.config.model import Console, ConsoleProxy, Key
from relayd.mail.address import parse_address
from relayd.policy.console.proxy_login import ProxyRules
from relayd.secret_files import find_secret
from relayd.settings import ConsoleProxySettings, ConsoleSettings

_PROXY: Key = ("console", "proxy")


def check_console(console: Console, report: Report) -> None:
    """Note what no key shows by itself."""
    names = ("header", "networks", "secret_header", "secret_file")
    if report.is_sound(("console", "address"), *((*_PROXY, name) for name in names)):
        _check_proxy(console, report)


def console_settings(console: Console, file: str) -> ConsoleSettings:
    """Return the value; `file` is that of the settings. No secret is read."""
    return ConsoleSettings(
        address=str(console.address),
        endpoint=console.address.endpoint,
        unix_path=console.address.unix_path,
        systemd_name=console.address.systemd_name,
        names=frozenset(console.names),
        may_change=frozenset(console.may_change),
        alerts_to=tuple(map(parse_address, dict.fromkeys(console.alerts_to))),
        proxy=_proxy(console.proxy, file) if console.proxy.header else None,
    )


def _proxy(proxy: ConsoleProxy, file: str) -> ConsoleProxySettings:
    return ConsoleProxySettings(
        rules=ProxyRules(
            header=proxy.header.lower(),
            networks=tuple(proxy.networks),
            secret_header=proxy.secret_header.lower(),
        ),
        secret_file=_beside(file, proxy.secret_file) if proxy.secret_file else None,
    )


def _beside(file: str, name: str) -> str:
    return str(find_secret(name, beside=Path(file).parent))


def _check_proxy(console: Console, report: Report) -> None:
    """From a TCP port, anybody on this machine could say to be the proxy."""
    proxy = console.proxy
    if not proxy.header:
        for name in ("networks", "secret_file"):
            if getattr(proxy, name):
                report.add((*_PROXY, name), "is of no use without console.proxy.header")
        return
    if proxy.secret_header.lower() == proxy.header.lower():
        report.add((*_PROXY, "secret_header"), "expected another header than that of the name")
    if proxy.networks and not proxy.secret_file:
        report.add(
            (*_PROXY, "secret_file"),
            "is missing: on a TCP port, console.proxy.networks alone proves nothing",
        )
    if not proxy.networks and (proxy.secret_file or console.address.endpoint is not None):
        report.add(
            (*_PROXY, "networks"),
            "is missing: where does the proxy connect from? On a unix socket it needs neither this nor a secret",
        )

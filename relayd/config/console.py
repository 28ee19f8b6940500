"""The console: what its settings mean to each other, and as one value."""

from importlib.util import find_spec
from pathlib import Path

from relayd.config.mistakes import Report
from relayd.config.model import Console, ConsoleOidc, ConsoleProxy, Key
from relayd.mail.address import parse_address
from relayd.policy.console.oidc import OidcRules
from relayd.policy.console.proxy_login import ProxyRules
from relayd.policy.console.roles import Role
from relayd.secret_files import SecretError, find_secret, read_secret
from relayd.settings import ConsoleOidcSettings, ConsoleProxySettings, ConsoleSettings

_PROXY: Key = ("console", "proxy")
_OIDC: Key = ("console", "oidc")


def check_console(console: Console, report: Report) -> None:
    """Note what no key shows by itself."""
    names = ("header", "networks", "secret_header", "secret_file")
    if report.is_sound(("console", "address"), *((*_PROXY, name) for name in names)):
        _check_proxy(console, report)
    if report.is_sound(_OIDC):
        _check_oidc(console.oidc, report)


def find_oidc_secret(console: Console, report: Report, *, reads: bool) -> str | None:
    """Return the secret that the provider knows us by; None without one. If nothing is read, it is empty."""
    oidc = console.oidc
    if not oidc.issuer:
        return None
    if reads and find_spec("jwt") is None:
        report.add((*_OIDC, "issuer"), "needs the extra `oidc`, as in pip install 'relayd[oidc]'")
    if not oidc.secret_file:
        return None
    try:
        path = find_secret(oidc.secret_file, beside=Path(report.file).parent)
        secret, warning = read_secret(path) if reads else ("", "")
    except SecretError as error:
        report.add((*_OIDC, "secret_file"), str(error))
        return None
    report.warn((*_OIDC, "secret_file"), warning)
    return secret


def console_settings(console: Console, file: str, *, oidc_secret: str | None) -> ConsoleSettings:
    """Return the value; `file` is that of the settings."""
    return ConsoleSettings(
        address=str(console.address),
        endpoint=console.address.endpoint,
        unix_path=console.address.unix_path,
        systemd_name=console.address.systemd_name,
        names=frozenset(console.names),
        may_change=frozenset(console.may_change),
        alerts_to=tuple(map(parse_address, dict.fromkeys(console.alerts_to))),
        proxy=_proxy(console.proxy, file) if console.proxy.header else None,
        oidc=_oidc(console.oidc, oidc_secret) if console.oidc.issuer else None,
    )


def _oidc(oidc: ConsoleOidc, secret: str | None) -> ConsoleOidcSettings:
    groups = {
        Role.ADMIN: frozenset(oidc.admins),
        Role.OPERATOR: frozenset(oidc.operators),
        Role.VIEWER: frozenset(oidc.viewers),
    }
    return ConsoleOidcSettings(
        rules=OidcRules(
            issuer=oidc.issuer,
            client_id=oidc.client_id,
            name_claim=oidc.name_claim,
            role_claim=oidc.role_claim,
            groups=groups,
        ),
        scopes=tuple(oidc.scopes),
        secret=secret,
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


def _check_oidc(oidc: ConsoleOidc, report: Report) -> None:
    """Without a group nobody could log in; without an issuer the rest says nothing."""
    groups = ("admins", "operators", "viewers")
    if not oidc.issuer:
        for name in ("client_id", "secret_file", *groups):
            if getattr(oidc, name):
                report.add((*_OIDC, name), "is of no use without console.oidc.issuer")
        return
    if not oidc.client_id:
        report.add((*_OIDC, "client_id"), "is missing: the provider gives it with the client")
    if not any(getattr(oidc, name) for name in groups):
        report.add(
            (*_OIDC, "viewers"),
            "expected a group in viewers, operators or admins: nobody may log in",
        )


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

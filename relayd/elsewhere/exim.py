"""Exim as Debian sets it up with a smarthost: update-exim4.conf.conf, passwd.client, and the files of addresses.

Source: update-exim4.conf(8), exim4-config_files(5).
"""

import re
import shlex
import socket
from pathlib import Path

from relayd.elsewhere.found import SUBMISSIONS, Found, Listener, Server, alike, implicit, secured
from relayd.elsewhere.lines import (
    first_line,
    host_port,
    is_domain,
    is_mailbox,
    main_text,
    networks_in,
    read_aliases,
    text_of,
)
from relayd.policy.delivery.route import HostPort
from relayd.policy.tls.ladder import TlsMode

PLACE = "/etc/exim4"
_BY_SMARTHOST, _DIRECT = {"smarthost", "satellite"}, "internet"
_PORT = 2525
_MACRO = re.compile(r"(?m)^\s*([A-Z][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")
_LOCAL = ("exim4.conf.localmacros", "conf.d/main/000_localmacros")
_ADVICE = {
    "REMOTE_SMTP_SMARTHOST_TLS_VERIFY_HOSTS": "",
    "REMOTE_SMTP_SMARTHOST_TLS_VERIFY_CERTIFICATES": "the authorities of the system count: update-ca-certificates takes in more",
    "AUTH_CLIENT_ALLOW_NOTLS_PASSWORDS": "relayd sends no password in clear text",
    "MAIN_TLS_ENABLE": "TLS for clients: tls on [[listen]], and [tls]",
}


def read_exim(path: Path) -> Found:
    """Return what the folder, or its update-exim4.conf.conf, says."""
    file = path / "update-exim4.conf.conf" if path.is_dir() else path
    folder, etc = file.parent, file.parent.parent
    found = Found()
    values = _assignments(main_text(file, found), found)
    macros = {
        name: value
        for each in _LOCAL
        for name, value in _MACRO.findall(text_of(folder / each, found, is_needed=False))
    }
    if (folder / "exim4.conf").exists():
        found.note(
            "exim4.conf",
            "Exim reads this file and not what Debian asked: look into it for what is missing here",
        )
    mailname = first_line(etc / "mailname", found)
    names = (macros.get("MAIN_HARDCODE_PRIMARY_HOSTNAME", ""), socket.getfqdn(), mailname)
    found.fqdn = next((each for each in names if is_domain(each)), "")
    kind = values.get("dc_eximconfig_configtype", "")
    if kind in _BY_SMARTHOST:
        found.server = _server(values.get("dc_smarthost", ""), folder, macros, found)
    elif kind == _DIRECT:
        found.is_direct = True
    else:
        found.refuse(
            "dc_eximconfig_configtype",
            f"{kind[:40] or 'nothing'}: no mail left this machine, and relayd is there to send it: see `relayd init`",
        )
    _read_addresses(values, etc, mailname, found)
    _read_clients(values, found)
    for line in text_of(folder / "hubbed_hosts", found, is_needed=False).splitlines():
        domain, colon, hosts = line.partition("#")[0].partition(":")
        at = host_port(hosts.strip(), 25)
        if colon and at is not None and is_domain(domain.strip()):
            found.routes[domain.strip()] = Server(hosts=(at,), tls=TlsMode.OPPORTUNISTIC)
        elif colon:
            held = is_domain(domain.strip())
            if held:
                found.routes[domain.strip()] = "hold"
            found.note(
                f"hubbed_hosts: {domain.strip()[:60]}",
                f"expected one host{': its mail is held' if held else ''}; see [routes]",
            )
    _note_others(values, macros, found)
    return found


def _assignments(text: str, found: Found) -> dict[str, str]:
    """Read `name='value'` lines, which a shell reads for Debian."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            found.note(
                "update-exim4.conf.conf",
                "a line has a quote that is not closed: correct it, and import again",
            )
            continue
        for word in words:
            name, equals, value = word.partition("=")
            if equals:
                values[name] = value
    return values


def hosts_in(text: str, found: Found | None = None) -> list[HostPort]:
    """Read a list of hosts: one colon between two of them, two in front of a port, or another separator after `<`."""
    separator = re.match(r"\s*<(\S)", text)
    if separator:
        parts = text[separator.end() :].split(separator[1])
    else:
        parts = [each.replace("::", ":") for each in re.split(r"(?<!:):(?!:)", text)]
    read = [host_port(each.strip(), 25) for each in parts if each.strip()]
    if None in read and found is not None:
        found.note("dc_smarthost", "a host of it cannot be read: write it into smarthost.hosts")
    return [each for each in read if each is not None]


def _server(written: str, folder: Path, macros: dict[str, str], found: Found) -> Server | None:
    hosts = hosts_in(written, found)
    if not hosts:
        found.note("dc_smarthost", "it names no host: write it into smarthost.hosts")
        return None
    logins = _Logins(text_of(folder / "passwd.client", found, is_needed=False))
    tls = TlsMode.OPPORTUNISTIC
    if macros.get("REMOTE_SMTP_SMARTHOST_HOSTS_REQUIRE_TLS"):
        tls = TlsMode.REQUIRED
    if macros.get("REMOTE_SMTP_SMARTHOST_TLS_VERIFY_HOSTS"):
        tls = TlsMode.VERIFY
    if macros.get("REMOTE_SMTP_SMARTHOST_PROTOCOL") == "smtps" or {each.port for each in hosts} == {
        SUBMISSIONS
    }:
        tls = implicit(hosts, "dc_smarthost", found, proves=tls is TlsMode.VERIFY)
    helo = macros.get("REMOTE_SMTP_HELO_DATA", "")
    servers = [
        Server(
            hosts=(each,),
            tls=tls,
            username=username,
            password=password,
            ehlo=helo if is_domain(helo) else "",
        )
        for each in hosts
        for username, password in [logins.of(each.host)]
    ]
    if logins and not any(each.username for each in servers):
        found.note(
            "passwd.client",
            "no line has the name in dc_smarthost (Exim looks the name up that its address has): `relayd config set smarthost.username=… smarthost.password_file=…`",
        )
    return secured(alike(servers, "dc_smarthost", found), "dc_smarthost", found)


class _Logins:
    """The `HOST:USER:PASSWORD` lines; `*` and `*.domain` are patterns, `^` begins a regular expression."""

    def __init__(self, text: str) -> None:
        lines = (line.strip().partition(":") for line in text.splitlines())
        self._lines = [
            (pattern.strip().lower(), login.strip())
            for pattern, _, login in lines
            if login and not pattern.startswith("#")
        ]

    def __bool__(self) -> bool:
        return bool(self._lines)

    def of(self, host: str) -> tuple[str, str]:
        """Return user and password of the first line that fits; empty: none does."""
        for pattern, login in self._lines:
            username, _, password = login.partition(":")
            if username and password and _fits(pattern, host):
                return username, password
        return "", ""


def _fits(pattern: str, host: str) -> bool:
    if pattern.startswith("^"):
        try:
            return re.search(pattern, host, re.IGNORECASE) is not None
        except re.error:
            return False
    return pattern in {"*", host} or (pattern.startswith("*") and host.endswith(pattern[1:]))


def _read_addresses(values: dict[str, str], etc: Path, mailname: str, found: Found) -> None:
    read_aliases(text_of(etc / "aliases", found, is_needed=False), "/etc/aliases", found)
    if is_domain(mailname):
        found.local_domain = mailname
    visible = values.get("dc_readhost", "")
    if values.get("dc_hide_mailname") == "true" and is_domain(visible):
        found.local_domain = visible
        if is_domain(mailname) and mailname != visible:
            found.domains[mailname] = visible
    for line in text_of(etc / "email-addresses", found, is_needed=False).splitlines():
        user, colon, address = (each.strip() for each in line.partition("#")[0].partition(":"))
        if colon and is_mailbox(address):
            found.local_user(user).address = address
            if is_domain(mailname):
                found.rule(f"{user}@{mailname}").address = address


def _read_clients(values: dict[str, str], found: Found) -> None:
    found.note(
        "the port",
        f"relayd takes mail at port {_PORT}, Exim at 25: change it in the applications, or see docs/howto/socket.md",
    )
    networks = networks_in(_list(values.get("dc_relay_nets", "")), "dc_relay_nets", found)
    interfaces = [
        each.partition("]")[0].removeprefix("[")
        for each in _list(values.get("dc_local_interfaces", ""))
    ]
    others = [
        each
        for each in interfaces
        if each.replace(".", "").isdecimal() and not each.startswith("127.")
    ]
    if networks and (others or not interfaces):
        everywhere = "0.0.0.0"  # noqa: S104 -- as Exim listens; networks says who may
        found.listeners = [
            Listener(address=f"{each}:{_PORT}", networks=networks)
            for each in others or [everywhere]
        ]


def _list(text: str) -> list[str]:
    """Read a list with `;` or one colon between its items."""
    parts = text.split(";") if ";" in text else re.split(r"(?<!:):(?!:)", text)
    return [
        each.strip().replace("::", ":") if ";" not in text else each.strip()
        for each in parts
        if each.strip()
    ]


def _note_others(values: dict[str, str], macros: dict[str, str], found: Found) -> None:
    if values.get("dc_relay_domains"):
        found.note(
            "dc_relay_domains",
            "relayd is no server for mail from outside; [routes] says where mail to a domain goes",
        )
    if values.get("dc_other_hostnames"):
        found.note(
            "dc_other_hostnames",
            "relayd delivers to no mailboxes: mail to names of this machine goes where [aliases] says",
        )
    known = {
        "MAIN_HARDCODE_PRIMARY_HOSTNAME",
        "REMOTE_SMTP_HELO_DATA",
        "REMOTE_SMTP_SMARTHOST_PROTOCOL",
        "REMOTE_SMTP_SMARTHOST_HOSTS_REQUIRE_TLS",
    }
    for name in macros.keys() - known:
        if told := _ADVICE.get(
            name,
            "a macro that relayd does not know; docs/config.md has the settings that there are",
        ):
            found.note(f"macro {name}", told)

"""sSMTP: ssmtp.conf, and revaliases beside it.

Source: ssmtp.conf(5), ssmtp(8); a `#` begins a comment anywhere, also in a password, as sSMTP has it.
"""

from dataclasses import replace
from pathlib import Path

from relayd.elsewhere.found import SUBMISSIONS, Found, Server, implicit, secured
from relayd.elsewhere.lines import (
    add_alias,
    host_port,
    is_domain,
    is_mailbox,
    main_text,
    text_of,
    whole,
)
from relayd.policy.tls.ladder import TlsMode

PLACE = "/etc/ssmtp"
_CARRIED = {
    *(
        "root",
        "mailhub",
        "rewritedomain",
        "hostname",
        "fromlineoverride",
        "usetls",
        "usestarttls",
        "tlscert",
        "tlskey",
    ),
    *("authuser", "authpass", "authmethod", "usetlscert", "debug", "minuserid", "remoteport"),
}
_ADVICE = {
    "tls_ca_file": "the authorities of the system count: update-ca-certificates takes in more",
    "tls_ca_dir": "the authorities of the system count: update-ca-certificates takes in more",
    "addheader": "see smarthost.add_headers",
}


def read_ssmtp(path: Path) -> Found:
    """Return what the folder, or its ssmtp.conf, says."""
    file = path / "ssmtp.conf" if path.is_dir() else path
    found = Found()
    values = _values(main_text(file, found), found)
    host = values.get("hostname", "")
    found.fqdn = host if is_domain(host) else ""
    found.server = _server(values, found)
    if values.get("fromlineoverride", "").lower() != "yes":
        found.note(
            "ssmtp.conf: FromLineOverride",
            "sSMTP writes From and MAIL FROM itself, also against -f, and relayd keeps what a program wrote: see envelope_from and header_from in [senders]",
        )
    domain = values.get("rewritedomain", "")
    if is_domain(domain):
        found.local_domain = domain
    _read_root(values.get("root", ""), found)
    _read_revaliases(text_of(file.with_name("revaliases"), found, is_needed=False), found)
    return found


def _values(text: str, found: Found) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, value = line.partition("#")[0].partition("=")
        key = name.strip().lower()
        if not key:
            continue
        if not equals or not key.isidentifier():  # which may be a password, and is not shown
            found.note(
                f"ssmtp.conf, line {number}", "expected NAME=VALUE: sSMTP passes over such a line"
            )
            continue
        values[key] = value.strip().strip('"')
        if key not in _CARRIED:
            told = _ADVICE.get(
                key, "relayd has no such setting; docs/config.md has those that there are"
            )
            found.note(f"ssmtp.conf: {name.strip()[:40]}", told)
    return values


def _server(values: dict[str, str], found: Found) -> Server | None:
    written = values.get("mailhub", "") or "mail"  # the name that sSMTP was built with
    host = host_port(written, whole(values.get("remoteport", "")) or 25)
    if host is None:
        found.note("ssmtp.conf: mailhub", "it is no host: write it into smarthost.hosts")
        return None
    has_tls = values.get("usetls", "").lower() == "yes"
    starts = values.get("usestarttls", "").lower() == "yes"
    tls = TlsMode.REQUIRED if starts else TlsMode.IMPLICIT if has_tls else TlsMode.OFF
    if host.port == SUBMISSIONS:
        tls = TlsMode.IMPLICIT
    if values.get("authmethod", "").lower() == "cram-md5":
        found.note("ssmtp.conf: AuthMethod", "relayd logs in by PLAIN or LOGIN over TLS")
    username, password = values.get("authuser", ""), values.get("authpass", "")
    if username and not password:
        found.note(
            "ssmtp.conf: AuthUser",
            "there is no AuthPass: `relayd config set smarthost.username=… smarthost.password_file=…`",
        )
        username = ""
    has_certificate = values.get("usetlscert", "").lower() == "yes" and has_tls
    server = Server(
        hosts=(host,),
        tls=tls,
        username=username,
        password=password if username else "",
        certificate=values.get("tlscert", "") if has_certificate else "",
        key_file=(values.get("tlskey") or values.get("tlscert", "")) if has_certificate else "",
    )
    if tls is TlsMode.IMPLICIT:
        implicit(server.hosts, "ssmtp.conf: UseTLS", found, proves=False)
    return secured(server, "ssmtp.conf: mailhub", found)


def _read_root(root: str, found: Found) -> None:
    """Mail to users below number 1000 goes to one address."""
    if is_mailbox(root):
        add_alias("root", [root], "ssmtp.conf: Root", found)
        found.note(
            "ssmtp.conf: Root",
            "root has this alias; for other system users: `relayd config set aliases.NAME ADDRESS`",
        )
    elif root:
        found.note(
            "ssmtp.conf: Root",
            f"{root[:60]} has no domain: `relayd config set aliases.root ADDRESS`",
        )


def _read_revaliases(text: str, found: Found) -> None:
    """Read `user:address[:mailhub[:port]]`."""
    for line in text.splitlines():
        user, colon, rest = line.partition("#")[0].strip().partition(":")
        if not colon:
            continue
        address, _, hub = rest.partition(":")
        if not is_mailbox(address.strip()):
            found.note(f"revaliases: {user[:40]}", "expected an address: see [senders]")
            continue
        rule = found.local_user(user.strip())
        rule.address = address.strip()
        if hub and found.server is not None:
            host = host_port(hub.strip(), 25)
            if host is None:
                found.note(
                    f"revaliases: {user[:40]}", "its mailhub is no host: see [smarthosts.NAME]"
                )
            elif (host,) != found.server.hosts:
                rule.server = secured(
                    replace(found.server, hosts=(host,)), f"revaliases: {user}", found
                )

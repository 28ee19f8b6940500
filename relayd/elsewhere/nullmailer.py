"""nullmailer: the control files of /etc/nullmailer.

Source: nullmailer-send(8), nullmailer-queue(8), nullmailer-inject(1).
"""

import shlex
from dataclasses import replace
from pathlib import Path

from relayd.elsewhere.found import Found, Server, implicit, secured
from relayd.elsewhere.lines import (
    add_alias,
    first_line,
    host_port,
    is_domain,
    is_mailbox,
    main_text,
    whole,
)
from relayd.policy.tls.ladder import TlsMode

PLACE = "/etc/nullmailer"
_NOTHING_TO_DO = {
    "auth-login",
    "insecure",
    "ssl",
    "starttls",
    "tls",
    "port",
    "user",
    "pass",
    "source",
    "x509certfile",
    "x509keyfile",
}
_ADVICE = {
    "x509cafile": "the authorities of the system count: update-ca-certificates takes in more",
    "x509crlfile": "relayd reads no list of revoked certificates",
    "x509fmtder": "relayd reads certificates as PEM",
    "tls-anon-auth": "relayd wants a certificate for a login",
}


def read_nullmailer(path: Path) -> Found:
    """Return what the control files in a folder say."""
    folder = path if path.is_dir() else path.parent
    found = Found()
    mailname = first_line(folder.with_name("mailname"), found)
    me = mailname or first_line(folder / "me", found)  # Debian's reads no `me`
    found.fqdn = me if is_domain(me) else ""
    _read_remotes(main_text(folder / "remotes", found), found)
    helo = first_line(folder / "helohost", found)
    if found.server is not None and is_domain(helo) and helo != found.fqdn:
        found.server = replace(found.server, ehlo=helo)
    domain = first_line(folder / "defaulthost", found) or mailname
    if is_domain(domain):
        found.local_domain = domain
    sender = first_line(folder / "allmailfrom", found)
    if is_mailbox(sender):
        found.rewriting["envelope_from"] = sender
    if admin := first_line(folder / "adminaddr", found):
        add_alias("*", admin.split(","), "adminaddr", found)
    lifetime = first_line(folder / "queuelifetime", found)
    if seconds := whole(lifetime):
        found.set("retry", "give_up_after", f"{seconds}s")
    return found


def _read_remotes(text: str, found: Found) -> None:
    """The first remote is the smarthost; others that are the same but for the host are its further hosts."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        place = f"remotes, line {number}"
        server = _remote(line, place, found)
        if server is None or found.server is None:
            found.server = found.server or server
        elif replace(server, hosts=found.server.hosts) == found.server:
            found.server = replace(found.server, hosts=found.server.hosts + server.hosts)
        else:
            found.note(
                place,
                "hosts of a smarthost share login and TLS, and this one has others: it is left out; see [smarthosts.NAME]",
            )


def _remote(line: str, place: str, found: Found) -> Server | None:
    try:
        host, *words = shlex.split(line)
    except ValueError:
        found.note(place, "its quotes are not closed: write it into smarthost.hosts")
        return None
    protocol = (
        words.pop(0) if words and "=" not in words[0] and not words[0].startswith("--") else "smtp"
    )
    if protocol != "smtp":
        found.note(
            place,
            f"relayd speaks no {protocol[:20]}: name a server that takes mail by SMTP in smarthost.hosts",
        )
        return None
    options = dict(_option(word) for word in words)
    for name in options:
        if name not in _NOTHING_TO_DO:  # a word may be a password that has lost its option
            shown = f": {name}" if name in _ADVICE else ""
            found.note(f"{place}{shown}", _ADVICE.get(name, "relayd does not know an option of it"))
    wraps = "tls" in options or "ssl" in options
    port = options.get("port", "465" if wraps else "25")
    at = host_port(f"[{host}]:{port}", 25)
    if at is None:
        found.note(place, "it is no host: write it into smarthost.hosts")
        return None
    starts = TlsMode.REQUIRED if "insecure" in options else TlsMode.VERIFY
    server = Server(
        hosts=(at,),
        tls=TlsMode.IMPLICIT if wraps else starts if "starttls" in options else TlsMode.OFF,
        username=options.get("user", "") if options.get("pass") else "",
        password=options.get("pass", "") if options.get("user") else "",
        auth="login" if "auth-login" in options and options.get("pass") else "",
        certificate=options.get("x509certfile", ""),
        key_file=options.get("x509keyfile", options.get("x509certfile", "")),
        source_address=options.get("source", ""),
    )
    if wraps:
        implicit(server.hosts, place, found, proves="insecure" not in options)
    return secured(server, place, found)


def _option(word: str) -> tuple[str, str]:
    name, _, value = word.removeprefix("--").partition("=")
    return name, value

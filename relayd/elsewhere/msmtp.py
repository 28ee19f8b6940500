"""msmtp: msmtprc, of the system or of a user.

Source: msmtp(1), the manual of msmtp 1.8 (Configuration files). The first `account default` counts for mail of every other sender; an account
whose `from` fits a sender is for that sender.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from relayd.elsewhere.found import SUBMISSIONS, Found, Server, implicit, secured
from relayd.elsewhere.lines import (
    add_alias,
    first_line,
    host_port,
    is_domain,
    is_mailbox,
    main_text,
    text_of,
)
from relayd.policy.tls.ladder import TlsMode

PLACE = "/etc/msmtprc"
_ON = {"on", ""}
_CARRIED = {
    *(
        "host",
        "port",
        "tls",
        "tls_starttls",
        "tls_certcheck",
        "auth",
        "user",
        "password",
        "passwordeval",
        "from",
        "domain",
    ),
    *(
        "aliases",
        "source_ip",
        "tls_cert_file",
        "tls_key_file",
        "allow_from_override",
        "logfile",
        "syslog",
        "maildomain",
        "protocol",
        "auto_from",
    ),
}
_NOTHING_TO_DO = {
    *(
        "timeout",
        "set_date_header",
        "set_msgid_header",
        "set_from_header",
        "add_missing_from_header",
        "add_missing_date_header",
    ),
    *(
        "remove_bcc_headers",
        "logfile_time_format",
        "keepbcc",
        "tls_min_dh_prime_bits",
        "tls_priorities",
    ),
}
_ADVICE = {
    "eval": "relayd runs no program for a setting: write what it prints into the settings",
    "proxy_host": "relayd uses no proxy: it connects to the host itself",
    "socket": "relayd connects to a host and a port",
    "tls_fingerprint": "relayd knows no fingerprints: the certificate has to prove the name",
    "tls_trust_file": "the authorities of the system count: update-ca-certificates takes in more",
    "tls_crl_file": "relayd reads no list of revoked certificates",
    "tls_host_override": "write the name that the certificate has into smarthost.hosts",
    "dsn_notify": "the application asks for reports by NOTIFY; bounces.dsn has relayd's own",
    "dsn_return": "the application asks for it by RET",
    "undisclosed_recipients": "the application writes To; relayd takes out Bcc",
}
_LOGINS = {"plain": "plain", "login": "login", "xoauth2": "xoauth2", "oauthbearer": "oauthbearer"}
_COMMAND = re.compile("[a-z]+(?:_[a-z]+)*")
_WILD = frozenset("*?[%")  # a `from` may be a pattern, or have %U and the like in it
_CAT = re.compile(r"(?:/bin/|/usr/bin/)?cat\s+(\S+)")


@dataclass(slots=True)
class Account:
    name: str
    values: dict[str, str] = field(repr=False)


def read_msmtp(path: Path) -> Found:
    """Return what a msmtprc says."""
    found = Found()
    accounts = [*_accounts(main_text(path, found), found)]
    if not accounts:
        return found
    by_name = {each.name: each for each in accounts}
    default = by_name.get("default", accounts[0])
    if default.name != "default":
        found.note("msmtprc", f"no account is the default: all other mail goes by {default.name}")
    found.server = _server(default, found)
    ehlo = default.values.get("domain", "")
    found.fqdn = ehlo if is_domain(ehlo) else ""
    _read_default_sender(default, path, found)
    for account in accounts:
        _read_account(account, default, found)
    if aliases := default.values.get("aliases", ""):
        _read_aliases(text_of(_home(aliases), found), found)
    if "*" not in found.aliases and not found.local_domain:
        found.note(
            "names without a domain that get mail",
            "relayd writes NAME@fqdn, msmtp the name alone: see [aliases]",
        )
    for log in ("logfile", "syslog"):
        if default.values.get(log, "off") != "off":
            found.note(
                f"msmtprc: {log}",
                "relayd has a status log (/var/log/relayd/status.log): `relayd log`",
            )
    return found


def _accounts(text: str, found: Found) -> Iterator[Account]:
    """Give the accounts, each with the defaults so far and what it inherits."""
    defaults: dict[str, str] = {}
    known: dict[str, dict[str, str]] = {}
    values = defaults
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip().split(None, 1)
        if not words or words[0].startswith("#"):
            continue
        command, argument = words[0].lower(), _unquoted(words[1]) if len(words) > 1 else ""
        if command == "defaults":
            values = defaults = {}
        elif command == "account":
            name, _, parents = (each.strip() for each in argument.partition(":"))
            values = dict(defaults)
            for parent in filter(None, (each.strip() for each in parents.split(","))):
                values |= known.get(parent, {})
            known[name] = values
        else:
            values[command] = argument
            if command not in _CARRIED and command not in _NOTHING_TO_DO:
                told = _ADVICE.get(
                    command, "relayd has no such setting; docs/config.md has those that there are"
                )
                shown = f": {command[:40]}" if _COMMAND.fullmatch(command) else ""
                found.note(f"msmtprc, line {number}{shown}", told)
    if not known and defaults.get("host"):
        known["default"] = defaults
    yield from (Account(name, each) for name, each in known.items())


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _server(account: Account, found: Found) -> Server | None:
    values, place = account.values, f"msmtprc: account {account.name}"
    has_tls = values.get("tls", "off") in _ON
    wraps = has_tls and values.get("tls_starttls", "on") not in _ON
    host = host_port(values.get("host", ""), SUBMISSIONS if wraps else 25)
    if values.get("protocol", "smtp").lower() != "smtp":
        found.note(place, "relayd speaks no LMTP: name a server that takes mail by SMTP")
        return None
    if host is None:
        found.note(place, "it has no host that relayd can use: write it into smarthost.hosts")
        return None
    if values.get("port", "").isdecimal():
        host = host_port(f"[{host.host}]:{values['port']}", 25) or host
    proves = values.get("tls_certcheck", "on") in _ON
    tls = TlsMode.OFF
    if has_tls:
        tls = TlsMode.IMPLICIT if wraps else TlsMode.VERIFY if proves else TlsMode.REQUIRED
    username, password, auth = _login(values, place, found)
    if wraps:
        implicit((host,), place, found, proves=proves)
    server = Server(
        hosts=(host,),
        tls=tls,
        username=username,
        password=password,
        auth=auth,
        certificate=_absolute(values.get("tls_cert_file", "")),
        key_file=_absolute(values.get("tls_key_file", "")),
        source_address=values.get("source_ip", ""),
    )
    return secured(server, place, found)


def _login(values: dict[str, str], place: str, found: Found) -> tuple[str, str, str]:
    """Return user, password and mechanism; empty without a login, and where the password is not to be had."""
    method = values.get("auth", "off").lower()
    username, password = values.get("user", ""), values.get("password", "")
    if method == "off" or not username:
        return "", "", ""
    if method not in _ON and method not in _LOGINS:
        found.note(
            place, f"auth {method}: relayd logs in by PLAIN or LOGIN over TLS, or with a token"
        )
    if not password and (command := values.get("passwordeval", "")):
        file = _CAT.fullmatch(command.strip())
        password = text_of(_home(file[1]), found).split("\n")[0] if file else ""
    if not password:
        found.note(
            place,
            "the password is not in the file, and relayd runs no passwordeval: write it into a file beside the settings, then"
            f" `relayd config set smarthost.username={shlex.quote(username)} smarthost.password_file=NAME`",
        )
        return "", "", ""
    return username, password, _LOGINS.get(method, "")


def _home(name: str) -> Path:
    return Path(name).expanduser() if name.startswith("~") else Path(name)


def _absolute(name: str) -> str:
    return str(_home(name)) if name.startswith(("/", "~")) else ""


def _read_default_sender(default: Account, path: Path, found: Found) -> None:
    """The `from` of the default account stands for senders that a program does not name, or for all of them."""
    is_forced = default.values.get("allow_from_override", "on") not in _ON
    sender = default.values.get("from", "")
    if default.values.get("auto_from", "off") in _ON:
        is_forced, sender = True, f"%U@{default.values.get('maildomain', '')}"
    sender = sender.replace("%M", first_line(path.with_name("mailname"), found))
    domain = sender.removeprefix("%U@")
    if _is_one_mailbox(sender) and is_forced:
        found.rewriting |= {"envelope_from": sender, "header_from": sender}
    elif _is_one_mailbox(sender):
        found.local_sender = sender
    elif sender.startswith("%U@") and is_domain(domain):
        found.local_domain = domain
    if is_forced and sender and not _is_one_mailbox(sender):
        found.note(
            "msmtprc: from",
            f"msmtp puts {sender[:60]} in the place of what a program says, and relayd does not: see [senders]",
        )
    elif not _is_one_mailbox(sender) and not found.local_domain:
        found.note(
            "msmtprc: from", "relayd sends as what the program says, or USER@fqdn: see [senders]"
        )


def _is_one_mailbox(sender: str) -> bool:
    return is_mailbox(sender) and not _WILD & {*sender}


def _read_account(account: Account, default: Account, found: Found) -> None:
    """An account with a sender of its own is for that sender."""
    sender = account.values.get("from", "")
    pattern = sender.removeprefix("*@")
    if account is default or account.values.get("from") == default.values.get("from"):
        if account is not default and account.values != default.values:
            found.note(
                f"msmtprc: account {account.name}",
                "no sender of its own chooses it: see [smarthosts.NAME] and [senders]",
            )
        return
    if not (_is_one_mailbox(pattern) or is_domain(pattern)):
        found.note(
            f"msmtprc: account {account.name}",
            "no sender of its own chooses it: see [smarthosts.NAME] and [senders]",
        )
        return
    server = _server(account, found)
    if server is None:
        found.refuse(f"msmtprc: account {account.name}", "it has no host that relayd can use")
    rule = found.rule(pattern)
    rule.server, rule.by_default = server, server == found.server


def _read_aliases(text: str, found: Found) -> None:
    for line in text.splitlines():
        name, colon, targets = line.partition("#")[0].partition(":")
        if colon:
            add_alias(
                "*" if name.strip() == "default" else name.strip(),
                targets.split(","),
                "aliases of msmtp",
                found,
            )

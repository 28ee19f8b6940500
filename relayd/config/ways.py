"""Where mail goes: smarthosts with their secrets and certificates, hosts of `[routes]`, and what chooses among them."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from relayd.config.certificate import find_pair
from relayd.config.mistakes import Report
from relayd.config.model import Document, Key
from relayd.config.oauth2 import find_oauth2
from relayd.config.rewrite import rewrite_of
from relayd.config.routes import named_route
from relayd.config.smarthosts import Smarthost, smarthosts_of
from relayd.config.sources import sources_of
from relayd.mail.address import parse_address
from relayd.policy.accounts.limits import AccountLimits
from relayd.policy.delivery.fallback import FallbackMode
from relayd.policy.delivery.route import DEFAULT, RouteRule, RouteRules, ViaHost
from relayd.policy.delivery.senders import SenderPatterns
from relayd.policy.delivery.source import pool_named
from relayd.secret_files import NoSecretFile, SecretError, find_secret, read_secret
from relayd.settings import CertificateSettings, Login, SenderSettings, SmarthostSettings


def find_smarthosts(
    document: Document, report: Report, *, reads: bool
) -> Mapping[str, SmarthostSettings]:
    """Return every smarthost by its name, with what its files hold; when nothing is read, secrets are empty.

    Reports files that cannot be used. Once there is a mistake, what is returned is of no use.
    """
    return {
        name: SmarthostSettings(
            hosts=tuple(smarthost.hosts),
            tls=smarthost.tls,
            login=_by_token(name, table, smarthost, document, report, reads=reads)
            or _login(smarthost, table, report, reads=reads),
            connections=smarthost.connections,
            limits=AccountLimits(
                per_second=smarthost.messages_per_second,
                per_minute=smarthost.messages_per_minute,
                per_hour=smarthost.messages_per_hour,
                per_day=smarthost.messages_per_day,
            ),
            per_connection=smarthost.messages_per_connection,
            recipients=smarthost.recipients_per_message,
            assume_8bit=smarthost.assume_8bit,
            certificate=_certificate(smarthost, table, report, reads=reads),
            ehlo=smarthost.ehlo,
            source_address=smarthost.source_address,
            rewrite=rewrite_of(smarthost),
        )
        for name, (table, smarthost) in smarthosts_of(document).items()
    }


def _by_token(
    name: str, table: Key, smarthost: Smarthost, document: Document, report: Report, *, reads: bool
) -> Login | None:
    """Return a login whose token relayd gets itself; None for another one."""
    found = find_oauth2(name, table, smarthost, document, report, reads=reads)
    if found is None:
        return None
    return Login(
        username=smarthost.username,
        secret="",
        mechanism=smarthost.auth,
        file=found.secret_file,
        oauth2=found,
    )


def _login(smarthost: Smarthost, table: Key, report: Report, *, reads: bool) -> Login | None:
    """Read every secret that is named, so that a bad file is reported beside the other mistakes."""
    found: list[tuple[Path, str]] = []
    for name in ("password_file", "token_file"):
        if named := getattr(smarthost, name):
            path = find_secret(named, beside=Path(report.file).parent)
            try:
                secret, warning = read_secret(path) if reads else ("", "")
            except SecretError as error:
                bare = isinstance(error, NoSecretFile) and "/" not in named
                where = " among the systemd credentials or beside the settings" if bare else ""
                report.add((*table, name), f"{error}{where}")
            else:
                report.warn((*table, name), warning)
                found.append((path, secret))
    if report.mistakes or not found:
        return None
    path, secret = found[0]
    return Login(
        username=smarthost.username,
        secret=secret,
        mechanism=smarthost.auth,
        file=str(path.absolute()),
    )


def _certificate(
    smarthost: Smarthost, table: Key, report: Report, *, reads: bool
) -> CertificateSettings | None:
    """Return where the certificate is that the smarthost is shown; None if it is shown none."""
    written = (smarthost.certificate, smarthost.key_file)
    if not any(written):
        return None
    return find_pair(written, table, ("certificate", "key_file"), report, reads=reads)


def route_rules(document: Document) -> RouteRules:
    """Return what decides where mail goes."""
    redirect = document.redirect
    sources = sources_of(document.direct)
    return RouteRules(
        use_remote_smtp=document.use_remote_smtp,
        smarthosts=frozenset(document.smarthosts) - {DEFAULT},
        rules=tuple(
            RouteRule(pattern=pattern, route=named_route(pattern, to.name))
            for pattern, to in document.routes.items()
        ),
        logins={name: each.smarthost for name, each in document.logins.items() if each.smarthost},
        listeners={str(each.address): each.smarthost for each in document.listen if each.smarthost},
        senders={name: each.smarthost for name, each in document.senders.items() if each.smarthost},
        sender_patterns=SenderPatterns(tuple(document.senders)),
        test_recipients=frozenset(each.lower() for each in document.test_mail.recipients),
        redirect_to=parse_address(redirect.to) if redirect.to else None,
        redirect_allow=frozenset(each.lower() for each in redirect.allow),
        falls_back=_falls_back(document),
        pool=partial(pool_named, sources) if any(each.senders for each in sources) else None,
    )


def _falls_back(document: Document) -> bool:
    """Tell whether the smarthost stands in for direct mode: one that somebody named, not the default."""
    is_named = "hosts" in document.smarthost.model_fields_set
    return document.use_remote_smtp and is_named and document.direct.fallback is FallbackMode.AUTO


def sender_settings(document: Document, patterns: SenderPatterns) -> SenderSettings:
    """Return what else holds for mail of some senders; `patterns` are those of the route rules."""
    rules = {pattern: rewrite_of(each) for pattern, each in document.senders.items()}
    return SenderSettings(
        patterns=patterns,
        rewrites={pattern: rule for pattern, rule in rules.items() if rule is not None},
        copies={
            pattern: tuple(map(parse_address, each.always_bcc))
            for pattern, each in document.senders.items()
            if each.always_bcc
        },
    )


def route_hosts(document: Document) -> Iterator[SmarthostSettings]:
    """Give how each host that `[routes]` names is used. It gets none of the smarthosts' secrets."""
    for pattern, to in document.routes.items():
        route = named_route(pattern, to.name)
        if isinstance(route, ViaHost):
            yield SmarthostSettings(
                hosts=(route.host,),
                tls=to.tls,
                login=None,
                connections=document.direct.connections_per_destination,
                assume_8bit=to.assume_8bit,
            )

"""Read the settings: TOML and variables of the environment to the values of `relayd.settings`.

Owns the way from a file to a checked `Settings`, and says everything that is wrong at once; a
file with any mistake yields nothing. What counts is the file, over it what was set on the console, over both the
environment.
"""

import os
import socket
import sys
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from relayd.config import units
from relayd.config.access import access_rules, allowed_by, quota_rules
from relayd.config.certificate import find_certificate
from relayd.config.checks import check
from relayd.config.console import console_settings, find_oidc_secret
from relayd.config.content import content_settings
from relayd.config.environment import Applied, applied, report_on
from relayd.config.keys import parse_key
from relayd.config.mistakes import ENVIRONMENT, Report, read_document, variable_at
from relayd.config.model import Document, Listen, LogFormat, process_count
from relayd.config.overlay import Overlay, laid_over, overlay_path, read_overlay
from relayd.config.peek import DEFAULT_SETTINGS
from relayd.config.routes import ascii_pattern
from relayd.config.rules import read_rules
from relayd.config.signing import find_dkim_keys
from relayd.config.sources import named_by, sources_of
from relayd.config.store import check_store, store_settings
from relayd.config.tlsrpt import tlsrpt_settings
from relayd.config.trial import held_trial
from relayd.config.users import find_users, find_users_file
from relayd.config.values import names_in, values_of, values_of_rules
from relayd.config.variables import may_be_all
from relayd.config.ways import find_smarthosts, route_hosts, route_rules, sender_settings
from relayd.errors import ConfigError, ConfigForbidden, Mistake
from relayd.file_access import who_may
from relayd.mail.text import replaced
from relayd.policy.intake.aliases import resolved
from relayd.policy.replies.ruleset import RuleTexts
from relayd.settings import (
    BounceSettings,
    CertificateSettings,
    DirectSettings,
    DnsSettings,
    DoctorSettings,
    LimitSettings,
    ListenerSettings,
    LogSettings,
    RetrySettings,
    Settings,
    SmarthostSettings,
    UrlRules,
    WebhookSettings,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origins:
    """Where the keys that are no default come from, and the variables of those from the environment."""

    sources: Mapping[str, str]
    variables: Mapping[str, str]


def load(path: str, *, with_secrets: bool = True, with_trial: bool = False) -> Settings:
    """Read and check the settings in the file `path` and the environment. Raises ConfigError with every mistake.

    Without secrets, the files that hold one are only named: not everybody who asks may read them. With the trial, a
    change of the console counts that is being tried now.
    """
    data = read_data(path)
    overlay = overlay_path(applied(data, os.environ).data)
    trial = held_trial(overlay) if with_trial and overlay is not None else None
    return from_mapping(
        data,
        file=path,
        overlay=read_overlay(trial or overlay),
        environment=os.environ,
        with_secrets=with_secrets,
    )


def users_path(path: str) -> Path:
    """Return where the settings in the file `path` say the users file is.

    It may not exist yet, so the settings need not be right otherwise. Raises ConfigError.
    """
    return find_users(report_on(path, applied(read_data(path), os.environ)))


def read_data(path: str) -> Mapping[str, object]:
    """Return what the file says. The usual one need not exist where the environment has `fqdn`."""
    is_needed = path != DEFAULT_SETTINGS or not may_be_all(os.environ)
    return read(path)[1] if is_needed or os.path.lexists(path) else {}


def read(path: str) -> tuple[str, Mapping[str, object]]:
    """Return the text of the file `path` and what it says, unchecked.

    Raises ConfigError if it is not TOML, ConfigForbidden where we may not read it.
    """
    kind = ConfigError
    try:
        text = Path(path).read_bytes().decode()
        return text, tomllib.loads(text)
    except PermissionError:
        kind = ConfigForbidden
        problem = f"you may not read the settings: {who_may(path)}"
    except OSError as error:
        problem = f"the settings cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = f"expected UTF-8 text (line {line})"
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and what tomllib trips over
        problem = f"not valid TOML: {_one_line(error)}"
    raise kind((Mistake(file=path, key="", value="", expected=problem),))


def from_mapping(
    data: Mapping[str, object],
    file: str = "<settings>",
    *,
    overlay: Overlay = MappingProxyType({}),
    environment: Mapping[str, str] = MappingProxyType({}),
    with_secrets: bool = True,
) -> Settings:
    """Check settings that were read from TOML, as `load`. Raises ConfigError with every mistake."""
    both, on_console = laid_over(data, overlay, applied(data, environment))
    report = report_on(file, both)
    report.elsewhere = {(name,): str(overlay_path(both.data)) for name in on_console}
    document = read_document(report)
    check(document, report)
    smarthosts = find_smarthosts(document, report, reads=with_secrets)
    certificate = find_certificate(document, report, reads=with_secrets)
    users_file = find_users_file(document, report, reads=with_secrets)
    oidc_secret = find_oidc_secret(document.console, report, reads=with_secrets)
    dkim = find_dkim_keys(document, report, reads=with_secrets)
    check_store(document, report, reads=with_secrets)
    rules = _rules(report)
    if report.mistakes:
        raise ConfigError(tuple(report.mistakes))
    settings = _settings(
        document,
        report,
        smarthosts=smarthosts,
        certificate=certificate,
        users_file=users_file,
        oidc_secret=oidc_secret,
        rules=rules,
        origins=_origins(data, on_console, both),
    )
    return replace(settings, dkim=dkim)


def _origins(data: Mapping[str, object], on_console: Collection[str], both: Applied) -> _Origins:
    named = {name: variable_at(both.variables, parse_key(name)) for name in names_in(both.data)}
    variables = {name: variable for name, variable in named.items() if variable}
    return _Origins(
        sources={
            **dict.fromkeys(names_in(data), "file"),
            **dict.fromkeys(on_console, "console"),
            **dict.fromkeys(variables, ENVIRONMENT),
        },
        variables=variables,
    )


def _one_line(error: Exception) -> str:
    return replaced(str(error))[:200]


def _rules(report: Report) -> RuleTexts:
    try:
        return read_rules(report.file)
    except ConfigError as error:
        report.mistakes += error.mistakes
        return ()


def _settings(
    document: Document,
    report: Report,
    *,
    smarthosts: Mapping[str, SmarthostSettings],
    certificate: CertificateSettings | None,
    users_file: str | None,
    oidc_secret: str | None,
    rules: RuleTexts,
    origins: _Origins,
) -> Settings:
    routes = route_rules(document)
    return Settings(
        file=report.file,
        values=tuple({**values_of(document), **values_of_rules(rules)}.items()),
        fqdn=document.fqdn,
        workers=process_count(document.workers),
        listeners=tuple(_listener(each) for each in document.listen),
        certificate=certificate,
        users_file=users_file,
        warnings=tuple(report.warnings),
        sources=origins.sources,
        variables=origins.variables,
        limits=LimitSettings(**document.limits.model_dump()),
        smarthosts=smarthosts,
        route_hosts=tuple(route_hosts(document)),
        direct=_direct(document),
        tlsrpt=tlsrpt_settings(document.tlsrpt, document.dkim, document.fqdn),
        dns=DnsSettings(
            nameservers=tuple(document.dns.nameservers),
            timeout=document.dns.timeout,
            trusted=tuple(document.dns.trusted),
        ),
        routes=routes,
        senders=sender_settings(document, routes.sender_patterns),
        access=access_rules(document.logins, document.networks),
        quotas=quota_rules(document.logins, document.networks),
        aliases=resolved(document.aliases),
        soft_bounce=document.soft_bounce,
        retry=RetrySettings(
            soft_bounce=tuple(document.retry.soft_bounce),
            unknown_outcome=tuple(document.retry.unknown_outcome),
            unreachable=tuple(document.retry.unreachable),
            give_up_after=document.retry.give_up_after,
        ),
        bounces=BounceSettings(
            dsn=document.bounces.dsn,
            verp_domain=document.bounces.verp_domain,
            refuse_suppressed=document.bounces.refuse_suppressed,
            complaints=frozenset(each.lower() for each in document.bounces.complaints),
            refuse_complained=document.bounces.refuse_complained,
        ),
        content=content_settings(document.content),
        store=store_settings(document.store, report.file),
        node=document.cluster.node or socket.gethostname(),
        control_socket=document.control.socket,
        read_content=document.control.read_content,
        metrics=units.host_port(document.metrics.address) if document.metrics.address else None,
        log=LogSettings(
            status_log=document.status_log.path,
            level=document.log.level.value,
            format=_log_format(document.log.format),
        ),
        doctor=DoctorSettings(blocklists=tuple(document.doctor.blocklists)),
        webhooks=WebhookSettings(
            url_rules=UrlRules(
                allow_http=document.webhooks.allow_http, ports=tuple(document.webhooks.ports)
            ),
            allow_networks=tuple(document.webhooks.allow_networks),
        ),
        console=console_settings(document.console, report.file, oidc_secret=oidc_secret),
        rules=rules,
    )


def _direct(document: Document) -> DirectSettings:
    direct = document.direct
    return DirectSettings(
        port=direct.port,
        tls=direct.tls,
        dane=direct.dane,
        mta_sts=direct.mta_sts,
        tls_policy=tuple((ascii_pattern(name), each) for name, each in document.tls_policy.items()),
        families=frozenset(direct.families),
        sources=sources_of(direct),
        sources_named_by=named_by(direct),
        warm_up=dict(direct.warm_up),
        allow_networks=tuple(direct.allow_networks),
        connections_per_destination=direct.connections_per_destination,
        messages_per_minute=direct.messages_per_minute,
    )


def _listener(listen: Listen) -> ListenerSettings:
    return ListenerSettings(
        address=str(listen.address),
        endpoint=listen.address.endpoint,
        unix_path=listen.address.unix_path,
        systemd_name=listen.address.systemd_name,
        networks=tuple(listen.networks),
        line_endings=listen.line_endings,
        tls=listen.tls,
        auth=listen.auth,
        proxy_networks=tuple(listen.proxy_networks),
        xclient_networks=tuple(listen.xclient_networks),
        add_headers=listen.add_headers,
        strip_bcc=listen.strip_bcc,
        hide_client=listen.hide_client,
        allowed=allowed_by(listen),
        lenient=frozenset(listen.lenient),
        cut_through=listen.cut_through,
    )


def _log_format(wanted: LogFormat) -> str:
    if wanted is not LogFormat.AUTO:
        return wanted.value
    return "console" if sys.stderr.isatty() else "json"

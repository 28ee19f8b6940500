"""The settings as plain values, one small dataclass per consumer.

`relayd.config` reads the TOML file, checks it, and hands these out; nobody else knows of TOML.
The parameters of a policy sit beside it (`policy.admit.LimitSettings`, `policy.retry.RetrySettings`).
Durations are `timedelta`, sizes octets, secrets already read from their files. A default is
only in `config`. Documentation of every key: `docs/config.md`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from pathlib import PurePath

from relayd.mail.address import Address
from relayd.mail.lenient import Leniency
from relayd.policy.console.oidc import OidcRules
from relayd.policy.console.proxy_login import ProxyRules
from relayd.policy.console.webhook_url import UrlRules
from relayd.policy.delivery.retry import RetrySettings
from relayd.policy.delivery.route import DEFAULT, HostPort, RouteRules
from relayd.policy.delivery.source import SHORT_FORM, IpFamily, Source
from relayd.policy.intake.access import ANYTHING, AccessRules, Allowed
from relayd.policy.intake.admit import FixUps, LimitSettings, Network
from relayd.policy.intake.content import ContentRules, WhenDown
from relayd.policy.intake.quota import QuotaRules
from relayd.policy.replies.ruleset import RuleTexts
from relayd.policy.tls.ladder import TlsMode
from relayd.policy.tls.require import OperatorTls
from relayd.settings.dkim import DkimKeySettings
from relayd.settings.senders import SenderSettings
from relayd.settings.smarthosts import AuthMechanism, CertificateSettings, Login, SmarthostSettings
from relayd.settings.tlsrpt import TlsrptSettings

__all__ = [
    "AuthMechanism",
    "BounceSettings",
    "CertificateSettings",
    "CheckerKind",
    "ConsoleOidcSettings",
    "ConsoleProxySettings",
    "ConsoleSettings",
    "ContentRules",
    "ContentSettings",
    "DirectSettings",
    "DkimKeySettings",
    "DnsSettings",
    "DoctorSettings",
    "FixUps",
    "HostPort",
    "IpFamily",
    "LimitSettings",
    "LineEndings",
    "ListenerAuth",
    "ListenerSettings",
    "ListenerTls",
    "LogSettings",
    "Login",
    "Network",
    "RetrySettings",
    "RouteRules",
    "SenderSettings",
    "Settings",
    "SmarthostSettings",
    "StoreSettings",
    "TlsMode",
    "TlsrptSettings",
    "UrlRules",
    "WebhookSettings",
    "WhenDown",
]


class LineEndings(StrEnum):
    """What a listener does with a bare CR, bare LF or NUL in a message (semantics section 4)."""

    REJECT = "reject"
    NORMALIZE = "normalize"


class ListenerTls(StrEnum):
    """TLS towards clients."""

    OFF = "off"
    STARTTLS = "starttls"  # offered
    IMPLICIT = "implicit"  # the connection begins with the handshake


class ListenerAuth(StrEnum):
    """Whether clients log in."""

    OFF = "off"
    OPTIONAL = "optional"  # who does may relay from anywhere
    REQUIRED = "required"  # nobody relays without


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """One address to accept mail on: exactly one of `endpoint`, `unix_path`, `systemd_name` is set."""

    address: str  # as written in the settings, for messages
    endpoint: HostPort | None = None
    unix_path: str | None = None
    systemd_name: str | None = None
    networks: tuple[Network, ...]  # who may relay; peers on a unix socket always may
    line_endings: LineEndings
    tls: ListenerTls = ListenerTls.OFF
    auth: ListenerAuth = ListenerAuth.OFF
    proxy_networks: tuple[Network, ...] = ()  # who begins with a PROXY header
    xclient_networks: tuple[Network, ...] = ()  # who may say XCLIENT
    add_headers: FixUps = FixUps.AUTO  # Date and Message-ID where they are missing
    strip_bcc: FixUps = FixUps.AUTO
    hide_client: bool = False  # from those who read the trace field
    allowed: Allowed = ANYTHING  # addresses of the mail that is taken there
    lenient: frozenset[Leniency] = frozenset()  # towards old programs
    is_console: bool = False  # only the console may connect, and it says for whom
    cut_through: timedelta = (
        timedelta()
    )  # a client waits so long for its next hop; zero: not at all


@dataclass(frozen=True, slots=True, kw_only=True)
class BounceSettings:
    dsn: bool  # report failures to the sender
    verp_domain: str  # of VERP addresses, as A-labels; empty: asynchronous bounces are not read
    refuse_suppressed: bool  # RCPT of a suppressed address
    complaints: frozenset[str] = frozenset()  # addresses that take complaints, in lower case
    refuse_complained: bool = False  # a complaint suppresses, for mail of the same sender


class CheckerKind(StrEnum):
    RSPAMD = "rspamd"
    SPAMD = "spamd"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentSettings:
    """Who checks content, and what follows from its score."""

    kind: CheckerKind
    endpoint: HostPort
    allow_networks: tuple[Network, ...]  # where it may be, besides this machine
    timeout: timedelta  # for one answer
    rules: ContentRules

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.kind} at {self.endpoint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectSettings:
    """Delivery to the recipient's own MX."""

    port: int
    tls: TlsMode
    dane: bool  # TLSA records of mail hosts count
    mta_sts: bool  # policies of the recipients' domains count
    tls_policy: tuple[
        tuple[str, OperatorTls], ...
    ]  # by pattern of the recipient's domain; the first one counts
    families: frozenset[IpFamily]  # that connections are made by; never empty
    sources: tuple[Source, ...]  # a site sees one of each family and pool; none: the system's
    allow_networks: tuple[Network, ...]  # private or loopback ones that an MX may point to
    connections_per_destination: int  # and MX site, all workers together
    messages_per_minute: int  # to one MX site, all workers together; 0: no limit
    sources_named_by: str = SHORT_FORM  # the key that names them
    warm_up: Mapping[str, date] = field(default_factory=dict)  # the first day of new sources

    @property
    def source_addresses(self) -> tuple[str, ...]:
        return tuple(each.address for each in self.sources)

    def helo_of(self, source: str | None) -> str:
        """Return our name at one of these addresses; empty: `Settings.fqdn`."""
        return next((each.helo for each in self.sources if each.address == source), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSettings:
    nameservers: tuple[HostPort, ...]  # none: the system's
    timeout: timedelta  # for one answer
    trusted: tuple[str, ...] = ()  # addresses of name servers whose AD bit counts


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorSettings:
    blocklists: tuple[str, ...]  # zones, as A-labels


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    url: str  # sqlite:PATH, or postgresql://… with the path of its password file
    folder: str  # of what this machine keeps beside the queue: lock, tokens, its last check-up
    history: timedelta  # how long finished messages stay queryable
    keep_bounced: (
        timedelta  # how long the content of what bounced is kept for requeueing; 0: not at all
    )
    password_file: str = ""  # of the server; empty: none
    keep_subject: bool = False  # with the message, for those who ask about it


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """Where webhooks may lead to."""

    url_rules: UrlRules
    allow_networks: tuple[Network, ...]  # private or loopback ones


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleProxySettings:
    """The proxy before the console that says who somebody is."""

    rules: ProxyRules
    secret_file: str | None  # a path; None: it is believed on a unix socket only


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleOidcSettings:
    """The provider that logs people in to the console by OpenID Connect."""

    rules: OidcRules
    scopes: tuple[str, ...]  # besides openid
    secret: str | None = field(repr=False)  # of us as its client; None: it knows no secret of us


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings:
    """Where `relayd console` listens: exactly one of the three is set, as for a listener."""

    address: str  # as written in the settings, for messages
    endpoint: HostPort | None = None
    unix_path: str | None = None
    systemd_name: str | None = None
    names: frozenset[str] = frozenset()  # that it is known by besides loopback, in lower case
    may_change: frozenset[str] = frozenset()  # keys of the settings
    alerts_to: tuple[Address, ...] = ()  # who is mailed about webhooks that are disabled
    proxy: ConsoleProxySettings | None = None  # None: nobody is let in by a proxy's word
    oidc: ConsoleOidcSettings | None = None  # None: nobody logs in by OpenID Connect


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    status_log: str  # path, or "-" for standard output
    level: str  # debug | info | warning | error
    format: str  # json | console, "auto" already decided


_SHORT = 8  # digits of a digest that only has to be another one
_OWN = (
    *(
        "fqdn",
        "workers",
        "listen.",
        "auth.",
        "store.url",
        "store.password_file",
        "store.folder",
        "cluster.",
    ),
    *("control.", "status_log.", "log.", "metrics.", "tls.", "doctor.", "console."),
)
"""Keys by which machines with one queue may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything, for the composition root; each part is given its slice."""

    file: str  # where the settings were read
    values: tuple[tuple[str, str], ...]  # name and JSON text of each key, for the one who asks
    fqdn: str
    workers: int  # processes
    listeners: tuple[ListenerSettings, ...]
    certificate: CertificateSettings | None  # for listeners with TLS
    users_file: str | None  # set where a listener takes logins
    limits: LimitSettings
    smarthosts: Mapping[str, SmarthostSettings]  # by name; the default is always there, and first
    route_hosts: tuple[SmarthostSettings, ...]  # one for each host that `routes` names
    direct: DirectSettings
    dns: DnsSettings
    routes: RouteRules
    senders: SenderSettings
    access: AccessRules
    quotas: QuotaRules
    aliases: Mapping[str, tuple[Address, ...]]  # by names in lower case
    retry: RetrySettings
    bounces: BounceSettings
    content: ContentSettings | None  # set where there is a checker
    store: StoreSettings
    node: str  # this machine among those that share the store
    control_socket: str
    metrics: HostPort | None  # where they are served; None: nowhere
    log: LogSettings
    doctor: DoctorSettings
    webhooks: WebhookSettings
    console: ConsoleSettings
    rules: RuleTexts  # the operator's own, checked; they come before the built-in ones
    dkim: tuple[DkimKeySettings, ...] = ()  # keys that sign mail, in the order of the file
    tlsrpt: TlsrptSettings = field(default_factory=TlsrptSettings)
    read_content: bool = False  # the group may read content by the control socket
    soft_bounce: bool = False  # what would bounce is deferred, and refusals are for now
    warnings: tuple[str, ...] = ()  # about what is taken though it could be better
    sources: Mapping[str, str] = field(
        default_factory=dict
    )  # of keys that are no default: "file", "console" or "environment"
    variables: Mapping[str, str] = field(default_factory=dict)  # of keys from the environment

    @property
    def smarthost(self) -> SmarthostSettings:
        """The default smarthost."""
        return self.smarthosts[DEFAULT]

    @property
    def console_smtp(self) -> str:
        """The path of the socket on which the console hands mail over."""
        return console_smtp_beside(self.control_socket)

    @property
    def digest(self) -> str:
        """Equal for equal `values`."""
        return _digest(self.values)

    @property
    def shared_digest(self) -> str:
        """Equal where two machines with one queue treat mail alike: names, paths and addresses are each one's own."""
        return _digest(tuple(each for each in self.values if not each[0].startswith(_OWN)))

    @property
    def shared_keys(self) -> Mapping[str, str]:
        """A digest of the value of each key that `shared_digest` is made of."""
        shared = (each for each in self.values if not each[0].startswith(_OWN))
        return {name: _digest(((name, value),))[:_SHORT] for name, value in shared}


def _digest(values: tuple[tuple[str, str], ...]) -> str:
    return hashlib.sha256(repr(values).encode("utf-8", "replace")).hexdigest()


def console_smtp_beside(control_socket: str) -> str:
    """Return the path of the console's listener; of each daemon in a folder another one."""
    control = PurePath(control_socket)
    is_usual = control.name == "control.sock"
    return str(control.with_name("console.smtp" if is_usual else f"{control.name}.smtp"))

"""The settings file as pydantic models: every key, its type and its default.

Owns what may be written; a default is here and nowhere else. Keys of later releases exist
already, so that a file written for them is understood; `relayd.config.checks` refuses what has no
effect yet. What keys mean to each other is checked there too.

Documentation of every key: `docs/config.md`, `etc/relayd.toml`; tests compare both with this.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator

from relayd.config import aliases as alias
from relayd.config import routes as where
from relayd.config import units
from relayd.config.access import AuthorList, NetworkTable, SenderList, network_name
from relayd.config.dkim import DkimTable
from relayd.config.fields import (
    AsText,
    Count,
    Duration,
    DurationOrOff,
    DurationText,
    Family,
    Fixing,
    Lenient,
    OperatorTlsWord,
    OrOffText,
    Port,
    Range,
    Size,
    Table,
    Text,
    Tls,
    not_empty,
)
from relayd.config.logins import LoginTable, login_name
from relayd.config.peek import DEFAULT_LISTENER, DEFAULT_STORE
from relayd.config.senders import Sender, sender_pattern
from relayd.config.smarthosts import Smarthost, SmarthostName, smarthost_name
from relayd.config.sources import DirectSource, WarmUp
from relayd.config.tlsrpt import Tlsrpt
from relayd.policy.console.webhook_url import PORTS
from relayd.policy.delivery.fallback import FallbackMode
from relayd.settings import (
    FixUps,
    HostPort,
    IpFamily,
    LineEndings,
    ListenerAuth,
    ListenerTls,
    Network,
    TlsMode,
    WhenDown,
)
from relayd.store.url import check_url

Key = tuple[str | int, ...]
"""The way to a value: ("listen", 0, "address")."""

MOST_WORKERS = 64
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}")
CHANGEABLE = ("use_remote_smtp", "fqdn")
"""Keys that the console may change at most: never a path, a secret, an address to listen on, a route or a host."""
TABLES_OF_NAMES: Mapping[str, str] = {
    "smarthosts": "a name and a key too, such as smarthosts.newsletter.hosts",
    "routes": 'a pattern too, such as routes."*.example.org"',
    "tls_policy": 'a pattern too, such as tls_policy."*.example.org"',
    "logins": "a name and a key too, such as logins.shop.smarthost",
    "networks": 'a network and a key too, such as networks."10.0.0.0/8".allowed_senders',
    "senders": 'a pattern and a key too, such as senders."example.org".smarthost',
    "aliases": "a name too, such as aliases.root",
}
"""The tables whose keys the operator names, and what a command line has to say besides the table."""
TABLES_OF_TABLES: Mapping[str, type[Table]] = {
    "smarthosts": Smarthost,
    "logins": LoginTable,
    "networks": NetworkTable,
    "senders": Sender,
}
"""Those of them in which each name has a table of its own."""


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


def _workers(value: object) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    try:
        return units.whole(1, MOST_WORKERS)(value)
    except ValueError as wrong:
        raise ValueError(f'{wrong}, or "auto"') from None


def _store_url(value: object) -> str:
    return check_url(units.text(value))


def _folder(value: object) -> str:
    """Read the path of a folder; empty: none."""
    return units.absolute_path(value) if value != "" else ""


def _node(value: object) -> str:
    """Read the name of a machine among others; empty: its host name."""
    name = units.text(value)
    if name and not _NODE.fullmatch(name):
        raise ValueError("expected a name of up to 63 letters, digits, dots and hyphens")
    return name


def _log_path(value: object) -> str:
    try:
        return "-" if value == "-" else units.absolute_path(value)
    except ValueError as wrong:
        raise ValueError(f'{wrong}, or "-" for standard output') from None


def _metrics_address(value: object) -> str:
    return "" if value == "" else str(units.host_port(value))


def _listening(address: str) -> units.ListenAddress:
    return units.listen_address(address)


def _networks(*written: str) -> list[Network]:
    return [units.network(each) for each in written]


def _durations(*written: str) -> list[timedelta]:
    return [units.duration(each) for each in written]


class Listen(Table):
    address: Annotated[units.ListenAddress, PlainValidator(units.listen_address), AsText] = (
        _listening(DEFAULT_LISTENER)
    )
    tls: Annotated[ListenerTls, PlainValidator(units.word(ListenerTls)), AsText] = ListenerTls.OFF
    auth: Annotated[ListenerAuth, PlainValidator(units.word(ListenerAuth)), AsText] = (
        ListenerAuth.OFF
    )
    networks: list[Range] = _networks("127.0.0.0/8", "::1/128")
    line_endings: Annotated[LineEndings, PlainValidator(units.word(LineEndings)), AsText] = (
        LineEndings.REJECT
    )
    proxy_networks: list[Range] = []
    xclient_networks: list[Range] = []
    add_headers: Fixing = FixUps.AUTO
    strip_bcc: Fixing = FixUps.AUTO
    hide_client: bool = False
    smarthost: SmarthostName = ""
    allowed_senders: SenderList = []
    allowed_from: AuthorList = []
    lenient: list[Lenient] = []
    cut_through: Annotated[timedelta, PlainValidator(units.cut_through), OrOffText] = timedelta()


class Auth(Table):
    users_file: Text = "users"


class Limits(Table):
    message_size: Size = 35 * units.SIZE_UNITS["MB"]
    recipients: Count = 1000
    connections: Count = 1000
    connections_per_client: Count = 100
    stop_within: Annotated[timedelta, PlainValidator(units.stop_within), DurationText] = (
        units.duration("8s")
    )


class Direct(Table):
    port: Port = 25
    tls: Tls = TlsMode.OPPORTUNISTIC
    dane: bool = True
    mta_sts: bool = True
    families: Annotated[list[Family], AfterValidator(not_empty)] = list(IpFamily)
    source_addresses: list[Annotated[str, PlainValidator(where.ip)]] = []
    source: list[DirectSource] = []
    warm_up: WarmUp = Field(default_factory=dict)
    allow_networks: list[Range] = []
    connections_per_destination: Count = 10
    messages_per_minute: Annotated[int, PlainValidator(units.whole(0, 100_000))] = 0
    fallback: Annotated[FallbackMode, PlainValidator(units.word(FallbackMode)), AsText] = (
        FallbackMode.AUTO
    )


class TestMail(Table):
    recipients: list[Annotated[str, PlainValidator(where.address)]] = []


class Redirect(Table):
    to: Annotated[str, PlainValidator(where.address_or_none)] = ""
    allow: list[Annotated[str, PlainValidator(where.address_or_domain)]] = []


class Dns(Table):
    nameservers: list[Annotated[HostPort, PlainValidator(where.nameserver), AsText]] = []
    timeout: Duration = units.duration("20s")
    trusted: list[Annotated[str, PlainValidator(where.ip)]] = []


class Retry(Table):
    soft_bounce: list[Duration] = _durations("15m")
    unknown_outcome: list[Duration] = _durations("15m", "1h")
    unreachable: Annotated[list[Duration], AfterValidator(not_empty)] = _durations(
        "5m", "15m", "30m", "1h", "2h", "4h"
    )
    give_up_after: Duration = units.duration("5d")


class Bounces(Table):
    dsn: bool = True
    refuse_suppressed: bool = False
    verp_domain: Annotated[str, PlainValidator(where.domain_or_none)] = ""
    complaints: list[Annotated[str, PlainValidator(where.address)]] = []
    refuse_complained: bool = False


def _score(value: object) -> float | Literal["off"]:
    if value == "off":
        return "off"
    if isinstance(value, bool) or not isinstance(value, int | float) or not -999 <= value <= 999:
        raise ValueError('expected a score from -999 to 999, such as 6.0, or "off"')
    return float(value)


def _named_by(read: Callable[[object], HostPort]) -> Callable[[object], str]:
    """Return a reader of a server's name that `read` will take later; empty is none."""

    def check(value: object) -> str:
        written = units.text(value)
        if written:
            read(written)
        return written

    return check


Score = Annotated[float | Literal["off"], PlainValidator(_score)]


class Content(Table):
    rspamd: Annotated[str, PlainValidator(_named_by(units.http_server))] = ""
    spamd: Annotated[str, PlainValidator(_named_by(units.next_hop))] = ""
    allow_networks: list[Range] = []
    tag: Score = "off"
    hold: Score = "off"
    refuse: Score = "off"
    when_down: Annotated[WhenDown, PlainValidator(units.word(WhenDown)), AsText] = WhenDown.ACCEPT
    timeout: Duration = units.duration("10s")
    size_limit: Size = 10**6


class Store(Table):
    url: Annotated[str, PlainValidator(_store_url)] = DEFAULT_STORE
    password_file: Text = ""
    folder: Annotated[str, PlainValidator(_folder)] = ""
    history: Duration = units.duration("90d")
    keep_subject: bool = False
    keep_bounced: DurationOrOff = units.duration("1d")


class Cluster(Table):
    node: Annotated[str, PlainValidator(_node)] = ""


class Control(Table):
    socket: Annotated[str, PlainValidator(units.socket_path)] = "/run/relayd/control.sock"
    read_content: bool = False


class StatusLog(Table):
    path: Annotated[str, PlainValidator(_log_path)] = "/var/log/relayd/status.log"


class Log(Table):
    level: Annotated[LogLevel, PlainValidator(units.word(LogLevel)), AsText] = LogLevel.INFO
    format: Annotated[LogFormat, PlainValidator(units.word(LogFormat)), AsText] = LogFormat.AUTO


class Metrics(Table):
    address: Annotated[str, PlainValidator(_metrics_address)] = ""


class Certificate(Table):
    certificate: Text = ""
    key: Text = ""


class Doctor(Table):
    blocklists: list[Annotated[str, PlainValidator(where.zone)]] = [
        "zen.spamhaus.org",
        "bl.spamcop.net",
        "psbl.surriel.com",
    ]


class Webhooks(Table):
    allow_http: bool = False
    ports: Annotated[list[Port], AfterValidator(not_empty)] = sorted(PORTS)
    allow_networks: list[Range] = []


class ConsoleProxy(Table):
    header: Annotated[str, PlainValidator(units.header_or_none)] = ""
    networks: list[Range] = []
    secret_header: Annotated[str, PlainValidator(units.header)] = "X-Relayd-Secret"  # noqa: S105 -- its name
    secret_file: Text = ""


class ConsoleOidc(Table):
    issuer: Annotated[str, PlainValidator(units.https_url_or_none)] = ""
    client_id: Text = ""
    secret_file: Text = ""
    scopes: list[Annotated[str, PlainValidator(units.scope)]] = ["profile", "email"]
    name_claim: Annotated[str, PlainValidator(units.claim)] = "preferred_username"
    role_claim: Annotated[str, PlainValidator(units.claim)] = "groups"
    admins: list[Text] = []
    operators: list[Text] = []
    viewers: list[Text] = []


class Console(Table):
    address: Annotated[units.ListenAddress, PlainValidator(units.listen_address), AsText] = (
        _listening("127.0.0.1:8025")
    )
    names: list[Annotated[str, PlainValidator(where.console_host)]] = []
    may_change: list[Literal["use_remote_smtp", "fqdn"]] = ["use_remote_smtp", "fqdn"]
    alerts_to: list[Annotated[str, PlainValidator(where.address)]] = []
    proxy: ConsoleProxy = ConsoleProxy()
    oidc: ConsoleOidc = ConsoleOidc()


class Document(Table):
    """The whole file. `fqdn` alone has no default."""

    fqdn: Annotated[str, PlainValidator(units.fqdn)]
    use_remote_smtp: bool = False
    soft_bounce: bool = False
    workers: Annotated[int | Literal["auto"], PlainValidator(_workers)] = "auto"
    dkim: list[DkimTable] = []
    listen: Annotated[list[Listen], AfterValidator(not_empty)] = [Listen()]
    auth: Auth = Auth()
    limits: Limits = Limits()
    smarthost: Smarthost = Smarthost()
    smarthosts: dict[Annotated[str, PlainValidator(smarthost_name)], Smarthost] = Field(
        default_factory=dict
    )
    direct: Direct = Direct()
    tlsrpt: Tlsrpt = Tlsrpt()
    routes: dict[
        Annotated[str, PlainValidator(where.pattern)],
        Annotated[
            where.Destination,
            PlainValidator(where.destination),
            PlainSerializer(where.Destination.written, when_used="json"),
        ],
    ] = Field(default_factory=dict)
    tls_policy: dict[Annotated[str, PlainValidator(where.pattern)], OperatorTlsWord] = Field(
        default_factory=dict
    )
    logins: dict[Annotated[str, PlainValidator(login_name)], LoginTable] = Field(
        default_factory=dict
    )
    networks: dict[Annotated[str, PlainValidator(network_name)], NetworkTable] = Field(
        default_factory=dict
    )
    senders: dict[Annotated[str, PlainValidator(sender_pattern)], Sender] = Field(
        default_factory=dict
    )
    aliases: dict[
        Annotated[str, PlainValidator(alias.name)],
        Annotated[
            list[str],
            PlainValidator(alias.targets),
            PlainSerializer(alias.written, when_used="json"),
        ],
    ] = Field(default_factory=dict)
    test_mail: TestMail = TestMail()
    redirect: Redirect = Redirect()
    dns: Dns = Dns()
    retry: Retry = Retry()
    bounces: Bounces = Bounces()
    content: Content = Content()
    store: Store = Store()
    cluster: Cluster = Cluster()
    control: Control = Control()
    status_log: StatusLog = StatusLog()
    log: Log = Log()
    metrics: Metrics = Metrics()
    tls: Certificate = Certificate()
    doctor: Doctor = Doctor()
    webhooks: Webhooks = Webhooks()
    console: Console = Console()


def leaves(table: Table, at: Key = ()) -> Iterator[tuple[Key, object]]:
    """Every key of the document with its value, in the order of the file."""
    for name in type(table).model_fields:
        value = getattr(table, name)
        if isinstance(value, Table):
            yield from leaves(value, (*at, name))
        elif name == "listen" and not at:
            for index, listener in enumerate(value):
                yield from leaves(listener, (name, index))
        else:
            yield (*at, name), value


LISTS_OF_TABLES: Mapping[str, type[Table]] = {"dkim": DkimTable, "direct.source": DirectSource}
"""Lists of tables that are one value, by their dotted names; each listener has keys of its own."""


def dotted(key: Key) -> str:
    """The name of a key without the numbers of listeners: `listen.address`."""
    return ".".join(part for part in key if isinstance(part, str))


PLACEHOLDER_FQDN = "relay.example.org"
"""Stands in for a missing or wrong `fqdn` while the other mistakes are looked for."""

DEFAULTS: Mapping[str, object] = {
    dotted(key): None if key == ("fqdn",) else value
    for key, value in leaves(Document(fqdn=PLACEHOLDER_FQDN))
}
"""The default of every key, by its dotted name; None is a key that must be given."""
_DEFAULTS_OF_TABLES: Mapping[str, Mapping[str, object]] = {
    name: dict(table()) for name, table in TABLES_OF_TABLES.items()
}


def default_value(key: Key) -> object:
    """Return the default of a key, also of one in a table that the operator names; None if it has none."""
    if len(key) == 3 and key[0] in TABLES_OF_TABLES:
        return _DEFAULTS_OF_TABLES[str(key[0])].get(str(key[2]))
    return DEFAULTS.get(dotted(key))


def process_count(workers: int | Literal["auto"]) -> int:
    return min(os.cpu_count() or 1, MOST_WORKERS) if workers == "auto" else workers

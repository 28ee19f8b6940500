"""The settings file: every mistake is found at once and named; defaults match the documents."""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.config import load as config
from relayd.config import units
from relayd.config.mistakes import show_value
from relayd.config.model import DEFAULTS, Document, dotted, leaves
from relayd.errors import ConfigError, Mistake
from relayd.mail.address import Address
from relayd.mail.words import format_duration
from relayd.policy.console.oidc import OidcRules
from relayd.policy.console.proxy_login import ProxyRules
from relayd.policy.console.roles import Role
from relayd.policy.delivery.route import OnHold, RouteRule, RouteRules, ViaHost, ViaMx, ViaSmarthost
from relayd.policy.delivery.source import Source
from relayd.policy.tls.require import OperatorTls
from relayd.settings import (
    AuthMechanism,
    BounceSettings,
    CheckerKind,
    ConsoleOidcSettings,
    ConsoleProxySettings,
    ContentRules,
    DirectSettings,
    DnsSettings,
    FixUps,
    HostPort,
    IpFamily,
    LineEndings,
    ListenerAuth,
    Settings,
    SmarthostSettings,
    TlsMode,
    WhenDown,
)
from tests.support.accounts import write_users
from tests.support.certificates import Authority
from tests.support.wrong_settings import FQDN, WRONG

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


def read(toml: str) -> Settings:
    return config.from_mapping(tomllib.loads(toml), file="relayd.toml")


def mistakes_in(toml: str) -> tuple[Mistake, ...]:
    with pytest.raises(ConfigError) as caught:
        read(toml)
    return caught.value.mistakes


def a_secret(path: Path, content: bytes = b"hunter2\n", mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


# -- what is right


def test_the_safety_net_is_warned_about() -> None:
    found = read(FQDN)
    assert (found.soft_bounce, found.warnings) == (False, ())
    found = read(f"{FQDN}\nsoft_bounce = true")
    assert found.soft_bounce
    [warning] = found.warnings
    assert warning.startswith("soft_bounce: is on: ")


def test_what_mail_hosts_have_to_show_is_read_in_its_order() -> None:
    """Patterns as in [routes]; domains become A-labels, as the DNS knows them."""
    toml = FQDN + '[tls_policy]\n"*.Bücher.example" = "dane"\n"b.example" = "opportunistic"\n'
    assert read(toml).direct.tls_policy == (
        ("*.xn--bcher-kva.example", OperatorTls.DANE),
        ("b.example", OperatorTls.OPPORTUNISTIC),
    )


@pytest.mark.parametrize(
    "entry", ['"b.example" = "implicit"', '"b.example" = true', '"a b" = "dane"', '"" = "dane"']
)
def test_what_is_no_demand_on_mail_hosts(entry: str) -> None:
    [mistake] = mistakes_in(f"{FQDN}[tls_policy]\n{entry}\n")
    assert "tls_policy" in str(mistake)


def test_one_line_is_enough() -> None:
    """All that has to be written is the name; everything else has the documented default."""
    found = read(FQDN)
    assert found.fqdn == "relay.example.org"
    assert 1 <= found.workers <= 64
    (listener,) = found.listeners
    assert listener.endpoint == HostPort(host="127.0.0.1", port=2525)
    assert listener.address == "127.0.0.1:2525"
    assert listener.networks == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert listener.line_endings is LineEndings.REJECT
    assert found.limits.message_size == 35_000_000
    assert found.smarthost.hosts == (HostPort(host="127.0.0.1", port=25),)
    assert found.smarthost.tls is TlsMode.OPPORTUNISTIC
    assert found.smarthost.login is None
    assert found.routes == RouteRules(use_remote_smtp=False)
    assert found.direct == DirectSettings(
        port=25,
        tls=TlsMode.OPPORTUNISTIC,
        dane=True,
        mta_sts=True,
        tls_policy=(),
        families=frozenset(IpFamily),
        sources=(),
        allow_networks=(),
        connections_per_destination=10,
        messages_per_minute=0,
    )
    assert found.dns == DnsSettings(nameservers=(), timeout=timedelta(seconds=20))
    assert found.retry.soft_bounce == (timedelta(minutes=15),)
    assert len(found.retry.unknown_outcome) == 2, "three attempts in all"
    assert found.retry.unreachable[-1] == timedelta(hours=4)
    assert found.retry.give_up_after == timedelta(days=5)
    assert found.bounces.refuse_suppressed is False
    assert found.rules == ()
    assert found.metrics is None
    assert found.store.url == "sqlite:/var/lib/relayd/queue.db"
    assert found.log.format in {"json", "console"}


def test_sources_have_names_and_senders_of_their_own() -> None:
    found = read(
        """
        fqdn = "relay.example.org"
        [[direct.source]]
        address = "2001:DB8::0:1"
        helo = "mx10.example.org"
        [[direct.source]]
        address = "192.0.2.1"
        senders = ["example.org", "*.example.org", "<>", "app"]
        """
    ).direct
    assert found.sources == (
        Source(address="2001:db8::1", helo="mx10.example.org"),
        Source(address="192.0.2.1", senders=("example.org", "*.example.org", "<>", "app")),
    )
    assert found.sources_named_by == "direct.source"
    assert (found.helo_of("2001:db8::1"), found.helo_of("192.0.2.1")) == ("mx10.example.org", "")


@pytest.mark.parametrize("day", ["2026-12-01", '"2026-12-01"'])
def test_new_sources_have_a_first_day(day: str) -> None:
    found = read(
        f'fqdn = "relay.mill.net"\n[direct]\nsource_addresses = ["2001:db8::1"]\n'
        f'warm_up = {{"2001:DB8::0:1" = {day}}}'
    )
    assert found.direct.warm_up == {"2001:db8::1": date(2026, 12, 1)}
    assert dict(found.values)["direct.warm_up"] == '{"2001:db8::1": "2026-12-01"}'


FALLS_BACK = {
    "with a smarthost": (True, 'use_remote_smtp = true\n[smarthost]\nhosts = ["a.example:25"]'),
    "with the default one": (False, "use_remote_smtp = true"),
    "without direct mode": (False, '[smarthost]\nhosts = ["a.example:25"]'),
    "switched off": (
        False,
        'use_remote_smtp = true\n[smarthost]\nhosts = ["a.example:25"]\n[direct]\nfallback = "off"',
    ),
}


@pytest.mark.parametrize(("expected", "lines"), FALLS_BACK.values(), ids=FALLS_BACK)
def test_a_smarthost_of_the_settings_stands_in_for_direct_mode(
    lines: str, *, expected: bool
) -> None:
    assert read(f'fqdn = "relay.mill.net"\n{lines}').routes.falls_back is expected


CHECKERS = {
    "rspamd": ('rspamd = "http://127.0.0.1:11333"', CheckerKind.RSPAMD, "127.0.0.1", 11333),
    "rspamd with a slash": ('rspamd = "HTTP://[::1]:80/"', CheckerKind.RSPAMD, "::1", 80),
    "spamd": ('spamd = "localhost:783"', CheckerKind.SPAMD, "localhost", 783),
    "elsewhere": (
        'spamd = "192.0.2.7:783"\nallow_networks = ["192.0.2.0/24"]',
        CheckerKind.SPAMD,
        "192.0.2.7",
        783,
    ),
    "by a name": (
        'spamd = "mail.example.org:783"\nallow_networks = ["192.0.2.0/24"]',
        CheckerKind.SPAMD,
        "mail.example.org",
        783,
    ),
}


@pytest.mark.parametrize(("lines", "kind", "host", "port"), CHECKERS.values(), ids=CHECKERS)
def test_a_checker_of_content(lines: str, kind: CheckerKind, host: str, port: int) -> None:
    found = read(f'{FQDN}[content]\n{lines}\ntag = -1\nrefuse = 15.5\ntimeout = "2s"').content
    assert found is not None
    assert (found.kind, found.endpoint) == (kind, HostPort(host=host, port=port))
    assert found.timeout == timedelta(seconds=2)
    assert found.rules == ContentRules(
        tag=-1.0, hold=None, refuse=15.5, when_down=WhenDown.ACCEPT, size_limit=1_000_000
    )


def test_without_a_checker_there_is_nothing_to_ask() -> None:
    assert read(FQDN).content is None
    found = read(f'{FQDN}[content]\nspamd = "127.0.0.1:783"').content
    assert found is not None
    assert not found.rules.has_effect


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", ""),
        ("Bounces.Example.ORG", "bounces.example.org"),
        ("bounces.example.org.", "bounces.example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_the_domain_of_return_paths_is_one_that_every_server_takes(
    written: str, meant: str
) -> None:
    assert read(f'{FQDN}[bounces]\nverp_domain = "{written}"').bounces.verp_domain == meant


def test_every_supported_key_can_be_set() -> None:
    """What is written arrives, as a value of the right type."""
    found = read("""
        fqdn = "mx1.relay.example.org"
        use_remote_smtp = true
        workers = 3
        [[listen]]
        address = "[::]:25"
        networks = ["10.0.0.0/8", "192.0.2.7"]
        line_endings = "normalize"
        [[listen]]
        address = "unix:/run/relayd/smtp.sock"
        add_headers = "always"
        strip_bcc = "never"
        hide_client = true
        cut_through = "20s"
        [[listen]]
        address = "systemd:smtp"
        add_headers = true
        strip_bcc = false
        [limits]
        message_size = "64KiB"
        recipients = 5
        connections = 6
        connections_per_client = 7
        [smarthost]
        hosts = ["Mail.Example.ORG:587", "[2001:DB8::0:1]:25"]
        tls = "verify"
        connections = 4
        assume_8bit = true
        [direct]
        port = 2626
        tls = "verify"
        source_addresses = ["192.0.2.1", "2001:DB8::0:1"]
        allow_networks = ["10.0.0.0/8", "127.0.0.9"]
        connections_per_destination = 3
        messages_per_minute = 90
        [routes]
        "a.example.org" = "smarthost"
        "*.example.org" = "Host.Example.ORG:2525"
        "d.example" = { host = "Old.Example:465", tls = "implicit", assume_8bit = true }
        "b.example" = "direct"
        "c.example" = "hold"
        [test_mail]
        recipients = ["QA@Example.org"]
        [redirect]
        to = "Catch.All@staging.example.org"
        allow = ["Boss@Example.org", "Team.Example.ORG"]
        [dns]
        nameservers = ["192.0.2.53", "127.0.0.1:5353", "::1", "[2001:DB8::0:53]:54"]
        timeout = "5s"
        trusted = ["192.0.2.53", "2001:DB8::0:53"]
        [retry]
        soft_bounce = []
        unknown_outcome = ["90s"]
        unreachable = ["1h30m"]
        give_up_after = "1w2d"
        [bounces]
        dsn = false
        verp_domain = "bounces.example.org"
        refuse_suppressed = true
        [store]
        url = "sqlite:/srv/q.db"
        history = "1d"
        keep_subject = true
        [control]
        socket = "/tmp/c.sock"
        read_content = true
        [status_log]
        path = "-"
        [log]
        level = "debug"
        format = "console"
        [metrics]
        address = "Localhost:9725"
        [console.proxy]
        header = "Remote-User"
        networks = ["127.0.0.1"]
        secret_file = "/srv/proxy-secret"
        [console.oidc]
        issuer = "https://auth.example.org/realms/x"
        client_id = "relayd"
        scopes = ["groups"]
        name_claim = "email"
        role_claim = "roles"
        admins = ["a", "b"]
        """)
    assert found.workers == 3
    assert found.console.proxy == ConsoleProxySettings(
        rules=ProxyRules(header="remote-user", networks=(ip_network("127.0.0.1/32"),)),
        secret_file="/srv/proxy-secret",
    )
    assert found.console.oidc == ConsoleOidcSettings(
        rules=OidcRules(
            issuer="https://auth.example.org/realms/x",
            client_id="relayd",
            name_claim="email",
            role_claim="roles",
            groups={
                Role.ADMIN: frozenset({"a", "b"}),
                Role.OPERATOR: frozenset(),
                Role.VIEWER: frozenset(),
            },
        ),
        scopes=("groups",),
        secret=None,
    )
    assert found.metrics == HostPort(host="localhost", port=9725)
    assert [listener.address for listener in found.listeners] == [
        "[::]:25",
        "unix:/run/relayd/smtp.sock",
        "systemd:smtp",
    ]
    assert found.listeners[0].networks == (ip_network("10.0.0.0/8"), ip_network("192.0.2.7/32"))
    assert found.listeners[0].line_endings is LineEndings.NORMALIZE
    assert found.listeners[1].unix_path == "/run/relayd/smtp.sock"
    assert [each.cut_through.seconds for each in found.listeners] == [0, 20, 0]
    assert found.listeners[2].systemd_name == "smtp"
    assert [
        (listener.add_headers, listener.strip_bcc, listener.hide_client)
        for listener in found.listeners
    ] == [
        (FixUps.AUTO, FixUps.AUTO, False),
        (FixUps.ALWAYS, FixUps.NEVER, True),
        (FixUps.ALWAYS, FixUps.NEVER, False),
    ]
    assert found.limits.message_size == 65536
    assert found.smarthost.hosts == (
        HostPort(host="mail.example.org", port=587),
        HostPort(host="2001:db8::1", port=25),
    )
    assert found.smarthost.tls is TlsMode.VERIFY
    assert found.smarthost.assume_8bit
    assert found.route_hosts == (
        SmarthostSettings(
            hosts=(HostPort(host="host.example.org", port=2525),),
            tls=TlsMode.OPPORTUNISTIC,
            login=None,
            connections=3,
        ),
        SmarthostSettings(
            hosts=(HostPort(host="old.example", port=465),),
            tls=TlsMode.IMPLICIT,
            login=None,
            connections=3,
            assume_8bit=True,
        ),
    )
    assert found.direct == DirectSettings(
        port=2626,
        tls=TlsMode.VERIFY,
        dane=True,
        mta_sts=True,
        tls_policy=(),
        families=frozenset(IpFamily),
        sources=(Source(address="192.0.2.1"), Source(address="2001:db8::1")),
        allow_networks=(ip_network("10.0.0.0/8"), ip_network("127.0.0.9/32")),
        connections_per_destination=3,
        messages_per_minute=90,
    )
    assert found.routes == RouteRules(
        use_remote_smtp=True,
        falls_back=True,
        rules=(
            RouteRule(pattern="a.example.org", route=ViaSmarthost()),
            RouteRule(
                pattern="*.example.org",
                route=ViaHost(HostPort(host="host.example.org", port=2525)),
            ),
            RouteRule(pattern="d.example", route=ViaHost(HostPort(host="old.example", port=465))),
            RouteRule(pattern="b.example", route=ViaMx("")),
            RouteRule(pattern="c.example", route=OnHold("c.example")),
        ),
        test_recipients=frozenset({"qa@example.org"}),
        redirect_to=Address("Catch.All", "staging.example.org"),
        redirect_allow=frozenset({"boss@example.org", "team.example.org"}),
    )
    assert found.dns == DnsSettings(
        nameservers=(
            HostPort(host="192.0.2.53", port=53),
            HostPort(host="127.0.0.1", port=5353),
            HostPort(host="::1", port=53),
            HostPort(host="2001:db8::53", port=54),
        ),
        timeout=timedelta(seconds=5),
        trusted=("192.0.2.53", "2001:db8::53"),
    )
    assert found.retry.soft_bounce == ()
    assert found.retry.unknown_outcome == (timedelta(seconds=90),)
    assert found.retry.unreachable == (timedelta(hours=1, minutes=30),)
    assert found.retry.give_up_after == timedelta(days=9)
    assert found.bounces.refuse_suppressed is True
    assert found.bounces == BounceSettings(
        dsn=False, refuse_suppressed=True, verp_domain="bounces.example.org"
    )
    assert found.store.history == timedelta(days=1)
    assert found.store.keep_subject
    assert (found.log.status_log, found.log.level, found.log.format) == ("-", "debug", "console")


@pytest.mark.parametrize(
    "toml",
    [
        pytest.param('[[listen]]\naddress = "127.0.0.1:0"\n' * 2, id="two-ports-by-the-system"),
        pytest.param('[[listen]]\naddress = "localhost:2526"', id="localhost-needs-no-networks"),
        pytest.param(
            '[[listen]]\naddress = "127.0.0.2:25"', id="smarthost-on-another-loopback-address"
        ),
        pytest.param(
            '[[listen]]\naddress = "0.0.0.0:25"\nnetworks = []\n'
            '[smarthost]\nhosts = ["192.0.2.1:25"]',
            id="smarthost-elsewhere-on-our-port",
        ),
        pytest.param('[smarthost]\nhosts = ["mail_1:25"]', id="container-name"),
        pytest.param("[tls]\n[metrics]\naddress = ''", id="postponed-at-its-default"),
        pytest.param('[routes]\n"b\u00fccher.example" = "hold"', id="route-in-u-labels"),
        pytest.param('[routes]\n"example.org" = "localhost:25"', id="route-to-this-machine"),
        pytest.param('[redirect]\nto = ""', id="redirect-off"),
        pytest.param('[direct]\nallow_networks = ["127.0.0.0/8"]', id="mx-on-loopback"),
    ],
)
def test_what_is_allowed(toml: str) -> None:
    """Cases that a careless check would refuse."""
    read(FQDN + toml)


# -- what is wrong: the key that must be named, what was expected, the file


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("{}", "{ host =", id="empty"),
        pytest.param('{ tls = "off" }', "{ host =", id="no-host"),
        pytest.param("{ org = 'direct' }", "needs quotes", id="unquoted-domain"),
        pytest.param('{ host = "hold" }', 'host: expected "HOST:PORT"', id="word-in-a-table"),
        pytest.param('{ host = "h:25", tls = "on" }', "tls: expected", id="tls"),
        pytest.param('{ host = "h:25", assume_8bit = 1 }', "assume_8bit: expected", id="8bit"),
        pytest.param('{ host = "h:25", username = "app" }', "the keys here are", id="login"),
        pytest.param('{ host = "127.0.0.1:2525" }', "a loop", id="loop"),
        pytest.param('"h:465"', 'tls = "implicit"', id="465"),
        pytest.param('{ host = "h:465", tls = "verify" }', 'tls = "implicit"', id="465-verify"),
        pytest.param("1", "text in quotes", id="number"),
    ],
)
def test_a_wrong_route_is_named(value: str, expected: str) -> None:
    (mistake,) = mistakes_in(f'{FQDN}[routes]\n"x.example" = {value}')
    assert mistake.key == 'routes."x.example"'
    assert expected in mistake.expected


def test_one_host_is_used_in_one_way() -> None:
    """It is one destination with one destination queue, whatever domains go there."""
    table = '{ host = "h:25", assume_8bit = true }'
    (mistake,) = mistakes_in(f'{FQDN}[routes]\n"a.example" = "H:25"\n"b.example" = {table}')
    assert mistake.key == 'routes."b.example"'
    assert 'routes."a.example"' in mistake.expected
    read(f'{FQDN}[routes]\n"a.example" = {table}\n"b.example" = {table}')


@pytest.mark.parametrize("tls", ["off", "opportunistic", "required", "verify"])
@pytest.mark.parametrize(
    ("table", "key"),
    [
        (
            '[smarthost]\nhosts = ["a.example:25", "b.example:465"]\ntls = "{}"',
            "smarthost.hosts[1]",
        ),
        ('[direct]\nport = 465\ntls = "{}"', "direct.port"),
    ],
)
def test_port_465_wants_implicit_tls(table: str, key: str, tls: str) -> None:
    """That server waits for the handshake, and relayd would wait for its greeting."""
    (mistake,) = mistakes_in(FQDN + table.format(tls))
    assert mistake.key == key
    assert 'tls = "implicit"' in mistake.expected
    read(FQDN + table.format("implicit"))


@pytest.mark.parametrize(
    "written",
    [
        "[smarthost]\nfamilies = 5",
        "[smarthost]\nport = 587",
        "[direct]\nassume_8bit = true",
    ],
)
def test_no_hint_leads_from_one_way_out_to_the_other(written: str) -> None:
    """What limits direct delivery does nothing for a smarthost."""
    (mistake,) = mistakes_in(FQDN + written)
    assert "unknown key; the keys here are" in mistake.expected


@pytest.mark.parametrize(("key", "expected", "toml"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_setting_is_named(key: str, expected: str, toml: str) -> None:
    """One mistake is reported once, with its exact key path, on one printable line."""
    (mistake,) = mistakes_in(toml)
    assert mistake.key == key
    assert expected in mistake.expected
    assert mistake.file == "relayd.toml"
    assert str(mistake).isprintable()


# -- logins of clients

TAKES_LOGINS = FQDN + '[[listen]]\nauth = "required"\n'


def a_users_file(path: Path, *, mode: int = 0o640) -> Path:
    write_users(path, ("app", "hunter2", "")).chmod(mode)
    return path


def load(folder: Path, toml: str) -> Settings:
    (folder / "relayd.toml").write_text(toml)
    return config.load(str(folder / "relayd.toml"))


@pytest.mark.parametrize("named", ["", '[auth]\nusers_file = "users"', "{}"])
def test_the_users_file_is_found_beside_the_settings(tmp_path: Path, named: str) -> None:
    path = a_users_file(tmp_path / "users")
    absolute = f'[auth]\nusers_file = "{path}"'
    found = load(tmp_path, TAKES_LOGINS + named.format(absolute))
    assert found.users_file == str(path)
    assert found.listeners[0].auth is ListenerAuth.REQUIRED


def test_without_logins_no_users_file_is_looked_for(tmp_path: Path) -> None:
    assert load(tmp_path, FQDN + '[auth]\nusers_file = "nowhere"').users_file is None


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        pytest.param(None, 0, "`relayd user add NAME` makes it", id="absent"),
        pytest.param(b"app hunter2\n", 0o600, "line 1: expected an argon2id hash", id="broken"),
        pytest.param(b"", 0o644, "chmod o-rwx", id="open-to-others"),
    ],
)
def test_a_users_file_of_no_use_is_one_clear_line(
    tmp_path: Path, content: bytes | None, mode: int, expected: str
) -> None:
    tmp_path.chmod(0o755)
    path = tmp_path / "users"
    if content is not None:
        a_secret(path, content, mode)
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, TAKES_LOGINS)
        [mistake] = caught.value.mistakes
        assert mistake.key == "auth.users_file"
        assert str(path) in mistake.expected
        assert expected in mistake.expected
        assert "hunter2" not in str(mistake)
        assert str(mistake).isprintable()


def test_a_wrong_name_of_the_users_file_is_one_mistake() -> None:
    [mistake] = mistakes_in(TAKES_LOGINS + "[auth]\nusers_file = 1")
    assert mistake.key == "auth.users_file"


@pytest.mark.parametrize("tls", ["", 'tls = "off"'])
@pytest.mark.parametrize("auth", ["optional", "required"])
def test_no_password_is_taken_from_outside_in_clear_text(
    tmp_path: Path, tls: str, auth: str
) -> None:
    a_users_file(tmp_path / "users")
    toml = f'{FQDN}[[listen]]\naddress = "0.0.0.0:587"\nauth = "{auth}"\n{tls}'
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, toml)
    [mistake] = caught.value.mistakes
    assert mistake.key == "listen[0].tls"
    assert 'expected "starttls" or "implicit"' in mistake.expected


@pytest.mark.parametrize("address", ["127.0.0.1:587", "[::1]:587", "localhost:587", "unix:/s"])
def test_a_password_may_be_taken_inside_this_machine(tmp_path: Path, address: str) -> None:
    a_users_file(tmp_path / "users")
    assert load(tmp_path, f'{FQDN}[[listen]]\naddress = "{address}"\nauth = "optional"').users_file


def test_the_users_file_is_found_in_settings_that_are_wrong_otherwise(tmp_path: Path) -> None:
    """They are wrong until there is a first user."""
    file = tmp_path / "relayd.toml"
    file.write_text('[auth]\nusers_file = "mine"\n[limits]\nrecipients = 0\n')
    assert config.users_path(str(file)) == tmp_path / "mine"
    file.write_text("[auth]\nusers_file = 1\n[limits]\nrecipients = 0\n")
    with pytest.raises(ConfigError) as caught:
        config.users_path(str(file))
    assert [mistake.key for mistake in caught.value.mistakes] == ["auth.users_file"]
    with pytest.raises(ConfigError):
        config.users_path(str(tmp_path / "absent"))


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A-95: the certificate is public, its key is a secret."""
    tmp_path.chmod(0o755)
    pair = Authority(tmp_path).write_pair(tmp_path, "relay.example.org")
    toml = f'{FQDN}[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\n'
    Path(pair.certificate).chmod(0o644)
    Path(pair.key).chmod(0o640)
    assert read(toml).certificate == pair
    Path(pair.key).chmod(0o644)
    (mistake,) = mistakes_in(toml)
    assert (mistake.key, mistake.expected) == (
        "tls.key",
        "others may use the file (mode 0644); run chmod o-rwx on it",
    )


def test_a_store_may_be_on_a_server() -> None:
    url = "postgresql://relayd@db.example.org/relayd"
    assert read(f'{FQDN}[store]\nurl = "{url}"').store.url.startswith(url)


def test_a_store_that_relayd_does_not_have_is_refused() -> None:
    (mistake,) = mistakes_in(FQDN + '[store]\nurl = "mysql://relayd@db.example.org/relayd"')
    assert mistake.key == "store.url"


def test_all_mistakes_come_at_once() -> None:
    """Wrong values do not hide unknown keys, postponed keys, or rules between keys."""
    found = mistakes_in("""
        workers = 0
        wrong = 1
        use_remote_smtp = 1
        [[listen]]
        address = "nowhere"
        [[listen]]
        address = "0.0.0.0:26"
        tls = "starttls"
        [[listen]]
        [[listen]]
        address = "localhost:2525"
        [smarthost]
        hosts = ["127.0.0.1:2525", "[::1]:25"]
        [retry]
        soft_bounce = ["x", "1m", "y"]
        [routes]
        "a.example" = "nowhere"
        "*" = "nowhere"
        "b.example" = "[::1]:2525"
        [redirect]
        to = "nobody"
        allow = ["example.org"]
        """)
    assert sorted(mistake.key for mistake in found) == [
        "fqdn",
        "listen[0].address",
        "listen[1].networks",
        "listen[1].tls",
        "redirect.to",
        "retry.soft_bounce[0]",
        "retry.soft_bounce[2]",
        'routes."*"',
        'routes."*"',
        'routes."a.example"',
        'routes."b.example"',
        "smarthost.hosts[0]",
        "use_remote_smtp",
        "workers",
        "wrong",
    ]


def test_a_mistake_brings_no_false_ones() -> None:
    """A default that stands in for a wrong value is not judged as if it had been written."""
    found = mistakes_in(
        FQDN + '[[listen]]\naddress = "x"\n[[listen]]\nadress = "192.0.2.1:25"\n[[listen]]\n'
        '[smarthost]\nusername = "app"\npassword = "x"\nhosts = ["y"]'
    )
    assert sorted(mistake.key for mistake in found) == [
        "listen[0].address",
        "listen[1].adress",
        "smarthost.hosts[0]",
        "smarthost.password",
    ]


def test_the_message_has_a_line_for_each_mistake() -> None:
    """The text of the error is what `relayd check` prints."""
    with pytest.raises(ConfigError) as caught:
        read('workers = 0\n[log]\nlevel = "x"')
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert any(line.startswith("relayd.toml: workers is 0: expected a whole") for line in lines)


# -- files


def test_a_file_is_read(tmp_path: Path) -> None:
    """`load` names the file in the settings."""
    file = tmp_path / "relayd.toml"
    file.write_text(FQDN)
    assert config.load(str(file)).file == str(file)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param(b"fqdn = \n", "line 1", id="no-value"),
        pytest.param(b'fqdn = "a"\nfqdn = "b"\n', "line 2", id="twice"),
        pytest.param(b"\n\nfqdn = '\xff'\n", "UTF-8 text (line 3)", id="not-utf8"),
        pytest.param(b"workers = " + b"9" * 5000, "not valid TOML", id="number-without-end"),
        pytest.param(b"x = " + b"[" * 100_000, "not valid TOML", id="nested-too-deep"),
        pytest.param(b"a\x00b = 1", "not valid TOML", id="nul"),
    ],
)
def test_an_unreadable_file_is_a_mistake(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    """Whatever is wrong with the file itself is one mistake without a key."""
    file = tmp_path / "relayd.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config.load(str(file))
    (mistake,) = caught.value.mistakes
    assert (mistake.file, mistake.key) == (str(file), "")
    assert expected in mistake.expected
    assert str(mistake).isprintable()


def test_a_directory_is_a_mistake(tmp_path: Path) -> None:
    """A directory in the place of the file is said to be one."""
    with pytest.raises(ConfigError, match="Is a directory"):
        config.load(str(tmp_path))


# -- secrets


def login_toml(secret: Path | str, extra: str = 'tls = "verify"') -> str:
    return (
        f'{FQDN}[smarthost]\nhosts = ["mail.example.org:587"]\nusername = "app"\n{extra}\n'
        f"password_file = {json.dumps(str(secret))}\n"
    )


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"], ids=["none", "lf", "crlf"])
def test_a_password_is_read_from_its_file(tmp_path: Path, ending: bytes) -> None:
    """One newline at the end is not part of the secret; the secret is in no repr."""
    secret = a_secret(tmp_path / "password", " pass wörd ".encode() + ending)
    found = read(login_toml(secret))
    assert found.smarthost.login is not None
    assert found.smarthost.login.secret == " pass wörd "
    assert found.smarthost.login.mechanism is AuthMechanism.AUTO
    assert "wörd" not in repr(found)


def test_a_token_is_read_for_xoauth2(tmp_path: Path) -> None:
    """XOAUTH2 takes the token file."""
    toml = login_toml(a_secret(tmp_path / "token"), 'tls = "verify"\nauth = "xoauth2"')
    found = read(toml.replace("password_file", "token_file"))
    assert found.smarthost.login is not None
    assert found.smarthost.login.mechanism is AuthMechanism.XOAUTH2


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        pytest.param(b"hunter2", 0o604, "mode 0604", id="readable-by-others"),
        pytest.param(b"hunter2", 0o602, "chmod o-rwx", id="writable-by-others"),
        pytest.param(b"", 0o600, "empty", id="empty"),
        pytest.param(b"\n", 0o600, "empty", id="only-a-newline"),
        pytest.param(b"hunter2\n\n", 0o600, "one line", id="two-newlines"),
        pytest.param(b"hunter2\rx", 0o600, "one line", id="cr"),
        pytest.param(b"hunter2\0", 0o600, "NUL", id="nul"),
        pytest.param(b"hunter2\xff", 0o600, "UTF-8", id="not-utf8"),
        pytest.param(b"hunter2" * 4000, 0o600, "at most", id="too-long"),
    ],
)
def test_a_bad_secret_file_is_refused(
    tmp_path: Path, content: bytes, mode: int, expected: str
) -> None:
    """A secret that others know, or that cannot be one, stops the start; it is never shown."""
    (mistake,) = mistakes_in(login_toml(a_secret(tmp_path / "password", content, mode)))
    assert mistake.key == "smarthost.password_file"
    assert expected in mistake.expected
    assert "hunter2" not in str(mistake)


def test_the_secret_of_a_client_of_oidc_is_read_by_the_daemon_alone(tmp_path: Path) -> None:
    """The console has no need of it, and may not be able to read it."""
    path = tmp_path / "relayd.toml"
    path.write_text(
        FQDN + '[console.oidc]\nissuer = "https://a.test"\nclient_id = "relayd"\n'
        'viewers = ["staff"]\nsecret_file = "secret"'
    )
    with pytest.raises(ConfigError, match=r"console\.oidc\.secret_file: there is no such file"):
        config.load(str(path))
    a_secret(tmp_path / "secret", b"hunter2\n", 0o600)
    for reads, secret in ((True, "hunter2"), (False, "")):
        oidc = config.load(str(path), with_secrets=reads).console.oidc
        assert oidc is not None
        assert oidc.secret == secret
        assert "hunter2" not in repr(oidc)


def test_a_secret_file_must_be_a_file(tmp_path: Path) -> None:
    """Neither a missing file nor a directory nor a FIFO holds anything up."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("missing", ".", "fifo", "n" * 5000):
        (mistake,) = mistakes_in(login_toml(tmp_path / name))
        assert mistake.key == "smarthost.password_file"


def test_a_missing_secret_says_where_it_was_looked_for(tmp_path: Path) -> None:
    """The name is not shown: it may be the secret itself, in the wrong place."""
    (mistake,) = mistakes_in(login_toml(tmp_path / "hunter2"))
    assert mistake.expected == "there is no such file"
    (mistake,) = mistakes_in(login_toml("hunter2"))
    assert mistake.expected.endswith("among the systemd credentials or beside the settings")


def test_credentials_of_systemd_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare name is a credential, whatever its mode, else a file beside the settings."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    file = tmp_path / "relayd.toml"
    file.write_text(login_toml("password"))
    a_secret(tmp_path / "password", b"beside")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    beside = config.load(str(file)).smarthost.login
    a_secret(credentials / "password", b"credential", 0o444)
    credential = config.load(str(file)).smarthost.login
    assert beside is not None
    assert credential is not None
    assert (beside.secret, credential.secret) == ("beside", "credential")


def test_credentials_do_not_excuse_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A world-readable file elsewhere is refused under systemd, too."""
    (tmp_path / "credentials").mkdir()
    tmp_path.chmod(0o755)  # nothing around it keeps others from it
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    secret = a_secret(tmp_path / "password", mode=0o644)
    assert "mode 0644" in str(mistakes_in(login_toml(secret))[0])
    outside = tmp_path / "credentials" / ".." / "password"
    assert "mode 0644" in str(mistakes_in(login_toml(outside))[0])


@pytest.mark.parametrize("tls", ["off", "opportunistic", "required"])
def test_no_password_over_unverified_tls(tmp_path: Path, tls: str) -> None:
    """A login needs tls = "verify", except to this machine itself."""
    toml = login_toml(a_secret(tmp_path / "password"), f'tls = "{tls}"')
    (mistake,) = mistakes_in(toml)
    assert mistake.key == "smarthost.tls"
    assert '"verify"' in mistake.expected
    assert read(toml.replace(f'"{tls}"', '"implicit"')).smarthost.login is not None
    mixed = toml.replace('["mail', '["localhost:25", "mail')
    assert mistakes_in(mixed)[0].key == "smarthost.tls"
    assert read(toml.replace("mail.example.org", "127.0.0.1")).smarthost.login is not None


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        pytest.param('password_file = "{}"', "username", id="password-without-username"),
        pytest.param(
            'token_file = "{}"\nauth = "xoauth2"', "username", id="token-without-username"
        ),
        pytest.param(
            'username = "a"\npassword_file = "{0}"\ntoken_file = "{0}"', "token_file", id="both"
        ),
        pytest.param(
            'username = "a"\nauth = "xoauth2"\npassword_file = "{0}"\ntoken_file = "{0}"',
            "password_file",
            id="both-for-xoauth2",
        ),
    ],
)
def test_a_login_must_be_whole(tmp_path: Path, lines: str, key: str) -> None:
    """Half a login, or one and a half, is a mistake."""
    secret = a_secret(tmp_path / "secret")
    (mistake,) = mistakes_in(FQDN + "[smarthost]\n" + lines.format(secret))
    assert mistake.key == f"smarthost.{key}"


@pytest.mark.parametrize(
    "toml",
    [
        '[smarthost]\npassword = "hunter2"',
        '[smarthost]\npassword_file = "hunter2"\nusername = "app"',
        '[smarthost]\npassword_file = ["hunter2"]',
        '[smarthost]\ntoken_file = "hunter2\\n"',
        'smarthost = "hunter2"',
        'secret = "hunter2"',
        '[smarthost]\nhosts = ["app:hunter2@mail.example.org:25"]',
        '[smarthost]\nhosts = ["smtp://app:hunter2@mail.example.org:25"]',
        '[store]\nurl = "postgresql://relayd:hunter2@db.example.org/relayd"',
        '[store]\nurl = "postgresql://relayd@db.example.org/relayd?password=hunter2"',
        '[store]\nurl = "postgres:password=hunter2"',
        '[tls]\nkey = "hunter2"',
        '[routes]\n"a.example.org" = "app:hunter2@192.0.2.1:25"',
        '[[listen]]\nnetworks = { password = "hunter2" }',
    ],
)
def test_secrets_are_never_shown(toml: str) -> None:
    """Not even a secret in the wrong place reaches the message, or an exception behind it."""
    with pytest.raises(ConfigError) as caught:
        read(FQDN + toml)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "value",
    ["x" * 5000, "a\nb\x1b[31m\u202e", ["x"] * 99, {"a": 1}, True, 1.5, 10**5000, "\u2028" * 200],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_shown_on_one_short_line(value: object) -> None:
    """Nothing that is written in the file can break the terminal or the log."""
    shown = show_value(value)
    assert len(shown) <= 60
    assert shown.isprintable()


# -- units


@given(st.lists(st.integers(0, 99), min_size=5, max_size=5).filter(any))
@settings(max_examples=50, deadline=None)
def test_durations_add_up(counts: list[int]) -> None:
    """A duration is the sum of its parts."""
    written = "".join(
        f"{count}{unit}" for count, unit in zip(counts, "wdhms", strict=True) if count
    )
    weeks, days, hours, minutes, seconds = counts
    assert units.duration(written) == timedelta(
        weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds
    )


@given(st.integers(1, int(units.LONGEST.total_seconds())))
@settings(max_examples=50, deadline=None)
def test_a_duration_survives_being_written(seconds: int) -> None:
    assert units.duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@given(st.integers(1, 512 * 10**6))
@settings(max_examples=50, deadline=None)
def test_a_size_survives_being_written(octets: int) -> None:
    assert units.size(1, 512 * 10**6)(units.format_size(octets)) == octets


@pytest.mark.parametrize(
    "written", ["1s", "90s", "15m", "1h30m", "36h", "5d", "90d", "35MB", "64KiB"]
)
def test_values_are_written_as_people_write_them(written: str) -> None:
    """But for what has a shorter way: 90 seconds are a minute and a half."""
    if written[-1] == "B":
        assert units.format_size(units.size(1, 10**9)(written)) == written
    else:
        again = format_duration(units.duration(written))
        assert again == {"90s": "1m30s"}.get(written, written)


@given(st.ip_addresses(), st.integers(1, 65535))
@settings(max_examples=50, deadline=None)
def test_an_address_survives_being_printed(host: object, port: int) -> None:
    """What a HostPort prints is read back as the same."""
    hop = HostPort(host=str(host), port=port)
    assert units.host_port(str(hop)) == hop


@given(st.text() | st.integers() | st.none() | st.lists(st.text()))
@settings(max_examples=150, deadline=None)
def test_readers_return_or_raise_value_error(value: object) -> None:
    """Whatever TOML holds, a reader has one way to refuse it."""
    readers = (
        units.duration, units.size(1, 10), units.whole(1, 10), units.word(TlsMode), units.fqdn,
        units.network, units.next_hop, units.listen_address, units.socket_path,
    )  # fmt: skip
    for reader in readers:
        with suppress(ValueError):
            reader(value)


@pytest.mark.parametrize("host", ["a" * 250, "a-" * 120, "a." * 126, "1." * 126, "a_" * 99 + "!"])
def test_host_names_are_read_in_linear_time(host: str) -> None:
    """No name makes the pattern try everything (the suite's time limit is the judge)."""
    try:
        units.host_port(f"{host}!:25")
    except ValueError:
        return
    pytest.fail("accepted")


# -- documents


def raw_leaves(table: Mapping[str, object], at: str = "") -> Iterator[str]:
    for name, value in table.items():
        match value:
            case dict() if value:
                yield from raw_leaves(value, f"{at}{name}.")
            case [dict() as first, *_]:
                yield from raw_leaves(first, f"{at}{name}.")
            case _:
                yield f"{at}{name}"


def test_the_example_file_shows_every_default() -> None:
    """`etc/relayd.toml`, uncommented, has exactly the keys and the defaults of the code."""
    written = (ROOT / "etc/relayd.toml").read_text()
    uncommented = tomllib.loads(re.sub(r"(?m)^# (?=[a-z_0-9]+ = )", "", written))
    assert sorted(raw_leaves(uncommented)) == sorted(DEFAULTS)
    found = {dotted(key): value for key, value in leaves(Document.model_validate(uncommented))}
    assert found == {**DEFAULTS, "fqdn": "relay.example.org"}
    config.from_mapping(uncommented)


def test_the_example_file_lacks_only_the_name() -> None:
    """As shipped, it asks for the one thing that it cannot know."""
    with pytest.raises(ConfigError) as caught:
        config.load(str(ROOT / "etc/relayd.toml"))
    assert [mistake.key for mistake in caught.value.mistakes] == ["fqdn"]


def test_every_key_of_the_example_file_is_explained() -> None:
    """A comment stands in front of each key, or of the group of keys it begins."""
    for block in (ROOT / "etc/relayd.toml").read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("[")]
        if any(re.match(r"# [a-z_0-9]+ = ", line) for line in lines):
            assert not re.match(r"# [a-z_]+ = ", lines[0]), block


def test_the_reference_has_every_key() -> None:
    """`docs/config.md` lists each key once, with the default of the code."""
    rows = re.findall(
        r"(?m)^\| `([a-z_.0-9]+)` \| ([^|]+) \| ([^|]+) \|[^|]*\|$",
        (ROOT / "docs/config.md").read_text(),
    )
    assert [name for name, *_ in rows] == list(DEFAULTS)
    for name, default, _meaning in rows:
        if name == "fqdn":
            continue
        parts = name.split(".")
        value = tomllib.loads(f"value = {default.strip('`')}")["value"]
        data: object = value
        for part in reversed(parts):
            data = {part: [data] if part == "listen" else data}
        assert isinstance(data, dict)
        document = Document.model_validate({"fqdn": "relay.example.org", **data})
        assert {dotted(key): found for key, found in leaves(document)}[name] == (DEFAULTS[name])


def test_what_bounced_need_not_be_kept(tmp_path: Path) -> None:
    found = load(tmp_path, 'fqdn = "relay.example.org"\n[store]\nkeep_bounced = "off"\n')
    assert found.store.keep_bounced == timedelta()
    assert dict(found.values)["store.keep_bounced"] == '"off"'

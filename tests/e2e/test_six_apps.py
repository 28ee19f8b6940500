"""Six applications, one relay, four accounts: each mail goes by its own, under the name that is allowed there.

| application                    | chosen by    | smarthost                                    |
|--------------------------------|--------------|----------------------------------------------|
| shop, logs in                  | its login    | `bulk`: TLS from the first octet, a password |
| orders, logs in as the shop    | recipient    | `default`: plain                             |
| printer, a listener of its own | its listener | `office`: OAuth2, one address only           |
| monitor, at the same listener  | its listener | `office`, with the null reverse-path         |
| newsletter                     | its sender   | `news`: so many messages a second            |
| cron                           | nothing      | `default`                                    |
"""

import base64
import smtplib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.accounts import write_users
from tests.support.background import Background
from tests.support.certificates import Authority
from tests.support.daemon import (
    CEILING,
    Daemon,
    SmarthostThread,
    a_daemon,
    a_smarthost,
    eventually,
)
from tests.support.ports import free_port
from tests.support.scripted_server import Action, InTurn, Script
from tests.support.token_server import TokenServer, granted

ISSUE = 20  # of the newsletter: mails
RATE = 10  # that its account takes in a second
PASSWORD = "letmein"
TOKEN = "the-token"

SETTINGS = """
[[listen]]
address = "127.0.0.1:{logins}"
auth = "required"
[[listen]]
address = "127.0.0.1:{printers}"
smarthost = "office"
[auth]
users_file = "{users}"

[smarthosts.bulk]
hosts = ["127.0.0.1:{bulk}"]
tls = "implicit"
username = "bulk-account"
password_file = "{password}"
set_headers = {{ X-Stream = "shop" }}

[smarthosts.office]
hosts = ["127.0.0.1:{office}"]
tls = "off"
username = "office@corp.test"
auth = "oauth2"
oauth2_token_url = "{token_url}"
oauth2_client_id = "id"
oauth2_client_secret_file = "{password}"
envelope_from = "office@corp.test"
header_from = "office@corp.test"

[smarthosts.news]
hosts = ["127.0.0.1:{news}"]
tls = "off"
messages_per_second = {rate}

[routes]
"partner.test" = "smarthost:default"
[logins.shop]
smarthost = "bulk"
[senders."news.corp.test"]
smarthost = "news"
envelope_from = "bounces@news.corp.test"
[senders."*.internal"]
envelope_domains = {{ "*.internal" = "corp.test" }}
header_domains = {{ "*.internal" = "corp.test" }}
"""


class Metered(InTurn):
    """Takes `RATE` messages in a second, some more at once, and says of others that this is too fast."""

    def __init__(self) -> None:
        self._left, self._at = float(RATE), time.monotonic()
        self.refused = 0

    def next(self) -> Action:
        now = time.monotonic()
        self._left = min(RATE, self._left + (now - self._at) * RATE)
        self._at = now
        if self._left < 1:
            self.refused += 1
            return "454 Throttling failure: Maximum sending rate exceeded."
        self._left -= 1
        return "250 2.0.0 ok"


def _plain(user: str, password: str) -> str:
    text = f"\0{user}\0{password}"
    return f"AUTH PLAIN {base64.b64encode(text.encode()).decode()}"


def _xoauth2(user: str, token: str) -> str:
    text = f"user={user}\1auth=Bearer {token}\1\1"
    return f"AUTH XOAUTH2 {base64.b64encode(text.encode()).decode()}"


class World:
    """The relay and its four smarthosts."""

    def __init__(
        self, daemon: Daemon, servers: Mapping[str, SmarthostThread], ports: Mapping[str, int]
    ) -> None:
        self.daemon, self.servers, self._ports = daemon, servers, ports

    def send(self, to: str, *, sender: str, author: str, through: str = "", user: str = "") -> None:
        content = f"From: The app <{author}>\r\nSubject: to {to}\r\n\r\nHello.\r\n"
        port = self._ports.get(through, self.daemon.port)
        with smtplib.SMTP("127.0.0.1", port, local_hostname="app.test", timeout=CEILING) as client:
            if user:
                client.login(user, PASSWORD)
            client.sendmail(sender, [to], content)

    def arrived(self) -> dict[str, tuple[str, str, str]]:
        """Return by recipient at which smarthost it arrived, with which sender, and which From."""
        found: dict[str, tuple[str, str, str]] = {}
        for name, server in self.servers.items():
            for message in server.messages:
                [to] = [each.partition("<")[2].partition(">")[0] for each in message.rcpts]
                assert to not in found, "it arrived once"
                sender = message.mail.partition("<")[2].partition(">")[0]
                author = message.content.partition(b"From: The app <")[2].partition(b">")[0]
                found[to] = name, sender, author.decode()
        return found

    def chosen_by(self) -> dict[str, str | None]:
        return {row["rcpt"]: row.get("chosen_by") for row in self.daemon.status()}

    def route(self, to: str, *facts: str) -> tuple[str, str]:
        [row] = self.daemon.run("route", "--json", to, *facts).rows
        return row["destination"], row["reason"]

    def listener(self, name: str) -> str:
        return f"127.0.0.1:{self._ports[name]}"


@pytest.fixture
def metered() -> Metered:
    return Metered()


@contextmanager
def the_world(folder: Path, authority: Authority, metered: Metered) -> Iterator[World]:
    context = authority.server_context("127.0.0.1")
    password = folder / "password"
    password.write_text("the password\n")
    password.chmod(0o600)
    logged_in: Script = {
        "EHLO": ["AUTH PLAIN"],
        "AUTH": "535 5.7.8 no",
        _plain("bulk-account", "the password"): "235 welcome",
    }
    with_token: Script = {
        "EHLO": ["AUTH XOAUTH2"],
        "AUTH": "535 5.7.8 no",
        _xoauth2("office@corp.test", TOKEN): "235 welcome",
        "MAIL": "550 5.7.60 SendAsDenied",
        "MAIL FROM:<office@corp.test>": "250 ok",
        "MAIL FROM:<>": "250 ok",
    }
    ports = {"logins": free_port(), "printers": free_port()}
    with (
        Background() as background,
        a_smarthost() as default,
        a_smarthost(logged_in, tls=context) as bulk,
        a_smarthost(with_token) as office,
        a_smarthost({"MAIL": metered}) as news,
    ):
        tokens = background.enter(TokenServer(context, [granted(TOKEN)]))
        servers = {"default": default, "bulk": bulk, "office": office, "news": news}
        more = SETTINGS.format(
            **ports,
            **{name: server.port for name, server in servers.items() if name != "default"},
            users=write_users(folder / "users", ("shop", PASSWORD, "")),
            password=password,
            token_url=tokens.url,
            rate=RATE,
        )
        with a_daemon(folder, default.port, more=more) as daemon:
            yield World(daemon, servers, ports)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metered: Metered) -> Iterator[World]:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)
    with the_world(tmp_path, authority, metered) as world:
        yield world


READERS = [f"reader{number}@x.test" for number in range(ISSUE)]


def _all_send(world: World) -> None:
    shop, scanner = "shop@corp.test", "scanner@corp.test"
    weekly, cron = "weekly@news.corp.test", "root@db1.internal"
    world.send("shop@x.test", sender=shop, author=shop, through="logins", user="shop")
    world.send("orders@partner.test", sender=shop, author=shop, through="logins", user="shop")
    world.send("printer@x.test", sender=scanner, author=scanner, through="printers")
    world.send("monitor@x.test", sender="", author="monitor@corp.test", through="printers")
    for reader in READERS:
        world.send(reader, sender=weekly, author=weekly)
    world.send("cron@x.test", sender=cron, author=cron)


def test_each_mail_arrives_at_its_smarthost_with_the_sender_that_is_right_there(
    world: World, metered: Metered
) -> None:
    """And its row and `relayd route` name the entry of the settings that chose."""
    _all_send(world)
    eventually(
        lambda: set(world.daemon.statuses().values()) == {"relayed"}, "all is relayed", within=40
    )
    news = ("news", "bounces@news.corp.test", "weekly@news.corp.test")
    assert world.arrived() == {
        "shop@x.test": ("bulk", "shop@corp.test", "shop@corp.test"),
        "orders@partner.test": ("default", "shop@corp.test", "shop@corp.test"),
        "printer@x.test": ("office", "office@corp.test", "office@corp.test"),
        "monitor@x.test": ("office", "", "monitor@corp.test"),
        "cron@x.test": ("default", "root@corp.test", "root@corp.test"),
        **dict.fromkeys(READERS, news),
    }
    assert not metered.refused
    assert all(message.tls for message in world.servers["bulk"].messages)
    assert b"\r\nX-Stream: shop\r\n" in world.servers["bulk"].messages[0].content
    printers, news_rule = world.listener("printers"), '[senders] "news.corp.test"'
    assert world.chosen_by() == {
        "shop@x.test": '[logins] "shop"',
        "orders@partner.test": '[routes] "partner.test"',
        "printer@x.test": f'[[listen]] "{printers}"',
        "monitor@x.test": f'[[listen]] "{printers}"',
        "cron@x.test": None,
        **dict.fromkeys(READERS, news_rule),
    }
    by_login = ("--user", "shop", "--sender", "shop@corp.test")
    assert world.route("a@x.test", *by_login) == ("smarthost:bulk", '[logins] "shop"')
    partner = '[routes] "partner.test"'
    assert world.route("a@partner.test", *by_login) == ("smarthost", partner)
    at_printers = ("smarthost:office", f'[[listen]] "{printers}"')
    assert world.route("a@x.test", "--listener", printers) == at_printers
    weekly = ("--sender", "weekly@news.corp.test")
    assert world.route("a@x.test", *weekly) == ("smarthost:news", news_rule)

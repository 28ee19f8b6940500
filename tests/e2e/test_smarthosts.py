"""Several smarthosts: each message goes by the one that its recipient, login, listener or sender chooses."""

import signal
import smtplib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.accounts import write_users
from tests.support.daemon import (
    CEILING,
    CONTENT,
    Daemon,
    SmarthostThread,
    a_daemon,
    a_smarthost,
    eventually,
)
from tests.support.ports import free_port
from tests.support.scripted_server import Script

PASSWORD = "letmein"
NAMES = ("default", "recipient", "login", "listener", "sender")
CHOICE = """
[routes]
"partner.test" = "smarthost:recipient"
[logins.shop]
smarthost = "login"
[senders."boss@news.test"]
smarthost = "default"
[senders."news.test"]
smarthost = "sender"
"""


@contextmanager
def smarthosts(**scripts: Script) -> Iterator[Mapping[str, SmarthostThread]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(a_smarthost(scripts.get(name, {}))) for name in NAMES}


def tables(servers: Mapping[str, SmarthostThread], *, but: str = "") -> str:
    """Describe all smarthosts but the default, and one more."""
    return "".join(
        f'[smarthosts.{name}]\nhosts = ["127.0.0.1:{server.port}"]\ntls = "off"\n'
        for name, server in servers.items()
        if name not in ("default", but)
    )


class Listeners:
    """One that names a smarthost, and one that takes logins."""

    def __init__(self, folder: Path) -> None:
        self.plain, self.logins = free_port(), free_port()
        users = write_users(folder / "users", ("shop", PASSWORD, ""))
        self.settings = (
            f'[[listen]]\naddress = "127.0.0.1:{self.plain}"\nsmarthost = "listener"\n'
            f'[[listen]]\naddress = "127.0.0.1:{self.logins}"\nauth = "optional"\n'
            f'smarthost = "listener"\n[auth]\nusers_file = "{users}"\n'
        )


def submit(port: int, to: str, *, sender: str, user: str = "", content: str = CONTENT) -> None:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="app.test", timeout=CEILING) as client:
        if user:
            client.login(user, PASSWORD)
        client.sendmail(sender, [to], content)


def reason(daemon: Daemon, *arguments: str) -> tuple[str, str]:
    [row] = daemon.run("route", "--json", *arguments).rows
    return row["destination"], row["reason"]


def row_of(daemon: Daemon, recipient: str) -> str:
    [row] = daemon.status("--recipient", recipient)
    return str(row["queue_id"])


def test_each_message_arrives_at_the_smarthost_that_is_chosen_for_it(tmp_path: Path) -> None:
    listeners = Listeners(tmp_path)
    with (
        smarthosts() as servers,
        a_daemon(
            tmp_path,
            servers["default"].port,
            more=listeners.settings + tables(servers) + CHOICE,
        ) as daemon,
    ):
        port, by_listener, by_login = daemon.port, listeners.plain, listeners.logins
        submit(port, "default@x.test", sender="app@app.test")
        submit(port, "boss@x.test", sender="boss@news.test")
        submit(port, "sender@x.test", sender="app@NEWS.test")
        submit(by_listener, "listener@x.test", sender="app@news.test")
        submit(by_login, "login@x.test", sender="app@news.test", user="shop")
        submit(by_login, "no.login@x.test", sender="app@news.test")
        submit(by_login, "recipient@partner.test", sender="app@news.test", user="shop")
        test_mail = f"X-Relayd-Test: yes\r\n{CONTENT}"
        submit(
            by_login, "test@partner.test", sender="app@news.test", user="shop", content=test_mail
        )
        eventually(lambda: set(daemon.statuses().values()) == {"relayed"}, "all are relayed")
        assert {name: sorted(server.rcpts) for name, server in servers.items()} == {
            "default": ["boss@x.test", "default@x.test", "test@partner.test"],
            "recipient": ["recipient@partner.test"],
            "login": ["login@x.test"],
            "listener": ["listener@x.test", "no.login@x.test"],
            "sender": ["sender@x.test"],
        }
        went = {row["rcpt"]: row["destination"] for row in daemon.status()}
        assert (went["default@x.test"], went["login@x.test"]) == ("smarthost", "smarthost:login")
        chose = {row["rcpt"]: row.get("chosen_by") for row in daemon.status()}
        assert (chose["default@x.test"], chose["login@x.test"]) == (None, '[logins] "shop"')
        shown = daemon.run("status", "show", row_of(daemon, "sender@x.test")).out
        assert 'Goes to      smarthost:sender, by [senders] "news.test"' in shown
        assert 'way chosen by [senders] "news.test"' in " ".join(shown.split())
        assert len(daemon.status("--destination", "smarthost:listener")) == 2
        assert reason(daemon, "a@partner.test", "--user", "shop") == (
            "smarthost:recipient",
            '[routes] "partner.test"',
        )
        assert reason(daemon, "a@x.test", "--user", "shop", "--sender", "a@news.test") == (
            "smarthost:login",
            '[logins] "shop"',
        )
        assert reason(daemon, "a@x.test", "--listener", f"127.0.0.1:{by_listener}") == (
            "smarthost:listener",
            f'[[listen]] "127.0.0.1:{by_listener}"',
        )
        assert reason(daemon, "a@x.test", "--sender", "a@news.test") == (
            "smarthost:sender",
            '[senders] "news.test"',
        )
        unknown = daemon.run("route", "a@x.test", "--listener", "127.0.0.1:1")
        assert (unknown.status, "is no listener of the settings" in unknown.err) == (64, True)
        assert reason(daemon, "a@x.test") == ("smarthost", "use_remote_smtp = false")


def test_a_test_mail_goes_by_the_smarthost_that_it_names(tmp_path: Path) -> None:
    """Whatever else would choose; but a client that has logged in keeps to its own."""
    listeners = Listeners(tmp_path)
    with (
        smarthosts() as servers,
        a_daemon(
            tmp_path,
            servers["default"].port,
            more=listeners.settings + tables(servers) + CHOICE,
        ) as daemon,
    ):
        ran = daemon.run("test-mail", "a@partner.test", "--via", "sender", "--json")
        assert ran.status == 0, ran.err
        [row] = ran.rows
        assert row["destination"] == "smarthost:sender"
        assert servers["sender"].rcpts == ["a@partner.test"]
        assert daemon.run("test-mail", "b@partner.test").status == 0
        assert servers["default"].rcpts == ["b@partner.test"]
        wrong = daemon.run("test-mail", "a@partner.test", "--via", "sendr")
        assert (wrong.status, "there is no [smarthosts.sendr]" in wrong.err) == (64, True)
        header = f"X-Relayd-Test: smarthost:sender\r\n{CONTENT}"
        submit(listeners.logins, "c@x.test", sender="a@x.test", user="shop", content=header)
        servers["default"].received(2)
        assert servers["default"].rcpts == ["b@partner.test", "c@x.test"]


def test_a_reload_moves_what_waits(tmp_path: Path) -> None:
    """Its smarthost is gone from the settings, or another one is named: the next attempt goes there."""
    listeners = Listeners(tmp_path)
    later: Script = {"MAIL": "451 4.3.0 later"}
    with (
        smarthosts(sender=later, login=later) as servers,
        a_daemon(
            tmp_path,
            servers["default"].port,
            more=listeners.settings + tables(servers) + CHOICE,
        ) as daemon,
    ):
        submit(daemon.port, "sender@x.test", sender="app@news.test")
        submit(listeners.logins, "login@x.test", sender="app@app.test", user="shop")
        eventually(
            lambda: {row.attempts > 0 for row in daemon.rows()} == {True}, "both were tried once"
        )
        changed = CHOICE.replace('"sender"', '"recipient"').replace("[logins.shop]", "[logins.bob]")
        changed = changed.replace('"login"', '"sender"')
        daemon.write(more=listeners.settings + tables(servers, but="login") + changed)
        daemon.signal(signal.SIGHUP)
        eventually(lambda: set(daemon.statuses().values()) == {"relayed"}, "both are relayed")
        assert servers["recipient"].rcpts == ["sender@x.test"]
        assert servers["listener"].rcpts == ["login@x.test"]
        rows = {row["rcpt"]: row["destination"] for row in daemon.status()}
        chose = {row["rcpt"]: row.get("chosen_by") for row in daemon.status()}
        assert chose["sender@x.test"] == '[senders] "news.test"'
        assert chose["login@x.test"] == f'[[listen]] "127.0.0.1:{listeners.logins}"'
        assert rows == {
            "sender@x.test": "smarthost:recipient",
            "login@x.test": "smarthost:listener",
        }


def test_a_refused_login_stops_no_mail_but_its_own(tmp_path: Path) -> None:
    """And goes out soon after the password there has changed."""
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    right = "AUTH PLAIN AG5ld3MAcmlnaHQ="  # news, right
    script: Script = {"EHLO": ["AUTH PLAIN"], "AUTH": "535 5.7.8 no", right: "235 welcome"}
    with smarthosts(sender=script) as servers:
        more = tables(servers).replace(
            "[smarthosts.sender]\n",
            f'[smarthosts.sender]\nusername = "news"\npassword_file = "{secret}"\n',
        )
        listeners = Listeners(tmp_path)
        with a_daemon(
            tmp_path, servers["default"].port, more=listeners.settings + more + CHOICE
        ) as daemon:
            submit(daemon.port, "waits@x.test", sender="app@news.test")
            [refused] = eventually(lambda: daemon.events("login_refused"), "the login is refused")
            assert refused["destination"] == "smarthost:sender"
            submit(daemon.port, "goes@x.test", sender="app@app.test")
            servers["default"].received(1)
            told = daemon.run("status")
            assert "set smarthosts.sender.username and its password right" in told.err + told.out
            (tmp_path / "fresh").write_text("right\n")
            (tmp_path / "fresh").chmod(0o600)
            (tmp_path / "fresh").replace(secret)
            assert servers["sender"].received(1)[0].rcpts == ("TO:<waits@x.test>",)
            [changed, *_] = daemon.events("login_changed")
            assert changed["destination"] == "smarthost:sender"


@pytest.mark.parametrize("way", ["ehlo", "source_address"])
def test_who_we_are_there_is_said_for_each(tmp_path: Path, way: str) -> None:
    value = {"ehlo": "news.example.org", "source_address": "127.0.0.9"}[way]
    with smarthosts() as servers:
        more = tables(servers).replace(
            "[smarthosts.sender]\n", f'[smarthosts.sender]\n{way} = "{value}"\n'
        )
        with a_daemon(
            tmp_path, servers["default"].port, more=Listeners(tmp_path).settings + more + CHOICE
        ) as daemon:
            submit(daemon.port, "a@x.test", sender="app@news.test")
            submit(daemon.port, "b@x.test", sender="app@app.test")
            for name in ("sender", "default"):
                servers[name].received(1)
            field = {"ehlo": "helo", "source_address": "local_ip"}[way]

            def seen() -> dict[str, str]:
                relayed = [one for one in daemon.log_lines() if one["event"] == "relayed"]
                return {one["rcpt"]: one[field] for one in relayed}

            eventually(lambda: len(seen()) == 2, "both are in the log")
            assert seen()["a@x.test"] == value
            assert seen()["b@x.test"] != value

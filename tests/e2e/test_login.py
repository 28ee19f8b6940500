"""Clients that log in to `relayd serve`: from the command that makes the user to the trace header."""

import os
import shutil
import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.daemon import CEILING, Daemon, SmarthostThread, a_smarthost, eventually
from tests.support.ports import free_port

_MORE = """\
[log]
level = "debug"
format = "json"
[tls]
certificate = "certificate.pem"
key = "key.pem"
[[listen]]
address = "127.0.0.1:{plain}"
auth = "required"
[[listen]]
address = "127.0.0.1:{starttls}"
tls = "starttls"
auth = "required"
[[listen]]
address = "127.0.0.1:{implicit}"
tls = "implicit"
auth = "optional"
networks = []
"""
WAYS = ("plain", "starttls", "implicit")


class LoginDaemon(Daemon):
    """Has a listener for each way to log in."""

    ports: dict[str, int]
    authority: Authority

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority.cafile)

    def connected(self, way: str) -> smtplib.SMTP:
        name = "app.test"
        if way == "implicit":
            return smtplib.SMTP_SSL(
                "localhost", self.ports[way], name, context=self.context(), timeout=CEILING
            )
        client = smtplib.SMTP("localhost", self.ports[way], name, timeout=CEILING)
        if way == "starttls":
            client.starttls(context=self.context())
        return client


@pytest.fixture(scope="module")
def smarthost() -> Iterator[SmarthostThread]:
    with a_smarthost() as smarthost:
        yield smarthost


@pytest.fixture(scope="module")
def daemon(
    smarthost: SmarthostThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LoginDaemon]:
    folder = tmp_path_factory.mktemp("relayd")
    daemon = LoginDaemon(folder, smarthost.port, workers=1)
    daemon.authority = Authority(folder)
    daemon.authority.write_pair(folder, "localhost")
    daemon.ports = {way: free_port() for way in WAYS}
    text = daemon.file.read_text().replace('[log]\nformat = "json"\n', "")
    daemon.file.write_text(text + _MORE.format(**daemon.ports))
    try:
        assert daemon.run("check").status == os.EX_CONFIG, "there is no user yet"
        assert daemon.run("user", "add", "app", typed="hunter2\n").status == 0
        shop = ("shop", "--senders", "@shop.test")
        assert daemon.run("user", "add", *shop, typed="sesame\n").status == 0
        assert daemon.run("check").status == 0
        daemon.up()
        yield daemon
        with daemon.connected("plain") as client, pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(
                "app", "hunter22"
            )  # not every process that runs some of these had a failure
        assert daemon.stop() == 0
        assert daemon.events("login_failed")
        logs = daemon.log.read_text() + daemon.status_log.read_text()
        assert not [word for word in ("hunter2", "aHVudGVyMg", "sesame") if word in logs]
    finally:
        daemon.close()


def relayed(daemon: Daemon, smarthost: SmarthostThread, address: str) -> bytes:
    """Wait until the mail is out; return its content."""
    eventually(lambda: daemon.statuses().get(address) == "relayed", f"{address} is relayed")
    [content] = [
        message.content
        for message in smarthost.messages
        if any(f"<{address}>" in rcpt for rcpt in message.rcpts)
    ]
    return content


@pytest.mark.parametrize("way", WAYS)
def test_mail_from_smtplib(daemon: LoginDaemon, smarthost: SmarthostThread, way: str) -> None:
    address = f"{way}@x.test"
    with daemon.connected(way) as client:
        client.ehlo()
        with pytest.raises((smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused)):
            client.sendmail("app@app.test", [address], "Subject: x\r\n\r\n")
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
            client.login(f"nobody-{way}", "hunter2")
        assert caught.value.smtp_code == 535
    for mechanism in ("auth_plain", "auth_login"):
        with daemon.connected(way) as client:
            client.ehlo()
            client.user, client.password = "app", "hunter2"
            name = mechanism.removeprefix("auth_").upper()
            assert client.auth(name, getattr(client, mechanism))[0] == 235
            if mechanism == "auth_plain":
                client.sendmail("app@app.test", [address], "Subject: x\r\n\r\n")
    content = relayed(daemon, smarthost, address)
    protocol = b"ESMTPA" if way == "plain" else b"ESMTPSA"
    assert b"(relayd) with " + protocol + b" id" in content
    [row] = daemon.status("--recipient", address)
    assert row["auth_user"] == "app"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("way", WAYS)
def test_mail_from_swaks(
    daemon: LoginDaemon, smarthost: SmarthostThread, way: str, mechanism: str
) -> None:
    swaks = shutil.which("swaks")
    if swaks is None:
        pytest.skip("swaks is not installed")
    address = f"swaks-{way}-{mechanism.lower()}@x.test"
    tls = {"plain": [], "starttls": ["--tls"], "implicit": ["--tls-on-connect"]}[way]
    command = [swaks, "--server", "127.0.0.1", "--port", str(daemon.ports[way]), *tls]
    login = ["--auth", mechanism, "--auth-user", "shop", "--auth-password", "sesame"]
    for sender, status in (("a@shop.test", 0), ("a@app.test", 23)):
        done = subprocess.run(
            [*command, *login, "--from", sender, "--to", address],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
    relayed(daemon, smarthost, address)


def test_users_come_and_go_in_a_running_daemon(daemon: LoginDaemon) -> None:
    def may_log_in() -> bool:
        with daemon.connected("plain") as client:
            try:
                client.login("late", "first")
            except smtplib.SMTPAuthenticationError:
                return False
            return True

    assert not may_log_in()
    assert daemon.run("user", "add", "late", typed="first\n").status == 0
    eventually(may_log_in, "the new user logs in")
    with daemon.connected("plain") as client:
        client.login("late", "first")
        assert daemon.run("user", "remove", "late").status == 0
        eventually(lambda: client.docmd("RSET")[0] and _is_out(client), "its session ends")
    assert daemon.events("users_loaded")


def _is_out(client: smtplib.SMTP) -> bool:
    code, _ = client.mail("a@x.test")
    return code == 421


def test_a_failure_names_the_client(daemon: LoginDaemon) -> None:
    with daemon.connected("starttls") as client, pytest.raises(smtplib.SMTPAuthenticationError):
        client.login("shop", "wrong")
    eventually(
        lambda: [one for one in daemon.events("login_failed") if one["auth_user"] == "shop"],
        "a line in the log",
    )


def test_a_broken_users_file_stops_a_start_and_changes_nothing_else(
    daemon: LoginDaemon, tmp_path: Path
) -> None:
    file = tmp_path / "relayd.toml"
    file.write_text(daemon.file.read_text())
    for name in ("certificate.pem", "key.pem"):
        shutil.copy(daemon.folder / name, tmp_path)
    (tmp_path / "users").write_text("app hunter2\n")
    (tmp_path / "users").chmod(0o600)
    other = Daemon.__new__(Daemon)
    other.file = file
    for command in ("check", "serve"):
        ran = other.run(command)
        assert ran.status == os.EX_CONFIG
        [line] = [line for line in ran.err.splitlines() if not line.startswith("{")]
        assert "auth.users_file" in line
        assert "hunter2" not in line


def test_no_password_in_clear_text_from_outside(daemon: LoginDaemon) -> None:
    text = daemon.file.read_text()
    outside = text.replace(f"127.0.0.1:{daemon.ports['plain']}", "0.0.0.0:587")
    assert outside != text
    daemon.file.write_text(outside)
    try:
        ran = daemon.run("check")
        assert ran.status == os.EX_CONFIG
        assert 'expected "starttls" or "implicit"' in ran.err
    finally:
        daemon.file.write_text(text)

"""`relayd import`: six set-ups of other mail programs come over, and mail flows as it did.

One relay serves all of them: each is imported over the one before, and reloaded. The smarthost wants TLS and a login.
"""

import base64
import os
import shutil
import smtplib
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import relayd_process
from tests.support.background import Background
from tests.support.certificates import Authority
from tests.support.daemon import CEILING, eventually
from tests.support.imports import ALL, FQDN, PASSWORD, SetUp
from tests.support.ports import free_port
from tests.support.scripted_server import ScriptedServer

CONTENT = "From: {sender}\r\nTo: you@customer.example\r\nSubject: Hello\r\n\r\nHello.\r\n"


@dataclass(slots=True)
class Site:
    """A machine that moves from one program to relayd, and its smarthost."""

    folder: Path
    host: str
    server: ScriptedServer
    cafile: str
    environment: Mapping[str, str]

    @property
    def settings(self) -> Path:
        return self.folder / "relayd" / "relayd.toml"

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return relayd_process.run(
            "-c", str(self.settings), *arguments, env=self.environment, timeout=CEILING
        )

    def laid_out(self, set_up: SetUp, name: str) -> Path:
        """Write the files of the other program; return what is imported."""
        folder = self.folder / name.replace(" ", "-")
        stand_for = {
            "host": self.host,
            "port": self.server.port,
            "folder": folder,
            "cafile": self.cafile,
        }
        for file, text in set_up.files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text.format(**stand_for))
        return folder / set_up.path

    def sent(self, sender: str) -> tuple[str, bytes, str]:
        """Send a message as `sender`; return what the smarthost was given: MAIL FROM, the content, the login."""
        seen, logins = len(self.server.messages), len(self.server.dialog)
        port = int(self.environment["RELAYD_LISTEN__0__ADDRESS"].rpartition(":")[2])
        with smtplib.SMTP("127.0.0.1", port, timeout=CEILING) as client:
            client.sendmail(sender, ["you@customer.example"], CONTENT.format(sender=sender))
        eventually(lambda: len(self.server.messages) > seen, "the smarthost has the message")
        message = self.server.messages[-1]
        assert message.tls
        plain = [
            each for each in self.server.dialog[logins:] if each.upper().startswith("AUTH PLAIN")
        ]
        return message.mail, message.content, plain[-1].split()[-1] if plain else ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    host = socket.gethostname().lower()
    try:
        if not socket.gethostbyname(host).startswith("127."):
            pytest.skip("the name of this machine leads to the network")
    except OSError:
        pytest.skip("the name of this machine leads nowhere")
    authority = Authority(folder)
    script = {"EHLO": ["STARTTLS", "AUTH PLAIN"], "AUTH": "535 5.7.8 no"}
    script |= {f"AUTH PLAIN {plain(user)}": "235 welcome" for user in ("shop", "letter")}
    environment = {
        **os.environ,
        "SSL_CERT_FILE": authority.cafile,
        "RELAYD_WORKERS": "1",
        "RELAYD_LISTEN__0__ADDRESS": f"127.0.0.1:{free_port()}",
    }
    with Background() as background:
        server = background.enter(ScriptedServer(script, tls=authority.server_context(host)))  # type: ignore[arg-type]
        yield Site(folder, host, server, authority.cafile, environment)


def plain(user: str) -> str:
    return base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def relay(site: Site) -> Iterator[Site]:
    """The relay runs with settings that were imported."""
    imported = site.run("import", "nullmailer", str(site.laid_out(ALL["nullmailer"], "first")))
    assert imported.returncode == 0, imported.stderr
    log = site.folder / "log"
    with log.open("wb") as out:
        daemon = relayd_process.start(
            "-c", str(site.settings), "serve", stdout=out, stderr=out, env=site.environment
        )
    eventually(lambda: b"started" in log.read_bytes() or daemon.poll() is not None, "it is up")
    assert daemon.poll() is None, log.read_text()
    yield site
    daemon.send_signal(15)
    daemon.wait(CEILING)


@pytest.mark.parametrize("name", ALL)
def test_it_comes_over_and_mail_flows(relay: Site, name: str) -> None:
    """Settings that pass `relayd check`, no secret printed, and the smarthost is given what it was given before."""
    set_up = ALL[name]
    place = relay.laid_out(set_up, name)
    imported = relay.run("import", set_up.kind, str(place), "--force")
    assert imported.returncode == 0, imported.stderr
    assert PASSWORD not in imported.stdout + imported.stderr
    checked = relay.run("check")
    assert checked.returncode == 0, checked.stderr
    assert f"fqdn       {FQDN}" in checked.stdout
    assert relay.run("reload").returncode == 0
    mail, content, login = relay.sent(set_up.sender)
    assert mail.startswith(f"FROM:<{set_up.given}>")
    assert f"From: {set_up.given}\r\n".encode() in content
    assert login == plain(set_up.user)


def test_a_dry_run_writes_nothing(site: Site) -> None:
    """Neither files nor secrets; and what is there is not replaced."""
    place = site.laid_out(ALL["postfix"], "dry")
    ours = site.settings.parent
    before = {file: file.read_bytes() for file in [*ours.glob("*.toml"), *ours.glob("*-password")]}
    ran = site.run("import", "postfix", str(place), "--dry-run")
    assert ran.returncode == 0, ran.stderr
    assert 'password_file = "smarthost-password"' in ran.stdout
    assert PASSWORD not in ran.stdout + ran.stderr
    after = {file: file.read_bytes() for file in [*ours.glob("*.toml"), *ours.glob("*-password")]}
    assert after == before


def test_settings_that_are_there_stay(relay: Site) -> None:
    before = relay.settings.read_text()
    ran = relay.run("import", "postfix", str(relay.laid_out(ALL["postfix"], "again")))
    assert ran.returncode == os.EX_CONFIG
    assert "--force" in ran.stderr
    assert relay.settings.read_text() == before


def test_nothing_to_read_is_told(site: Site) -> None:
    ran = site.run("import", "ssmtp", "/nonexistent", "--dry-run")
    assert (ran.returncode, len(ran.stderr.splitlines())) == (os.EX_NOINPUT, 1)
    assert site.run("import", "ssmtp", "-").returncode == os.EX_USAGE


def test_what_names_no_server_becomes_no_settings(site: Site, tmp_path: Path) -> None:
    """Neither a file nor a dry run: mail would leave by another way than before."""
    (tmp_path / "remotes").write_text("far.example qmqp\n")
    settings = tmp_path / "ours" / "relayd.toml"
    for more in ([], ["--dry-run"]):
        ran = site.run(
            "-c", str(settings), "import", "nullmailer", str(tmp_path), "--fqdn", FQDN, *more
        )
        assert (ran.returncode, ran.stdout) == (os.EX_CONFIG, ""), ran.stderr
        assert "relayd speaks no qmqp" in ran.stderr
        assert "they name no server" in ran.stderr
    assert not settings.parent.exists()
    assert site.run("import", "ssmtp", str(tmp_path)).returncode == os.EX_CONFIG  # ours are there
    ran = site.run("import", "ssmtp", str(tmp_path), "--dry-run")
    assert ran.returncode == os.EX_NOINPUT
    assert "ssmtp.conf" in ran.stderr


def test_msmtp_itself_gave_the_smarthost_the_same(relay: Site) -> None:
    """The real program, with the same file: the same sender, the same login."""
    msmtp = shutil.which("msmtp")
    if msmtp is None:
        pytest.skip("msmtp is not installed")
    place = relay.laid_out(ALL["msmtp"], "real")
    seen, said = len(relay.server.messages), len(relay.server.dialog)
    command = [msmtp, f"--file={place}", "you@customer.example"]
    done = subprocess.run(
        command,
        input=b"Subject: Hello\n\nHello.\n",
        capture_output=True,
        check=False,
        timeout=CEILING,
    )
    assert done.returncode == 0, done.stderr
    assert len(relay.server.messages) == seen + 1
    assert relay.server.messages[-1].mail.startswith(f"FROM:<{ALL['msmtp'].given}>")
    assert any(plain("shop") in each for each in relay.server.dialog[said:])

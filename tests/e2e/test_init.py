"""`relayd init`: what it is told is tried, written, and mail flows; what does not work is not written."""

import base64
import os
import pty
import socket
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support import relayd_process
from tests.support.background import Background
from tests.support.certificates import Authority, untrusted_context
from tests.support.daemon import CEILING, ROOT, eventually
from tests.support.ports import free_port
from tests.support.scripted_server import ScriptedServer

PASSWORD = "correct horse battery"
PLAIN = base64.b64encode(f"\0app\0{PASSWORD}".encode()).decode()


@pytest.fixture
def host() -> str:
    """A name of this machine that is not `localhost`, so that certificates count."""
    name = socket.gethostname().lower()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        pytest.skip("the name of this machine leads nowhere")
    if not address.startswith("127."):
        pytest.skip("the name of this machine leads to the network")
    return name


@pytest.fixture
def background() -> Iterator[Background]:
    with Background() as running:
        yield running


def a_server(background: Background, context: object, **script: object) -> ScriptedServer:
    logins = {
        "EHLO": ["PIPELINING", "STARTTLS", "AUTH PLAIN"],
        f"AUTH PLAIN {PLAIN}": "235 welcome",
        "AUTH": "535 5.7.8 no",
    }
    return background.enter(ScriptedServer(logins | script, tls=context, host="127.0.0.1"))  # type: ignore[arg-type]


def init(
    folder: Path, environment: Mapping[str, str], *arguments: str, typed: str = ""
) -> "subprocess.CompletedProcess[str]":
    settings = str(folder / "relayd.toml")
    return relayd_process.run(
        "-c", settings, "init", *arguments, typed=typed, env=environment, timeout=CEILING
    )


def login_at(host: str, port: int) -> list[str]:
    """Options for a smarthost with a login, whose password is typed."""
    told = ["--fqdn", "relay.example.org", "--smarthost", f"{host}:{port}"]
    return [*told, "--username", "app", "--password-file", "-"]


def test_what_is_told_is_tried_and_mail_flows(
    tmp_path: Path, host: str, background: Background
) -> None:
    """From nothing to a test mail that has arrived: with TLS that proves the name, and a login."""
    authority = Authority(tmp_path)
    server = a_server(background, authority.server_context(host))
    environment = {
        **os.environ,
        "SSL_CERT_FILE": authority.cafile,
        "RELAYD_LISTEN__0__ADDRESS": f"127.0.0.1:{free_port()}",
    }
    folder = tmp_path / "relayd"
    done = init(folder, environment, *login_at(host, server.port), typed=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    assert "takes our login with TLS" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    settings, secret = folder / "relayd.toml", folder / "smarthost-password"
    assert tomllib.loads(settings.read_text())["smarthost"]["tls"] == "verify"
    assert secret.read_text() == f"{PASSWORD}\n"
    for file in (settings, secret):
        assert not stat.S_IMODE(file.stat().st_mode) & 0o007
    checked = relayd_process.run("-c", str(settings), "check", env=environment, timeout=CEILING)
    assert checked.returncode == 0, checked.stderr
    with (tmp_path / "log").open("wb") as log:
        daemon = relayd_process.start(
            "-c", str(settings), "serve", stdout=log, stderr=log, env=environment
        )
    try:
        eventually(lambda: b"started" in (tmp_path / "log").read_bytes(), "the relay takes mail")
        sent = relayd_process.run(
            "-c", str(settings), "test-mail", "you@example.org", env=environment, timeout=CEILING
        )
        assert sent.returncode == 0, sent.stderr
    finally:
        daemon.send_signal(15)
        daemon.wait(CEILING)
    (message,) = server.messages
    assert message.tls


def test_a_wrong_password_is_tried_once_and_nothing_is_written(
    tmp_path: Path, host: str, background: Background
) -> None:
    authority = Authority(tmp_path)
    server = a_server(background, authority.server_context(host))
    environment = {**os.environ, "SSL_CERT_FILE": authority.cafile}
    folder = tmp_path / "relayd"
    done = init(folder, environment, *login_at(host, server.port), typed="wrong one\n")
    assert done.returncode == os.EX_UNAVAILABLE
    assert "refuses our login" in done.stderr
    assert "nothing is written" in done.stderr
    assert "wrong one" not in done.stdout + done.stderr
    assert not folder.exists()
    assert sum(each.upper().startswith("AUTH") for each in server.dialog) == 1


def test_a_password_goes_to_nobody_who_proves_no_name(
    tmp_path: Path, host: str, background: Background
) -> None:
    server = a_server(background, untrusted_context(host))
    folder = tmp_path / "relayd"
    told = ["--fqdn", "relay.example.org", "--smarthost", f"{host}:{server.port}"]
    done = init(
        folder,
        os.environ,
        *told,
        "--username",
        "app",
        "--password-file",
        "-",
        typed=f"{PASSWORD}\n",
    )
    assert done.returncode == os.EX_UNAVAILABLE
    assert "no TLS as smarthost.tls wants it" in done.stderr
    assert not any(each.upper().startswith("AUTH") for each in server.dialog)
    # Without a login there is no secret to lose: it is taken, and told.
    done = init(folder, os.environ, *told)
    assert done.returncode == 0, done.stderr
    assert "no TLS as smarthost.tls wants it" in done.stderr
    assert "certificate not verified" in done.stderr
    assert (
        tomllib.loads((folder / "relayd.toml").read_text())["smarthost"]["tls"] == "opportunistic"
    )


def test_nobody_there(tmp_path: Path) -> None:
    folder = tmp_path / "relayd"
    told = ["--fqdn", "relay.example.org", "--smarthost", f"127.0.0.1:{free_port()}"]
    done = init(folder, os.environ, *told)
    assert done.returncode == os.EX_UNAVAILABLE
    assert len(done.stderr.splitlines()) == 1
    assert "no connection" in done.stderr
    assert not folder.exists()
    variables = {"RELAYD_SMARTHOST__HOSTS": "127.0.0.1:1 127.0.0.1:2"}
    variables["RELAYD_SMARTHOSTS__OTHER__HOSTS"] = "127.0.0.1:3"
    done = init(folder, {**os.environ, **variables}, *told)  # what counts is tried
    assert done.returncode == os.EX_UNAVAILABLE, done.stderr
    assert "no connection" in done.stderr
    assert init(folder, os.environ, *told, "--untested").returncode == 0
    assert (folder / "relayd.toml").exists()


def test_who_has_the_port_is_named(tmp_path: Path) -> None:
    """The first start would fail for it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environment = {**os.environ, "RELAYD_LISTEN__0__ADDRESS": address}
        told = ["--fqdn", "relay.example.org", "--smarthost", "mail.example.org", "--untested"]
        done = init(tmp_path, environment, *told)
    [line] = done.stderr.splitlines()
    assert f"{address}: " in line
    assert f"(process {os.getpid()}) listens there: stop it" in line
    assert f"relayd -c {tmp_path}/relayd.toml config set listen.0.address HOST:PORT" in line
    assert (done.returncode, (tmp_path / "relayd.toml").exists()) == (0, True)
    assert init(tmp_path, environment, *told, "--force").stderr == ""


def test_settings_that_say_something_stay(tmp_path: Path) -> None:
    told = ["--fqdn", "relay.example.org", "--smarthost", "mail.example.org", "--untested"]
    settings = tmp_path / "relayd.toml"
    settings.write_text('fqdn = "old.example.org"\n')
    done = init(tmp_path, os.environ, *told)
    assert (done.returncode, settings.read_text()) == (os.EX_CONFIG, 'fqdn = "old.example.org"\n')
    assert "--force" in done.stderr
    assert init(tmp_path, os.environ, *told, "--force").returncode == 0
    assert tomllib.loads(settings.read_text())["smarthost"]["hosts"] == ["mail.example.org:587"]
    assert (tmp_path / "relayd.toml.old").read_text() == 'fqdn = "old.example.org"\n'


def test_a_secret_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "smarthost-password").write_text("old\n")
    told = ["--fqdn", "relay.example.org", "--smarthost", "mail.example.org", "--untested"]
    done = init(
        tmp_path, os.environ, *told, "--username", "app", "--password-file", "-", typed="new\n"
    )
    assert done.returncode == os.EX_CONFIG
    assert (tmp_path / "smarthost-password").read_text() == "old\n"
    assert not (tmp_path / "relayd.toml").exists()


def test_the_file_that_comes_with_relayd_says_nothing(tmp_path: Path) -> None:
    """All of its keys are comments: it is replaced, and kept."""
    text = (ROOT / "etc/relayd.toml").read_text()
    (tmp_path / "relayd.toml").write_text(text)
    done = init(tmp_path, os.environ, "--fqdn", "relay.example.org", "--direct", "--untested")
    assert done.returncode == 0, done.stderr
    assert tomllib.loads((tmp_path / "relayd.toml").read_text())["use_remote_smtp"] is True
    assert (tmp_path / "relayd.toml.old").read_text() == text


@pytest.mark.parametrize(
    ("told", "says"),
    [
        pytest.param([], "add --fqdn NAME, and --smarthost HOST or --direct", id="nothing"),
        pytest.param(["--fqdn", "relay.example.org"], "--smarthost HOST or --direct", id="a name"),
        pytest.param(["--fqdn", "relay", "--direct"], "--fqdn", id="no name of the DNS"),
        pytest.param(["--direct", "--smarthost", "a.test"], "leave out one", id="both ways"),
        pytest.param(["--password-file", "x"], "--username", id="nobody's password"),
        pytest.param(["--unit"], "--unit: ", id="a unit for other settings"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, told: Sequence[str], says: str) -> None:
    done = init(tmp_path / "relayd", os.environ, *told)
    assert done.returncode == os.EX_USAGE
    assert says in done.stderr
    assert not (tmp_path / "relayd").exists()


QUESTIONS = ("DNS", "smarthost, or", "Login", "Password:", "confirmation")


def on_terminal(settings: Path, *dialog: tuple[str, bytes]) -> tuple[int, bytes]:
    """Give each question its answer; return the exit status and what was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "relayd", "-c", str(settings), "init"],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(theirs)
    shown = b""
    for question, answer in dialog:
        asked = b""
        while question.encode() not in asked or not asked.rstrip(b"\r\n").endswith(b": "):
            asked += os.read(ours, 4096)
        shown += asked
        os.write(ours, answer)
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # it has ended
        pass
    os.close(ours)
    return process.wait(CEILING), shown


def test_a_terminal_is_asked(tmp_path: Path, background: Background) -> None:
    """Three questions and a password that is not shown; a wrong answer is asked for again."""
    server = background.enter(ScriptedServer({"EHLO": ["AUTH PLAIN"]}))
    answers = ["relay.example.org", f"127.0.0.1:{server.port}", "app", PASSWORD, PASSWORD]
    lines = [f"{answer}\n".encode() for answer in answers]
    status, shown = on_terminal(
        tmp_path / "relayd.toml",
        ("DNS", b"two words\n"),
        *zip(QUESTIONS, lines, strict=True),
    )
    assert status == 0, shown.decode()
    assert PASSWORD.encode() not in shown
    assert b"expected" in shown
    assert (tmp_path / "smarthost-password").read_text() == f"{PASSWORD}\n"


@pytest.mark.parametrize(
    ("last", "status", "says"),
    [
        pytest.param([b"\x04"], 130, b"", id="no more input"),
        pytest.param([b"half\xff\n"] * 2, os.EX_DATAERR, b"in UTF-8", id="half a character"),
    ],
)
def test_nothing_is_there_before_the_last_answer(
    tmp_path: Path, last: Sequence[bytes], status: int, says: bytes
) -> None:
    folder = tmp_path / "relayd"
    answers = [b"relay.example.org\n", b"mail.example.org:587\n", b"app\n", *last]
    ended, shown = on_terminal(
        folder / "relayd.toml", *zip(QUESTIONS[: len(answers)], answers, strict=True)
    )
    assert (ended, folder.exists()) == (status, False), shown
    assert says in shown
    assert b"fault" not in shown

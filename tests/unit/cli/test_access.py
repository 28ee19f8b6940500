"""No command ends in a traceback, whoever runs it and whatever file it misses or may not read.

Every command of the tree is run in this process, as a stranger and as a member of the daemon's group,
with each file in turn taken away or closed: an exception that nothing turns into a line fails the
test. A new command is here by itself; an argument that has no sample gets a word.
"""

import io
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import apsw
import click
import pytest

from relayd.__main__ import main
from relayd.answers.notices import STOPPED
from relayd.cli.ask.quick_status import answer as quick_status
from relayd.cli.command import root, run
from relayd.cli.sendmail.program import main as sendmail
from relayd.mail.ids import parse_id
from relayd.store.sqlite.connection import prepare
from tests.support.accounts import cheap_hashes, write_users
from tests.support.certificates import Authority
from tests.support.other_users import (
    DAEMON,
    MEMBER,
    STRANGER,
    User,
    a_folder_for_all,
    acting_as,
    needs_open_code,
    needs_root,
)
from tests.support.pointers import without_pointers

SETTINGS = """
fqdn = "relay.example.org"
workers = 1
[[listen]]
address = "unix:{folder}/run/smtp.sock"
[[listen]]
address = "127.0.0.1:2"
tls = "starttls"
auth = "required"
[auth]
users_file = "users"
[smarthost]
hosts = ["127.0.0.1:1"]
username = "app"
password_file = "password"
[tls]
certificate = "{certificate}"
key = "{key}"
[dns]
nameservers = ["127.0.0.1:1"]
timeout = "1s"
[store]
url = "sqlite:{folder}/state/queue.db"
[control]
socket = "{folder}/run/control.sock"
[status_log]
path = "{folder}/log/status.log"
"""
RULES = '[[rule]]\nid = "local-x"\ntext = ["xyzzy"]\ncategory = "policy"\n'
ID = "0CNA0NJ6E0401"
SAMPLES = {  # of the arguments that commands require, by name
    "ids": ID,
    "name": "ann",
    "queue_id": ID,
    "key": "workers",
    "keys": "workers",
    "words": "workers=2",
    "which": "1",
    "word": "smarthost.tls",
    "command": "status",
    "addresses": "a@x.test",
    "to": "a@x.test",
    "address": "a@x.test",
    "domain": "x.test",
    "shell": "bash",
    "wanted": ID,
    "source": "sqlite:/nonexistent/queue.db",
    "target": "sqlite:/nonexistent/copy.db",
}
MORE = {  # options that keep a command short
    "top": ["--once"],
    "doctor": ["--quick"],
    "demo": ["--help"],  # it has a relay and files of its own
    "init": ["--help"],  # it writes settings
    "support-bundle": ["--help"],  # it writes a file, also where it is told little
    "import": ["postfix", "/nonexistent/sample"],
    "console": ["--help"],  # it serves until a signal
    "test-mail": ["a@x.test", "--timeout", "1s"],
    "classify": ["550 no such user"],
    "sendmail": ["-i", "a@x.test"],
    "console user add": ["ann", "--role", "viewer"],
    "console user set": ["ann", "--disable"],
    "console key add": ["shop", "--scopes", "submit"],
    "console key set": ["shop", "--disable"],
    "console webhook set": ["1", "--disable"],
    "console webhook replay": ["1", "--all"],
    "oauth2 login": ["--help"],  # it waits for a person; the settings here need no sign-in
}
FILES = (
    "etc/relayd.toml",
    "etc/password",
    "etc/users",
    "etc/certificate.pem",
    "etc/key.pem",
    "etc/rules.d",
    "etc/rules.d/10-x.toml",
    "state",
    "state/queue.db",
    "state/queue.db-wal",
    "state/queue.db-shm",
    "state/queue.db.content",
    "state/doctor.json",
    "log",
    "log/status.log",
    "run",
    "run/control.sock",
    "run/smtp.sock",
)
QUESTIONS = (
    "status",
    f"status show {ID}",
    "stats",
    "addresses",
    f"queue list {ID}",
    "log",
    "config get",
)
NEED_SECRETS = {  # by the first words of a command line
    "check",
    "serve",
    "doctor --quick",
    "config set",
    "config unset",
    "user add",
    "user list",
    "user remove",
}
ABOUT_THE_QUEUE = ("status", f"status show {ID}", "addresses", f"queue list {ID}")
SECRETS = ("etc/relayd.toml", "etc/password", "etc/users", "etc/key.pem", "etc/rules.d/10-x.toml")


UNREADABLE = (os.EX_NOPERM, "you may not read .*/queue.db: ask as root( or uid 64101)?")
MISSING = (os.EX_UNAVAILABLE, "no queue yet at .*/queue.db; has relayd been started\\?")
TOLD = {  # to a stranger by the commands about the queue; of other files they need nothing
    ("without", "etc/relayd.toml"): (
        os.EX_CONFIG,
        "the settings cannot be read: No such file or directory",
    ),
    ("closed", "etc/relayd.toml"): (os.EX_NOPERM, "you may not read the settings: ask as root"),
    ("without", "state"): MISSING,
    ("without", "state/queue.db"): MISSING,
    ("without", "state/queue.db-shm"): (
        os.EX_TEMPFAIL,
        ".*/queue.db was not closed: start relayd, or ask as root or uid 64101",
    ),
    ("closed", "state"): UNREADABLE,
    ("closed", "state/queue.db"): UNREADABLE,
    ("closed", "state/queue.db-wal"): UNREADABLE,
    ("closed", "state/queue.db-shm"): UNREADABLE,
}
WAY_OUT = re.compile(
    "ask as |only root |run this as |create it and give it to |names no checker: set |start relayd|has relayd been started|`relayd |No such file"
    "|there is no |no relay answers at |no daemon takes the mail: |makes no sense|^relayd: /nonexistent: "
)


@dataclass(frozen=True, slots=True)
class Host:
    folder: Path

    @property
    def settings(self) -> str:
        return str(self.folder / "etc/relayd.toml")


def _leaves(command: click.Command, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the command lines of all commands, without what they are about."""
    context = click.Context(command)
    if not isinstance(command, click.Group):
        yield (*above, *_arguments(" ".join(above), command))
        return
    if command.invoke_without_command:
        yield (*above, *MORE.get(" ".join(above), []))
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from _leaves(below, (*above, name))


def _arguments(name: str, command: click.Command) -> Sequence[str]:
    if name in MORE:
        return MORE[name]
    return [
        SAMPLES.get(each.name or "", "/nonexistent/sample")
        for each in command.params
        if isinstance(each, click.Argument) and (each.required or each.nargs == -1)
    ]


LINES = tuple(_leaves(root))


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A relay as it is installed, whose sockets answer nothing."""
    with a_folder_for_all() as folder, _sockets() as listen, cheap_hashes():
        for name, mode in (("etc", 0o755), ("state", 0o750), ("log", 0o750), ("run", 0o755)):
            (folder / name).mkdir()
            (folder / name).chmod(mode)
        _settings(folder / "etc")
        with acting_as(DAEMON):
            pass  # all is imported
        _queue(folder / "state/queue.db")
        for name in ("state/queue.db-wal", "state/queue.db-shm", "state/doctor.json"):
            (folder / name).write_text("")
        (folder / "state/queue.db.content").mkdir(mode=0o750)
        (folder / "log/status.log").write_text('{"ts":"2026-11-26T13:43:33.120Z"}\n')
        listen(folder / "run/control.sock", 0o660)
        listen(folder / "run/smtp.sock", 0o666)
        for name in ("state", "log", "run"):
            for path in (folder / name, *(folder / name).rglob("*")):
                os.chown(path, DAEMON.uid, DAEMON.groups[0])
        yield Host(folder)


def _queue(path: Path) -> None:
    """One message, of the id that commands ask for."""
    prepare(str(path))
    message_id = parse_id(ID)
    with closing(apsw.Connection(str(path))) as db:
        db.execute(
            "INSERT INTO message (id, received_at, reverse_path, size, flags, client_ip, helo, listener)"
            " VALUES (?1, 1, 'app@app.test', 9, 0, '', 'app.test', 'main');"
            "INSERT INTO recipient (message_id, number, address, address_key, destination, state,"
            " next_attempt_at, attempts, suppress, updated_at)"
            " VALUES (?1, 0, 'a@x.test', 'x.test@a', 'smarthost', 'queued', 1, 0, 0, 1)".replace(
                "?1", str(int(message_id))
            )
        )


def _settings(folder: Path) -> None:
    pair = Authority(folder).write_pair(folder, "relay.example.org")
    Path(pair.certificate).rename(folder / "certificate.pem")
    Path(pair.key).rename(folder / "key.pem")
    (folder / "certificate.pem").chmod(0o644)
    text = SETTINGS.format(
        folder=folder.parent, certificate=folder / "certificate.pem", key=folder / "key.pem"
    )
    (folder / "relayd.toml").write_text(text)
    (folder / "password").write_text("secret\n")
    write_users(folder / "users", ("app", "secret", ""))
    (folder / "rules.d").mkdir()
    (folder / "rules.d").chmod(0o755)
    (folder / "rules.d/10-x.toml").write_text(RULES)
    for name in ("relayd.toml", "password", "users", "key.pem", "rules.d/10-x.toml"):
        os.chown(folder / name, 0, DAEMON.groups[0])
        (folder / name).chmod(0o640)


@contextmanager
def _sockets() -> Iterator["Listen"]:
    listen = Listen()
    try:
        yield listen
    finally:
        listen.close()


class Listen:
    """Unix sockets that hang up on everybody."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __call__(self, path: Path, mode: int) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        path.chmod(mode)
        sock.listen(64)
        thread = threading.Thread(target=self._hang_up, args=(sock,))
        thread.start()
        self._sockets.append(sock)
        self._threads.append(thread)

    def _hang_up(self, sock: socket.socket) -> None:
        with suppress(OSError):
            while True:
                sock.accept()[0].close()

    def close(self) -> None:
        for sock in self._sockets:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join()


@contextmanager
def without(path: Path) -> Iterator[None]:
    away = path.with_name(f".{path.name}.away")
    path.rename(away)
    try:
        yield
    finally:
        if path.is_dir():
            for each in path.iterdir():
                each.unlink()
            path.rmdir()
        path.unlink(missing_ok=True)
        away.rename(path)


@contextmanager
def closed(path: Path) -> Iterator[None]:
    before = path.stat()
    os.chown(path, 0, 0)
    path.chmod(0o700 if path.is_dir() else 0o600)
    try:
        yield
    finally:
        os.chown(path, before.st_uid, before.st_gid)
        path.chmod(before.st_mode & 0o7777)


def run_all(
    host: Host,
    user: User,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    lines: Sequence[Sequence[str]] = LINES,
) -> dict[str, tuple[int, str]]:
    """Run every command; return exit status and words of each. Expects that who fails says why."""
    monkeypatch.chdir("/")
    told = {}
    with acting_as(user):
        for line in lines:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"password\n")))
            capsys.readouterr()
            status = run(["-c", host.settings, *line])
            assert os.geteuid() == user.uid
            printed = capsys.readouterr()
            name = " ".join(line)
            assert "Traceback" not in printed.err, (name, printed.err)
            assert status == os.EX_OK or printed.err or printed.out, (
                f"{name} ends with {status}, mute"
            )
            told[name] = status, printed.err
    return told


def no_traceback(
    host: Host,
    user: User,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, tuple[int, str]]:
    """Run all there is, also what works without click."""
    told = run_all(host, user, capsys, monkeypatch)
    with acting_as(user):
        quick_status(["-c", host.settings, "status"])
        sendmail(["-i", "a@x.test"], settings=host.settings)
    assert "Traceback" not in capsys.readouterr().err
    return told


@needs_root
def test_a_member_needs_no_secret_but_for_what_uses_it(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        for name in ("etc/password", "etc/users", "etc/key.pem"):
            stack.enter_context(closed(host.folder / name))
        told = run_all(host, MEMBER, capsys, monkeypatch)
    refused = {
        " ".join(name.split()[:2])
        for name, (status, error) in told.items()
        if status == os.EX_CONFIG and "names no checker" not in error
    }
    assert refused == NEED_SECRETS


@needs_root
@pytest.mark.parametrize("fault", [without, closed])
@pytest.mark.parametrize("file", FILES)
def test_a_member_without_one_of_the_files(
    host: Host,
    file: str,
    fault: Callable[[Path], AbstractContextManager[None]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with fault(host.folder / file):
        no_traceback(host, MEMBER, capsys, monkeypatch)


@pytest.fixture
def open_host(host: Host) -> Iterator[Host]:
    """One whose settings, queue and log all may read, and not its secrets."""
    tops = ("state", "log")
    paths = [path for top in tops for path in (host.folder / top, *(host.folder / top).rglob("*"))]
    paths += [host.folder / "etc/relayd.toml", host.folder / "etc/rules.d/10-x.toml"]
    before = [path.stat().st_mode & 0o7777 for path in paths]
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield host
    for path, mode in zip(paths, before, strict=True):
        path.chmod(mode)


@needs_root
@needs_open_code
@pytest.mark.parametrize("fault", [without, closed])
@pytest.mark.parametrize("file", FILES)
def test_a_stranger_without_one_of_the_files(
    open_host: Host,
    file: str,
    fault: Callable[[Path], AbstractContextManager[None]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each line of a command that fails names a way out; the commands about the queue give the one for this fault."""
    with fault(open_host.folder / file):
        told = no_traceback(open_host, STRANGER, capsys, monkeypatch)
    for name, (status, error) in told.items():
        if status not in {os.EX_OK, os.EX_USAGE}:
            mute = [line for line in error.splitlines() if not WAY_OUT.search(line)]
            assert (name, mute) == (name, [])
    expected, words = TOLD.get(
        (fault.__name__, file), (os.EX_OK, f"({re.escape(str(STOPPED))}.*)?")
    )
    for name in ABOUT_THE_QUEUE:
        status, error = told[name]
        assert (name, status) == (name, expected), error
        said = without_pointers(error)[0].removesuffix("\n")
        assert re.fullmatch(f"([^ ]*: )?{words}", said)


@needs_root
@needs_open_code
def test_a_member_gets_answers(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = no_traceback(host, MEMBER, capsys, monkeypatch)
    mistyped = [name for name, (status, _) in told.items() if status == os.EX_USAGE]
    of_a_server = "store migrate"  # a file is brought up to date when relayd starts
    assert mistyped == ["trace", of_a_server], "a command without a sample tests little"
    assert told.pop("stats") == (os.EX_OK, "relayd: nothing is counted yet\n")
    others = [name for name in QUESTIONS if name != "stats"]
    assert {name: told[name] for name in others} == dict.fromkeys(others, (os.EX_OK, ""))


@needs_root
def test_a_stranger_is_told_who_may(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the settings are what nobody else may read, then the queue and the sockets."""
    told = no_traceback(host, STRANGER, capsys, monkeypatch)
    for name in QUESTIONS:
        status, error = told[name]
        assert (name, status) == (name, os.EX_NOPERM), error
        assert (
            "you may not read the settings: ask as root (relayd explain ConfigForbidden)" in error
        )
    for name in SECRETS:
        (host.folder / name).chmod(0o644)
    try:
        told = no_traceback(host, STRANGER, capsys, monkeypatch)
    finally:
        for name in SECRETS:
            (host.folder / name).chmod(0o640)
    for name in ("status", "addresses", f"queue list {ID}"):
        status, error = told[name]
        assert status == os.EX_NOPERM
        assert len(error.splitlines()) == 1
        assert "you may not read" in error
        assert "ask as " in error


@needs_root
def test_who_may_not_change_the_settings_is_told_so(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member of the group may read them, and is refused for that reason (77), not for a mistake."""
    line = ["config", "set", "soft_bounce", "true"]
    [(status, error)] = run_all(host, MEMBER, capsys, monkeypatch, [line]).values()
    assert (status, "the settings cannot be written: Permission denied" in error) == (
        os.EX_NOPERM,
        True,
    ), error


def test_a_bug_is_a_line_as_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def broken() -> None:
        raise ValueError("out of\nrange \x1b[31m")

    monkeypatch.setitem(root.commands, "check", broken)
    monkeypatch.setattr(root, "get_command", lambda _context, name: root.commands.get(name))
    monkeypatch.setattr(sys, "argv", ["relayd", "check"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == os.EX_SOFTWARE
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("relayd: a fault of relayd in test_access.py, line ")
    assert "ValueError: out of range " in line
    assert "\x1b" not in line

"""Runs the how-tos of `docs/howto/` as they are written, in a folder, against a real daemon.

A comment in front of a fenced block says what it is:

    <!-- settings -->   the settings file; the test adds where its servers are
    <!-- run -->        a shell runs it; it has to end with 0
    <!-- look -->       the same, again and again until it prints what it should
    <!-- terminal -->   the same as `run`, on a terminal of 100 columns
    <!-- prints -->     what the block before has to print, in this order, each line within some line;
                        `…` stands for what differs, spaces for any number of them

The paths and the port of the documentation stand for those of the test. `systemctl` starts, stops and
reloads the daemon, and passes it the socket of a socket unit if the settings name one; `chgrp` and `chown` do nothing, for there is no user relayd. With `Users` the daemon, or
all of relayd, runs as another user than root.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relayd.ports.view import Query, RecipientRow
from relayd.store import open_view
from tests.support.daemon import CEILING, PASS_SOCKET, ROOT, eventually, runs
from tests.support.other_users import User
from tests.support.ports import free_port
from tests.support.relayd_process import in_a_script

_BLOCK = re.compile(
    r"<!-- (settings|run|look|terminal|prints) -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
# A page without such blocks is about more than one machine.
PAGES = [
    page for page in sorted((ROOT / "docs/howto").glob("*.md")) if _BLOCK.search(page.read_text())
]
_PLACES = (
    "/etc/relayd",
    "/var/lib/relayd",
    "/var/backups",
    "/var/log/relayd",
    "/run/relayd",
    "/opt/relayd",
    "/etc/systemd/system",
)
_PASSED = "HOWTO_SOCKET"  # the descriptor of the socket unit
_ENABLE = "systemctl enable --now relayd.socket"
_SYSTEMCTL = """\
#!{python}
import sys
sys.path.insert(0, {root!r})
from tests.support.howto import systemctl, systemctl_socket
if "relayd.socket" in sys.argv:
    systemctl_socket({folder!r}, sys.argv[1:])
elif sys.argv[1:] != ["daemon-reload"]:
    systemctl({folder!r}, sys.argv[1])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Who runs relayd; None: who runs the tests."""

    daemon: User | None = None
    commands: User | None = None


@dataclass(frozen=True, slots=True)
class Block:
    kind: str
    text: str


def blocks_of(page: Path) -> Sequence[Block]:
    text = page.read_text()
    found = [Block(kind, block) for kind, block in _BLOCK.findall(text)]
    assert len(found) == text.count("<!-- "), f"{page.name} has a comment without a block"
    return found


class Howto:
    """One page and the folder that it is tried in."""

    def __init__(
        self, page: Path, folder: Path, users: Users, elsewhere: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self.port = free_port()
        self._addresses = {"127.0.0.1:2525": f"127.0.0.1:{self.port}", **elsewhere}
        self._socket: socket.socket | None = None  # of a socket unit
        self.blocks = blocks_of(page)
        if any(_ENABLE in block.text for block in self.blocks):
            self._socket = socket.create_server(("127.0.0.1", 0))
        for place in _PLACES:
            self._local(place).mkdir(parents=True)
        (folder / "systemd").symlink_to(ROOT / "systemd")
        (folder / "bin").mkdir()
        (folder / "daemon.command").write_text(json.dumps([*_command(users.daemon), "serve"]))
        if users.daemon is not None:
            for place in ("/var/lib/relayd", "/var/log/relayd", "/run/relayd"):
                os.chown(self._local(place), users.daemon.uid, users.daemon.groups[0])
        if users.commands is not None:
            self._local("/var/backups").chmod(0o777)
        command, self._line = (
            in_a_script() if users.commands is None else (_command(users.commands), ())
        )
        self._script("relayd", f'#!/bin/sh\nexec {" ".join(command)} "$@"\n')
        self._script(
            "systemctl",
            _SYSTEMCTL.format(python=sys.executable, root=str(ROOT), folder=str(folder)),
        )
        for name in ("chgrp", "chown"):
            self._script(name, "#!/bin/sh\n")

    @property
    def state(self) -> Path:
        """The folder of the queue."""
        return self._local("/var/lib/relayd")

    def every_row(self) -> list[RecipientRow]:
        """What is in the queue, and in those that were kept."""
        found: list[RecipientRow] = []
        for queue in (self.state / "queue.db", *self.state.glob("queue.db.old-*/queue.db")):
            with closing(open_view(f"sqlite:{queue}")) as view:
                found += view.find(Query(), limit=10_000)
        return found

    def settle(self, text: str, servers: Mapping[str, Mapping[str, object]]) -> None:
        """Write the settings of the page, with where things are in this test."""
        settings = tomllib.loads(self._here(text))
        ours: dict[str, dict[str, object]] = {
            "control": {"socket": str(self._local("/run/relayd") / "control.sock")},
            "log": {"format": "json"},
            "status_log": {"path": str(self._local("/var/log/relayd") / "status.log")},
            "store": {"url": f"sqlite:{self._local('/var/lib/relayd')}/queue.db"},
        }
        for table, keys in (*ours.items(), *servers.items()):
            settings[table] = {**settings.get(table, {}), **keys}
        listener = {"address": f"127.0.0.1:{self.port}"}
        for written in settings.get("listen", []):
            if written["address"].startswith("systemd:"):
                listener = written
                self._socket = socket.create_server(("127.0.0.1", self.port))
                (self._folder / "socket.active").touch()
        settings["workers"], settings["listen"] = 1, [listener]
        (self._local("/etc/relayd") / "relayd.toml").write_text(_toml(settings))

    def run(self, text: str, prints: Sequence[str]) -> None:
        done = self._shell(text)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        assert _has(done.stdout, prints), f"{text}\n{done.stdout}\nlacks {prints}"

    def on_a_terminal(self, text: str, prints: Sequence[str]) -> None:
        """Run it as somebody sees it, its errors and notices too."""
        ours, terminal = os.openpty()
        shown = b""
        looks = {"COLUMNS": "100", "LINES": "24", "NO_COLOR": "1", "TERM": "xterm"}
        with os.fdopen(ours, "rb", buffering=0) as screen:
            with os.fdopen(terminal, "wb", buffering=0) as theirs:
                process = subprocess.Popen(
                    self._command(text),
                    cwd=self._folder,
                    env=self._environment() | looks,
                    pass_fds=[*self._passed, *self._line],
                    stdin=subprocess.DEVNULL,
                    stdout=theirs,
                    stderr=theirs,
                )
            with suppress(OSError):  # nobody has the terminal open any more
                while octets := screen.read(4096):
                    shown += octets
        output = shown.decode().replace("\r\n", "\n")
        assert process.wait(CEILING) == 0, f"{text}\n{output}"
        assert _has(output, [*map(self._here, prints)]), f"{text}\n{output}\nlacks {prints}"

    def look(self, text: str, prints: Sequence[str]) -> None:
        eventually(lambda: _has(self._shell(text).stdout, prints), f"{text} prints {prints}")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _shell(self, text: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self._command(text),
            cwd=self._folder,
            env=self._environment(),
            pass_fds=[*self._passed, *self._line],
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )

    def _command(self, text: str) -> list[str]:
        return ["bash", "-euo", "pipefail", "-c", self._here(text)]

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self._folder}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RELAYD_CONFIG": str(self._local("/etc/relayd") / "relayd.toml"),
            _PASSED: "".join(map(str, self._passed)),
        }

    @property
    def _passed(self) -> list[int]:
        """The descriptor of the socket unit, if there is one."""
        return [] if self._socket is None else [self._socket.fileno()]

    def _here(self, text: str) -> str:
        for place in _PLACES:
            text = text.replace(place, str(self._local(place)))
        for written, ours in self._addresses.items():
            text = text.replace(written, ours)
        return text

    def _local(self, place: str) -> Path:
        return self._folder / place.lstrip("/")

    def _script(self, name: str, text: str) -> None:
        script = self._folder / "bin" / name
        script.write_text(text)
        script.chmod(0o755)


def _command(user: User | None) -> list[str]:
    """The command `relayd`, as a user."""
    if user is None:
        return [sys.executable, "-m", "relayd"]
    return [sys.executable, "-m", "tests.support.run_as", str(user.uid), str(user.groups[0])]


@contextmanager
def a_howto(
    page: Path, folder: Path, users: Users, elsewhere: Mapping[str, str]
) -> Iterator[Howto]:
    """A page; whatever daemon it starts ends with it. `elsewhere` says where hosts of the page are."""
    howto = Howto(page, folder, users, elsewhere)
    try:
        yield howto
    finally:
        howto.close()
        with suppress(FileNotFoundError):
            systemctl(str(folder), "stop")


def systemctl(folder: str, verb: str) -> None:
    """What systemd does for the one unit."""
    log, pid = Path(folder) / "daemon.log", Path(folder) / "daemon.pid"
    if verb == "reload-or-restart":
        is_there = pid.exists() and runs(int(pid.read_text()))
        verb = "reload" if is_there else "start"
    match verb:
        case "start":
            command = json.loads((Path(folder) / "daemon.command").read_text())
            passed: list[int] = []
            names: dict[str, str] = {}
            is_active = (Path(folder) / "socket.active").exists()
            if is_active and (given := os.environ.get(_PASSED)):
                passed = [int(given)]
                names = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "submission"}
                command = [sys.executable, "-c", PASS_SOCKET, given, *command]
            with log.open("ab") as out:
                begin = out.tell()
                process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=os.environ | names,
                    pass_fds=passed,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            pid.write_text(str(process.pid))
            _wait_for(log, "started", begin, process)
        case "reload":
            begin = log.stat().st_size
            os.kill(int(pid.read_text()), signal.SIGHUP)
            _wait_for(log, "reloaded", begin)
        case "stop":
            number = int(pid.read_text())
            pid.unlink()
            os.kill(number, signal.SIGTERM)
            end = time.monotonic() + CEILING
            while runs(number) and time.monotonic() < end:
                time.sleep(0.02)
        case _:
            raise AssertionError(verb)


def systemctl_socket(folder: str, words: Sequence[str]) -> None:
    """What systemd does for the socket unit: it is not started under a service that runs."""
    active, pid = Path(folder) / "socket.active", Path(folder) / "daemon.pid"
    match words[0]:
        case "enable":
            if pid.exists() and runs(int(pid.read_text())):
                raise SystemExit("Socket service relayd.service already active, refusing.")
            active.touch()
        case "disable":
            active.unlink()
        case other:
            raise AssertionError(other)


def _wait_for(
    log: Path, event: str, begin: int, process: "subprocess.Popen[bytes] | None" = None
) -> None:
    def is_there() -> bool:
        assert process is None or process.poll() is None, log.read_text()
        lines = log.read_bytes()[begin:].split(b"\n")[:-1]
        return any(json.loads(line)["event"] == event for line in lines if line[:1] == b"{")

    eventually(is_there, f"{event} in {log}")


def _has(output: str, prints: Sequence[str]) -> bool:
    text, at = _plain(output), 0
    for each in prints:
        parts = _plain(each).split("…")
        found = re.compile(".*?".join(map(re.escape, parts))).search(text, at)
        if found is None:
            return False
        at = found.end()
    return True


def _plain(text: str) -> str:
    """Each line with single spaces."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def _toml(table: Mapping[str, Any], at: str = "") -> str:
    """Write what was read: keys first, then tables."""
    keys = [
        f"{json.dumps(name)} = {json.dumps(value)}"
        for name, value in table.items()
        if not _is_table(value)
    ]
    lines = ["\n".join(keys)]
    for name, value in table.items():
        if isinstance(value, dict):
            here = f"{at}{json.dumps(name)}"
            lines.append(f"[{here}]\n{_toml(value, f'{here}.')}")
        elif _is_table(value):
            lines += [f"[[{at}{name}]]\n{_toml(each)}" for each in value]
    return "\n".join(lines)


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and value[:1] != [] and isinstance(value[0], dict)
    )

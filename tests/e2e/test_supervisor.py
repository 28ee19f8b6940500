"""The supervisor as a real process with real signals; its workers are stand-ins."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support import relayd_process
from tests.support.daemon import PASS_SOCKET, runs
from tests.support.ports import free_port
from tests.support.supervised import settings_of

ROOT = Path(__file__).parents[2]
CEILING = 10.0


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true answer of `condition`."""
    end = time.monotonic() + CEILING
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.01)
    raise AssertionError(what)


PROGRAM = "tests.support.supervised"


class Daemon:
    """A running supervisor, its settings file, its log, and the service manager's end."""

    def __init__(self, directory: Path, name: str = "one") -> None:
        self.directory = directory
        self.port = free_port()
        self.settings: dict[str, Any] = {
            "fqdn": "relay.test",
            "workers": 2,
            "listen": [f"127.0.0.1:{self.port}"],
            "control": str(directory / f"{name}.sock"),
            "queue": str(directory / "queue" / "queue.db"),
            "timeouts": {},
        }
        self.file = directory / f"{name}.json"
        self.log = directory / f"{name}.log"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(directory / f"{name}.notify"))
        self.process: relayd_process.Process | None = None
        self.extra: dict[str, str] = {}

    def write(self, **changes: Any) -> None:
        self.settings |= changes
        self.file.write_text(json.dumps(self.settings))

    def start(self, *, prefix: tuple[str, ...] = (), pass_fds: tuple[int, ...] = ()) -> None:
        self.write()
        environment = os.environ | {"NOTIFY_SOCKET": self.manager.getsockname()} | self.extra
        with self.log.open("wb") as out:
            if not prefix:
                self.process = relayd_process.start(
                    str(self.file), stdout=out, stderr=out, env=environment, program=PROGRAM
                )
                return
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", PROGRAM, str(self.file)],
                cwd=ROOT,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=pass_fds,
            )

    def note(self, start: str, *, ceiling: float = CEILING) -> str:
        """Return the next notification that begins with `start`; others are dropped."""
        self.manager.settimeout(ceiling)
        while True:
            try:
                text = self.manager.recv(1000).decode()
            except TimeoutError:
                raise TimeoutError(f"no {start}; the log:\n{self.log.read_text()}") from None
            if text.startswith(start):
                return text

    def up(self) -> None:
        self.start()
        self.note("READY=1")

    def send(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def end(self) -> int:
        assert self.process
        return self.process.wait(CEILING)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [
            line for line in self.log.read_text().splitlines(keepends=True) if line[-1] == "\n"
        ]
        read = [json.loads(line) for line in lines]
        return [event for event in read if event["event"] == name]

    def event(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = eventually(lambda: self.events(name), f"no {name}")[-1]
        return found

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=CEILING)

    def pids(self) -> set[int]:
        gone = {event["pid"] for event in self.events("worker_ended")}
        return {event["pid"] for event in self.events("worker_started")} - gone

    def worker(self, name: str) -> int:
        pid: int = [each for each in self.events("worker_started") if each["worker"] == name][-1][
            "pid"
        ]
        return pid

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        self.manager.close()
        if self.process is None:
            return
        pids = self.pids()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(CEILING)
        for pid in pids:
            if runs(pid):
                os.kill(pid, signal.SIGKILL)


def ask(client: socket.socket) -> dict[str, Any]:
    client.sendall(b"?\n")
    answer: dict[str, Any] = json.loads(client.recv(10_000))
    return answer


def ask_new(daemon: Daemon) -> dict[str, Any]:
    with daemon.connect() as client:
        return ask(client)


def reload(client: socket.socket) -> dict[str, Any]:
    client.settimeout(CEILING)
    client.sendall(b"reload\n")
    answer = b""
    while not answer.endswith(b"\n"):
        answer += client.recv(10_000)
    read: dict[str, Any] = json.loads(answer)
    return read


def digest_of(fqdn: str) -> str:
    return settings_of([], control="unused", queue="unused", fqdn=fqdn).digest


def drain(daemon: Daemon) -> None:
    while True:
        daemon.note("WATCHDOG=1", ceiling=0.5)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with closing(Daemon(tmp_path)) as made:
        yield made


def test_it_starts_all_workers_and_stops_cleanly(daemon: Daemon) -> None:
    """READY=1 comes when every worker is ready; SIGTERM ends all with exit status 0 (F-22)."""
    path = daemon.directory / "apps.sock"
    daemon.write(listen=[*daemon.settings["listen"], f"unix:{path}"])
    daemon.up()
    assert len(daemon.events("worker_ready")) == 2
    pids = daemon.pids()
    assert set(daemon.note("STATUS=").removeprefix("STATUS=Workers: ").split()) == {
        str(pid) for pid in pids
    }
    assert ask_new(daemon)["pid"] in pids
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert ask(client)["pid"] in pids
    daemon.send(signal.SIGTERM)
    daemon.note("STOPPING=1")
    assert daemon.end() == 0
    assert not any(runs(pid) for pid in pids)
    assert not path.exists()
    assert not Path(daemon.settings["control"]).exists()
    with pytest.raises(ConnectionRefusedError):
        daemon.connect()


def test_a_worker_has_only_what_is_its_own(daemon: Daemon) -> None:
    """No pipe of the supervisor, no word of the service manager, also with a neighbour."""
    daemon.extra = {"WATCHDOG_USEC": "60000000"}
    daemon.up()
    about = ask_new(daemon)
    assert about["pipes"] == 0
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(about["environment"])


def test_a_dead_worker_is_replaced_under_its_name(daemon: Daemon) -> None:
    daemon.up()
    first = daemon.worker("1")
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len(daemon.events("worker_ready")) == 3, "no new worker")
    assert daemon.events("worker_ready")[-1]["worker"] == "1"
    assert daemon.worker("1") != first
    assert daemon.event("worker_ended")["signal"] == signal.SIGKILL


@pytest.mark.parametrize(
    ("fqdn", "exit_code"),
    [
        pytest.param("wrong.test", 78, id="a worker finds the settings wrong"),
        pytest.param("early.test", 3, id="no worker becomes ready"),
        pytest.param("broken.test", 71, id="no worker can start"),
        pytest.param("bug.test", 70, id="every worker crashes"),
    ],
)
def test_a_hopeless_start_ends_with_the_workers_exit_status(
    daemon: Daemon, fqdn: str, exit_code: int
) -> None:
    daemon.write(fqdn=fqdn, timeouts={"first_delay": 0.01})
    daemon.start()
    assert daemon.end() == exit_code
    assert not daemon.events("started")
    daemon.note("STOPPING=1")


def test_the_watchdog_hears_nothing_while_a_worker_hangs(daemon: Daemon) -> None:
    """A worker whose loop hangs is noticed, killed and replaced (F-35)."""
    daemon.extra = {"WATCHDOG_USEC": "100000"}
    daemon.write(timeouts={"alive": 0.3, "silence": 5.0})
    daemon.up()
    daemon.note("WATCHDOG=1")
    hanging = daemon.worker("2")
    os.kill(hanging, signal.SIGSTOP)
    with pytest.raises(TimeoutError):  # the pings that were sent before, then nothing
        drain(daemon)
    assert daemon.event("worker_killed")["pid"] == hanging
    eventually(lambda: len(daemon.events("worker_ready")) == 3, "no new worker")
    daemon.note("WATCHDOG=1")


def test_a_reload_without_changes_keeps_the_workers(daemon: Daemon) -> None:
    """SIGHUP still reaches them, since they open their logs again."""
    daemon.up()
    pids = daemon.pids()
    daemon.send(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in daemon.note("RELOADING=1")
    daemon.note("READY=1")
    eventually(lambda: "SIGHUP" in ask_new(daemon)["seen"], "no SIGHUP")
    assert daemon.pids() == pids


def test_broken_settings_are_reported_and_the_old_ones_stay(daemon: Daemon) -> None:
    """Every mistake is logged, and no session is lost (F-24)."""
    daemon.up()
    pids = daemon.pids()
    with daemon.connect() as client:
        before = ask(client)
        daemon.file.write_text("{")
        daemon.send(signal.SIGHUP)
        daemon.note("RELOADING=1")
        daemon.note("READY=1")
        assert len(daemon.events("reload_refused")) == 2
        assert ask(client)["pid"] == before["pid"]
    assert daemon.pids() == pids


def test_a_reload_brings_new_workers_and_lets_the_old_ones_finish(daemon: Daemon) -> None:
    """Sessions under the old settings go on, new ones get the new settings (F-24)."""
    gone, added = daemon.port, free_port()
    kept = daemon.directory / "kept.sock"
    daemon.write(listen=[f"127.0.0.1:{gone}", f"unix:{kept}"])
    daemon.up()
    old = daemon.pids()
    with daemon.connect() as client:
        before = ask(client)
        daemon.write(fqdn="new.test", listen=[f"127.0.0.1:{added}", f"unix:{kept}"])
        daemon.send(signal.SIGHUP)
        daemon.note("RELOADING=1")
        daemon.note("READY=1")
        daemon.port = added
        about = ask_new(daemon)
        assert about["fqdn"] == "new.test"
        assert about["name"] in {"3", "4"}
        assert about["pipes"] == 0
        assert ask(client) | {"seen": []} == before
        eventually(lambda: len(daemon.pids()) == 3, "the idle old worker stayed")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", gone))
    eventually(lambda: not daemon.pids() & old, "an old worker stayed")
    with socket.socket(socket.AF_UNIX) as local:
        local.connect(str(kept))
        assert ask(local)["fqdn"] == "new.test"


def test_who_comes_after_a_reload_meets_the_new_settings(daemon: Daemon) -> None:
    """No worker of the old ones takes a client once the reload is said to be done."""
    daemon.write(timeouts={"let_go": 10})
    daemon.up()
    for number in range(3):
        daemon.write(fqdn=f"new{number}.test", timeouts={"let_go": 10})
        daemon.send(signal.SIGHUP)
        daemon.note("RELOADING=1")
        daemon.note("READY=1")
        assert {ask_new(daemon)["fqdn"] for _ in range(10)} == {f"new{number}.test"}


def test_a_worker_that_never_lets_go_does_not_keep_a_reload_from_its_end(daemon: Daemon) -> None:
    daemon.write(fqdn="stubborn.test", timeouts={"let_go": 0.2, "drain": 0.5})
    daemon.up()
    daemon.write(fqdn="new.test", timeouts={"let_go": 0.2, "drain": 0.5})
    daemon.send(signal.SIGHUP)
    daemon.note("RELOADING=1")
    daemon.note("READY=1")
    assert daemon.event("reloaded")
    eventually(lambda: daemon.event("worker_killed"), "it is killed in the end")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("taken", id="a new address is taken"),
        pytest.param("locked", id="the new queue is another daemon's"),
        pytest.param("wrong", id="a worker finds the settings wrong"),
        pytest.param("early", id="no worker becomes ready"),
    ],
)
def test_settings_that_cannot_work_change_nothing(daemon: Daemon, fault: str) -> None:
    daemon.write(timeouts={"first_delay": 0.01})
    daemon.up()
    pids = daemon.pids()
    with ExitStack() as stack:
        added, listen = free_port(), daemon.settings["listen"]
        if fault == "taken":
            taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            listen = [*listen, f"127.0.0.1:{taken.getsockname()[1]}"]
        elif fault == "locked":
            other = stack.enter_context(closing(Daemon(daemon.directory, "other")))
            other.write(queue=str(daemon.directory / "other" / "queue.db"))
            other.up()
            daemon.write(queue=other.settings["queue"])
        daemon.write(fqdn=f"{fault}.test", listen=[*listen, f"127.0.0.1:{added}"])
        daemon.send(signal.SIGHUP)
        daemon.note("RELOADING=1")
        daemon.note("READY=1")
    assert daemon.event("reload_refused")
    assert ask_new(daemon)["fqdn"] == "relay.test"
    assert pids <= daemon.pids()
    eventually(lambda: daemon.pids() == pids, "a new worker stayed")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", added))


def test_a_second_daemon_on_the_queue_is_refused(daemon: Daemon, tmp_path: Path) -> None:
    """Also after `kill -9` of the first one's supervisor, while a worker of it lives (F-20)."""
    daemon.up()
    assert daemon.process
    pids = daemon.pids()
    with closing(Daemon(tmp_path, "two")) as second:
        second.start()
        assert second.end() == os.EX_OSERR
        assert str(daemon.process.pid) in second.event("start_error")["error"]
        assert not Path(second.settings["control"]).exists()
        with daemon.connect() as client:
            ask(client)
            daemon.send(signal.SIGKILL)
            assert daemon.end() == -signal.SIGKILL
            eventually(lambda: "SIGTERM" in ask(client)["seen"], "the worker is not told")
            second.start()
            assert second.end() == os.EX_OSERR
        eventually(lambda: not any(runs(pid) for pid in pids), "a worker survived its supervisor")
        second.up()
        assert ask_new(second)["name"] in {"1", "2"}


def test_a_stubborn_worker_is_killed_in_the_end(daemon: Daemon) -> None:
    """And the exit status says that the stop was none as it should be."""
    daemon.write(fqdn="stubborn.test", timeouts={"drain": 0.2})
    daemon.up()
    daemon.send(signal.SIGTERM)
    assert daemon.end() == os.EX_SOFTWARE
    assert daemon.event("worker_killed")


def test_a_second_interrupt_hurries(daemon: Daemon) -> None:
    daemon.write(fqdn="stubborn.test")
    daemon.up()
    daemon.send(signal.SIGINT)
    daemon.note("STOPPING=1")
    daemon.send(signal.SIGINT)
    assert daemon.end() == 0


def test_sockets_of_systemd_are_inherited(daemon: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        daemon.port = passed.getsockname()[1]
        daemon.write(listen=["systemd:submission"])
        daemon.extra = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "submission"}
        daemon.start(
            prefix=(sys.executable, "-c", PASS_SOCKET, str(passed.fileno())),
            pass_fds=(passed.fileno(),),
        )
        daemon.note("READY=1")
    about = ask_new(daemon)
    assert about["name"] in {"1", "2"}
    assert not {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} & set(about["environment"])


# A worker asks, for somebody at the control socket


def test_who_asks_for_a_reload_is_answered_when_the_new_workers_serve(daemon: Daemon) -> None:
    daemon.up()
    with daemon.connect() as client:
        assert reload(client)["digest"] == digest_of("relay.test")  # nothing has changed
        assert daemon.event("settings_kept")
        daemon.write(fqdn="new.test")
        answer = reload(client)
        assert answer == {"ok": True, "file": "relayd.toml", "digest": digest_of("new.test")}
        assert daemon.event("reloaded")
        eventually(lambda: ask_new(daemon)["fqdn"] == "new.test", "the old workers still accept")
        assert ask(client)["fqdn"] == "relay.test"  # who asked has its old worker still


def test_who_asks_for_a_reload_is_told_every_mistake(daemon: Daemon) -> None:
    daemon.up()
    daemon.file.write_text("{")
    with daemon.connect() as client:
        answer = reload(client)
    assert (answer["ok"], answer["again"]) == (False, False)
    assert [line.partition(": ")[2] for line in answer["error"].splitlines()] == [
        "a: more care",
        "b: more care",
    ]
    assert ask_new(daemon)["fqdn"] == "relay.test"


def test_who_asks_for_a_reload_is_told_that_the_workers_do_not_start(daemon: Daemon) -> None:
    daemon.write(timeouts={"first_delay": 0.01})
    daemon.up()
    daemon.write(fqdn="early.test")
    with daemon.connect() as client:
        assert "did not start with the new settings" in reload(client)["error"]


def test_what_is_written_while_a_reload_runs_is_not_missed(daemon: Daemon) -> None:
    """The answer is about settings that were read after the question."""
    daemon.up()
    with daemon.connect() as client:
        daemon.write(fqdn="first.test")
        daemon.send(signal.SIGHUP)
        daemon.note("RELOADING=1")
        daemon.write(fqdn="second.test")
        assert reload(client)["digest"] == digest_of("second.test")
    eventually(lambda: ask_new(daemon)["fqdn"] == "second.test", "the old workers still accept")


def test_a_stop_leaves_no_question_without_an_answer(daemon: Daemon) -> None:
    """The new worker never gets ready; SIGTERM comes before anybody gives up on it."""
    daemon.up()
    daemon.write(fqdn="stuck.test")
    with daemon.connect() as client:
        client.sendall(b"reload\n")
        daemon.note("RELOADING=1")
        daemon.send(signal.SIGTERM)
        client.settimeout(CEILING)
        assert json.loads(client.recv(10_000))["error"] == "the daemon stops"
    assert daemon.end() == 0


# Many reloads while clients stay


def processes(daemon: Daemon) -> int:
    """Of the supervisor's: those that somebody still has to wait for as well."""
    assert daemon.process
    pid = daemon.process.pid
    return len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def is_logged(daemon: Daemon, event: str, times: int) -> bool:
    return len(daemon.events(event)) >= times


def join(daemon: Daemon) -> socket.socket:
    """Become a client of the workers that serve: those before them may accept for a moment."""
    serving = {event["worker"] for event in daemon.events("worker_ready")[-2:]}

    def served() -> socket.socket | None:
        client = daemon.connect()
        if ask(client)["name"] in serving:
            return client
        client.close()
        return None

    client: socket.socket = eventually(served, "the old workers still accept")
    return client


def reload_to(daemon: Daemon, fqdn: str) -> socket.socket:
    """Put new settings in force, and become a client of theirs."""
    before = len(daemon.events("reloaded"))
    daemon.write(fqdn=fqdn)
    daemon.send(signal.SIGHUP)
    eventually(lambda: len(daemon.events("reloaded")) > before, f"{fqdn} is in force")
    return join(daemon)


def test_many_reloads_are_a_bounded_number_of_processes(daemon: Daemon) -> None:
    """A storm is merged into one reload that begins when an earlier set of workers has gone."""
    daemon.up()
    with ExitStack() as stack:
        oldest = stack.enter_context(daemon.connect())
        assert ask(oldest)["fqdn"] == "relay.test"
        for name in ("a.test", "b.test"):
            assert ask(stack.enter_context(reload_to(daemon, name)))["fqdn"] == name
        eventually(lambda: len(daemon.events("reloaded")) == 2, "the second has all its workers")
        eventually(lambda: processes(daemon) == 1 + 1 + 2, "leaving workers without a client go")
        for number in range(50):
            daemon.write(fqdn=f"storm{number}.test")
            daemon.send(signal.SIGHUP)
            assert processes(daemon) <= 8
        assert (
            "SIGTERM"
            in eventually(
                lambda: [seen for seen in [ask(oldest)["seen"]] if "SIGTERM" in seen],
                "the oldest is not hurried",
            )[0]
        )
        assert daemon.event("reload_waits")["workers"] == 1
        eventually(lambda: ask_new(daemon)["fqdn"] == "b.test", "the old workers still accept")
        assert len(daemon.events("reloaded")) == 2
        oldest.close()
        eventually(lambda: ask_new(daemon)["fqdn"] == "storm49.test", "the last is in force")
        eventually(lambda: len(daemon.events("reloaded")) == 3, "one reload for all of them")
    eventually(lambda: processes(daemon) == 2, "only the last set stays")
    assert len(daemon.events("reload_waits")) == 1


def test_who_asks_while_there_is_no_room_is_answered_when_there_is(daemon: Daemon) -> None:
    """With what the file says by then: here, that it is broken."""
    daemon.up()
    with ExitStack() as stack:
        oldest = stack.enter_context(daemon.connect())
        ask(oldest)
        newest = [stack.enter_context(reload_to(daemon, name)) for name in ("a.test", "b.test")][-1]
        assert ask(newest)["fqdn"] == "b.test"
        newest.sendall(b"reload\n")
        assert daemon.event("reload_waits")
        daemon.file.write_text("{")
        oldest.close()
        assert "a: more care" in json.loads(newest.recv(10_000))["error"]
        assert ask(newest)["fqdn"] == "b.test"


def test_a_stop_while_a_reload_waits_for_room_is_a_stop(daemon: Daemon) -> None:
    daemon.up()
    with ExitStack() as stack:
        ask(stack.enter_context(daemon.connect()))
        newest = [stack.enter_context(reload_to(daemon, name)) for name in ("a.test", "b.test")][-1]
        assert ask(newest)["fqdn"] == "b.test"
        newest.sendall(b"reload\n")
        assert daemon.event("reload_waits")
        daemon.send(signal.SIGTERM)
        assert json.loads(newest.recv(10_000))["error"] == "the daemon stops"
    assert daemon.end() == 0


def test_clients_that_never_leave_hold_a_reload_up_for_a_while_only(daemon: Daemon) -> None:
    daemon.write(timeouts={"drain": 1.0})
    daemon.up()
    with ExitStack() as stack:
        ask(stack.enter_context(daemon.connect()))
        for name in ("a.test", "b.test"):
            ask(stack.enter_context(reload_to(daemon, name)))
        stack.enter_context(reload_to(daemon, "c.test"))
    assert daemon.events("worker_killed")


def test_workers_that_do_not_start_count_while_they_are_there(daemon: Daemon) -> None:
    """A reload that times out, again and again, leaves no more behind than others do."""
    daemon.write(timeouts={"switch": 0.2, "drain": 60})
    daemon.up()
    daemon.write(fqdn="stubborn-start.test")
    for count in range(1, 6):
        daemon.send(signal.SIGHUP)
        refused = min(count, 2)
        eventually(partial(is_logged, daemon, "reload_refused", refused), "it is refused")
        assert processes(daemon) <= 6
    assert daemon.event("reload_waits")
    assert ask_new(daemon)["fqdn"] == "relay.test"


def test_a_socket_that_is_deleted_again_and_again_makes_no_crowd(daemon: Daemon) -> None:
    path = daemon.directory / "apps.sock"
    daemon.write(listen=[*daemon.settings["listen"], f"unix:{path}"])
    daemon.up()
    with ExitStack() as stack:
        for count in (1, 2):
            stack.enter_context(join(daemon))
            path.unlink()
            eventually(partial(is_logged, daemon, "reloaded", count), "it is made again")
        path.unlink()
        assert daemon.event("reload_waits")
        assert processes(daemon) <= 6
    eventually(path.exists, "it is made again when there is room")

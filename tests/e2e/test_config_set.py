"""`relayd config set` and a running daemon: it is in force when the command ends, and nobody is disturbed."""

import os
import socket
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from relayd.control import client
from relayd.errors import RelaydError
from tests.support.daemon import Daemon, a_daemon, a_smarthost, eventually
from tests.support.ports import free_port


def commented(daemon: Daemon) -> str:
    """The daemon's settings with a comment in front of each line and after it."""
    lines = daemon.file.read_text().splitlines()
    return "".join(f"# above {n}\n{line} # after {n}\n" for n, line in enumerate(lines))


def comments_in(text: str) -> list[str]:
    return [line[line.index("#") :] for line in text.splitlines() if "#" in line]


class App(threading.Thread):
    """A client that sends all the time, a few messages in each session."""

    def __init__(self, daemon: Daemon, name: str, stop: threading.Event) -> None:
        super().__init__(name=name)
        self.daemon_, self.stop = daemon, stop
        self.accepted: list[str] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                with self.daemon_.client() as client:
                    for _ in range(5):
                        recipient = f"{self.name}-{len(self.accepted)}@x.test"
                        client.sendmail("app@app.test", recipient, "Subject: x\r\n\r\nx\r\n")
                        self.accepted.append(recipient)
        except Exception as error:  # noqa: BLE001 - the test asks for it
            self.error = error


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.timeout(120)
def test_a_setting_changes_under_load_and_nobody_notices(tmp_path: Path) -> None:
    """No session is lost, no mail is lost, delayed or doubled, no comment is lost."""
    changes = [
        ("limits.recipients", "500"),
        ("retry.soft_bounce", '["2s", "3s"]'),
        ("routes.*.held.test", "hold"),
    ]
    with a_smarthost({}) as smarthost, closing(Daemon(tmp_path, smarthost.port)) as daemon:
        daemon.file.write_text(commented(daemon))
        before = comments_in(daemon.file.read_text())
        daemon.up()
        stop = threading.Event()
        apps = [App(daemon, f"app{number}", stop) for number in range(3)]
        for app in apps:
            app.start()
        try:
            for number, (key, value) in enumerate(changes):
                seen = {app.name: len(app.accepted) for app in apps}
                ran = daemon.run("config", "set", key, value, "--json")
                assert (ran.status, ran.err) == (0, "")
                assert ran.rows[0]["daemon"] == "current"
                assert len(daemon.events("reloaded")) == number + 1
                eventually(
                    lambda seen=seen: all(len(a.accepted) > seen[a.name] or a.error for a in apps),  # type: ignore[misc]
                    "every client goes on",
                )
        finally:
            stop.set()
            for app in apps:
                app.join()
        assert [app.error for app in apps] == [None] * len(apps)
        accepted = sorted(recipient for app in apps for recipient in app.accepted)
        eventually(lambda: set(daemon.statuses().values()) == {"relayed"}, "all of it is relayed")
        assert sorted(daemon.statuses()) == accepted
        assert Counter(smarthost.rcpts) == Counter(accepted)
        assert "deferred" not in {line["event"] for line in daemon.log_lines()}
        assert not daemon.events("clients_linger")
        assert comments_in(daemon.file.read_text()) == before
        assert daemon.stop() == 0


def test_settings_that_the_daemon_cannot_run_with_are_put_back(tmp_path: Path) -> None:
    """File and daemon say the same afterwards, so the next restart comes up."""
    with (
        a_smarthost({}) as smarthost,
        a_daemon(tmp_path, smarthost.port, workers=1) as daemon,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        port = taken.getsockname()[1]
        before = daemon.file.read_bytes()
        ran = daemon.run(
            "config", "set", f"listen.0.address=127.0.0.1:{port}", "limits.recipients=5"
        )
        assert (ran.status, ran.err) == (os.EX_OSERR, "")
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ran.out
        assert ran.out.splitlines()[0] == "Settings not updated"
        assert "the file has its old text again" in ran.out
        assert daemon.file.read_bytes() == before
        daemon.send("a@x.test")
        assert daemon.run("config", "diff").out.endswith("daemon: runs with it now\n")


def test_a_status_log_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    with a_smarthost({}) as smarthost, a_daemon(tmp_path, smarthost.port, workers=1) as daemon:
        path = tmp_path / "no" / "status.log"
        [row] = daemon.run("config", "set", "status_log.path", str(path), "--json").rows
        assert row["daemon"] == "refused"
        [reason] = row["reasons"]
        assert reason.startswith(f"cannot write the status log {path}: No such file or directory")
        daemon.send("a@x.test")


def test_a_file_that_was_wrong_before_is_told_to_whoever_asks_for_a_reload(tmp_path: Path) -> None:
    with a_smarthost({}) as smarthost, a_daemon(tmp_path, smarthost.port, workers=1) as daemon:
        daemon.file.write_text("frob = 1\n")
        with pytest.raises(RelaydError) as caught:
            client.reload(f"{tmp_path}/control.sock")
        told = str(caught.value).splitlines()
        assert [line.split(": ")[1] for line in told] == ["fqdn", "frob"]
        assert len(daemon.events("reload_refused")) == 2
        daemon.send("a@x.test")


def test_the_control_socket_itself_can_move(tmp_path: Path) -> None:
    """The question goes to the old one, and the answer still comes."""
    with a_smarthost({}) as smarthost, a_daemon(tmp_path, smarthost.port, workers=1) as daemon:
        new = tmp_path / "new.sock"
        ran = daemon.run("config", "set", "control.socket", str(new), "--json")
        assert (ran.status, ran.rows[0]["daemon"]) == (0, "current")
        assert new.is_socket()
        assert not (tmp_path / "control.sock").exists()
        assert daemon.run("config", "diff", "--json").rows[-1] == {"daemon": "current"}


def test_a_new_listener_is_open_when_the_command_ends(tmp_path: Path) -> None:
    with a_smarthost({}) as smarthost, a_daemon(tmp_path, smarthost.port, workers=1) as daemon:
        port = free_port()
        ran = daemon.run("config", "set", "listen.2.address", f"127.0.0.1:{port}")
        assert (ran.status, ran.err) == (0, "")
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert client.recv(100).startswith(b"220 ")


def test_a_reload_that_is_refused_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that `systemctl reload` does: its unit runs this command."""
    with (
        a_smarthost({}) as smarthost,
        a_daemon(tmp_path, smarthost.port, workers=1) as daemon,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        text = daemon.file.read_text()
        assert daemon.run("reload").out == f"the daemon runs with {daemon.file} now\n"
        port = taken.getsockname()[1]
        daemon.file.write_text(text.replace(f"127.0.0.1:{daemon.port}", f"127.0.0.1:{port}"))
        ran = daemon.run("reload")
        assert (ran.status, ran.out) == (os.EX_OSERR, "")
        assert f"cannot listen on 127.0.0.1:{port}" in ran.err
        daemon.file.write_text(f"{text}\nfrob = 1\n")
        assert daemon.run("reload").status == os.EX_CONFIG
        daemon.file.write_text(text.replace("control.sock", "new.sock"))
        assert daemon.run("reload").status == os.EX_UNAVAILABLE
        assert daemon.process is not None
        monkeypatch.setenv("MAINPID", str(daemon.process.pid))  # as systemd does
        ran = daemon.run("reload")
        assert (ran.status, ran.err) == (0, "")
        assert (tmp_path / "new.sock").is_socket()

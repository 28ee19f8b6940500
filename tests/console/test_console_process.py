"""`relayd console` as a process: it says when it is ready, lives on sockets of all kinds, and ends at a signal."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.console import SETTINGS
from tests.support.daemon import PASS_SOCKET, ROOT, eventually
from tests.support.ports import free_port


def run_console(
    folder: Path, address: str, *prefix: str, environment: dict[str, str], keep: int = -1
) -> "subprocess.Popen[str]":
    file = folder / "relayd.toml"
    file.write_text(SETTINGS.format(folder=folder).replace("127.0.0.1:0", address))
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "relayd", "console", "-c", str(file)],
        cwd=ROOT,
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=() if keep < 0 else (keep,),
    )


def health(connection: http.client.HTTPConnection) -> int:
    with closing(connection):
        connection.request("GET", "/health", headers={"Host": "localhost"})
        return connection.getresponse().status


def test_it_is_ready_when_it_says_so_gives_signs_of_life_and_ends(tmp_path: Path) -> None:
    port = free_port()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        console = run_console(tmp_path, f"127.0.0.1:{port}", environment=environment)
        try:
            assert manager.recv(100) == b"READY=1"
            assert health(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) == 200
            assert [manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            console.send_signal(signal.SIGTERM)
            assert console.wait(10) == 0
        finally:
            console.kill()
            console.communicate()


@pytest.mark.parametrize("kind", ["unix", "systemd"])
def test_it_listens_on_a_socket_file_and_on_what_systemd_passes(kind: str, tmp_path: Path) -> None:
    path = str(tmp_path / "http.sock")

    class Local(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(path)

    with closing(socket.socket(socket.AF_UNIX)) as listening:
        address, prefix, keep, environment = f"unix:{path}", [], -1, {}
        if kind == "systemd":
            listening.bind(path)
            listening.listen()
            keep = listening.fileno()
            address = "systemd:console"
            prefix = [sys.executable, "-c", PASS_SOCKET, str(keep)]
            environment = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "console"}
        console = run_console(tmp_path, address, *prefix, environment=environment, keep=keep)
        try:

            def answers() -> bool:
                try:
                    return health(Local("localhost", timeout=10)) == 200
                except (ConnectionError, FileNotFoundError):
                    return False

            eventually(answers, "it answers")
            console.send_signal(signal.SIGINT)
            assert console.wait(10) == 0
        finally:
            console.kill()
            console.communicate()
    assert Path(path).exists() == (kind == "systemd")


def test_it_says_what_systemd_did_not_pass(tmp_path: Path) -> None:
    console = run_console(tmp_path, "systemd:console", environment={})
    _, error = console.communicate(timeout=20)
    assert console.returncode == os.EX_OSERR
    assert "needs FileDescriptorName=console" in error

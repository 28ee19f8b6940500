"""A machine that systemd runs, for tests of what an operator does with `systemctl` and `journalctl`.

    with a_machine(folder) as machine:
        machine.run("systemctl start relayd")

It is this host in namespaces of its own, which only root can make: processes, network, mounts. Its
files are those of the host, with an overlay in memory that takes every change. So tests may install
units, users and packages there. Nothing is left when it ends.

The clone is /root/relayd there, and /opt/relayd/bin/relayd runs it. A network but the loopback device
is missing: nothing there gets out.
"""

import ctypes
import os
import shutil
import signal
import site
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.daemon import CEILING, ROOT, eventually

_BOOT = str(Path(__file__).with_suffix(".sh"))
_NOT_PERMITTED = 77  # says the script
_PROGRAMS = ("unshare", "nsenter", "setpriv", "pivot_root", "systemctl", "/lib/systemd/systemd")
_NETWORK = 0x40000000  # CLONE_NEWNET of setns(2); os.setns is of Python 3.12


class Machine:
    """A machine that has booted."""

    def __init__(self, pid: int) -> None:
        self._pid = pid  # of its systemd, seen from here

    def attempt(self, text: str) -> "subprocess.CompletedProcess[str]":
        """Have a shell of root run it there, in the clone."""
        enter = ["nsenter", "--all", "--target", str(self._pid), "--wdns=/root/relayd"]
        environment = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        return subprocess.run(
            [*enter, "bash", "-euo", "pipefail", "-c", text],
            env=environment,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )

    def run(self, text: str) -> str:
        """Run what has to end with 0; return what it prints."""
        done = self.attempt(text)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}{self._journal()}"
        return done.stdout

    def path(self, place: str) -> Path:
        """A file of the machine, as this process gets at it."""
        return Path(f"/proc/{self._pid}/root{place}")

    @contextmanager
    def network(self) -> Iterator[None]:
        """The sockets that this thread opens until the end are in the network of the machine."""
        with Path("/proc/thread-self/ns/net").open() as ours:
            with Path(f"/proc/{self._pid}/ns/net").open() as its:
                _enter(its.fileno())
            try:
                yield
            finally:
                _enter(ours.fileno())

    def _journal(self) -> str:
        return self.attempt("journalctl --no-pager -n 30 -o cat").stdout


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def a_machine(folder: Path) -> Iterator[Machine]:
    """Boot it, in an empty folder; skip the test where that is not possible."""
    if os.geteuid() != 0:
        pytest.skip("only root can boot a machine")
    for program in _PROGRAMS:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    group, log = f"relayd-test-{os.getpid()}", folder.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *_boot("start", folder, group), *_parts()],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        machine = Machine(eventually(lambda: _booting(process, log), "systemd runs"))
        eventually(lambda: _is_up(machine), "systemd has started its units")
        yield machine
    finally:
        _end(process)
        if process.returncode != _NOT_PERMITTED:
            subprocess.run(_boot("remove", folder, group), check=True)


def _boot(step: str, folder: Path, group: str) -> list[str]:
    return ["unshare", "--mount", "sh", _BOOT, step, str(folder), group]


def _parts() -> list[str]:
    """Where the clone, the interpreter and its packages are."""
    return [str(ROOT), sys.base_prefix, site.getsitepackages()[0]]


def _booting(process: "subprocess.Popen[bytes]", log: Path) -> int:
    """The process id of the systemd that the script has become, or 0 so far."""
    if process.poll() == _NOT_PERMITTED:
        pytest.skip(f"no machine can be booted: {log.read_text()}")
    assert process.returncode is None, log.read_text()
    for child in _children(process.pid):
        with suppress(
            FileNotFoundError, ProcessLookupError
        ):  # a program of the script that has ended
            if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                return child
    return 0


def _children(pid: int) -> list[int]:
    return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def _is_up(machine: Machine) -> bool:
    state = machine.attempt("systemctl is-system-running --wait").stdout.strip()
    assert state != "degraded", machine.run("systemctl --failed")
    return state == "running"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill the machine, and with its first process all the others."""
    if process.poll() is None:
        for child in _children(process.pid) or [process.pid]:
            os.kill(child, signal.SIGKILL)
        process.wait(CEILING)

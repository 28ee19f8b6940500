"""Calls to the system that fail in a running worker: it lives, says so once, and the mail arrives after all.

Each case has the kernel refuse one kind of call, in all threads of the worker, while applications submit
mail, some of it large; then the refusal ends.
"""

import asyncio
import os
import re
import signal
import smtplib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from tests.support.daemon import CEILING, CONTENT, Daemon, eventually
from tests.support.dns_server import DnsServer
from tests.support.faults import failing, needs_strace
from tests.support.ports import free_port
from tests.support.scripted_server import ScriptedServer

HOST = "127.0.1.1"
LARGE = "Subject: large\r\n\r\n" + ("x" * 70 + "\r\n") * 6000
CALLS = ("socket", "bind", "connect", "getsockname", "setsockopt", "accept4", "openat")
ERRORS = ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL", "EACCES", "EAGAIN")
USUAL = (
    *zip(CALLS, ERRORS, strict=True),
    ("sendto,sendmsg,sendmmsg", "ENOBUFS"),
    ("newfstatat,statfs", "ENOMEM"),
    ("flock", "ENOLCK"),
    ("clone,clone3", "EAGAIN"),
)
EVERY = tuple((call, error) for call in CALLS for error in ERRORS if (call, error) not in USUAL)


LASTS = 0.5  # seconds in which a fault is there


class Internet:
    """A mail host of many domains, a smarthost, and the DNS, with an event loop in a thread."""

    def __init__(self, zones: dict[str, dict[str, list[str]]], port: int) -> None:
        self.host = ScriptedServer({}, host=HOST, port=port)
        self.smarthost = ScriptedServer({})
        self.dns = DnsServer(zones)
        self._stack = AsyncExitStack()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._start())

    async def _start(self) -> None:
        for server in (self.host, self.smarthost, self.dns):
            await self._stack.enter_async_context(server)

    def _call(self, coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CEILING)  # type: ignore[arg-type]

    def close(self) -> None:
        self._call(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CEILING)
        self._loop.close()


@contextmanager
def a_relay(folder: Path, domains: int) -> Iterator[tuple[Daemon, Internet]]:
    """A relay with one worker that sends directly, and to `inside.test` by its smarthost."""
    names = [f"d{number}.test" for number in range(domains)]
    zones = {name: {"MX": [f"10 mx.{name}."]} for name in names}
    zones |= {f"mx.{name}": {"A": [HOST]} for name in names}
    port = free_port()
    internet = Internet(zones, port)
    more = (
        f'[direct]\nport = {port}\ntls = "off"\nallow_networks = ["127.0.0.0/8"]\n'
        f'[dns]\nnameservers = ["{internet.dns.endpoint}"]\ntimeout = "5s"\n'
        '[routes]\n"*.inside.test" = "smarthost"\n'
    )
    daemon = Daemon(
        folder,
        internet.smarthost.port,
        remote="true",
        workers=1,
        smarthost_more=more,
    )
    try:
        yield daemon, internet
    finally:
        daemon.close()
        internet.close()


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with a_relay(tmp_path_factory.mktemp("relayd"), 400) as (daemon, _):
        daemon.up(traceable=True)
        yield daemon


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return count()


def submit(daemon: Daemon, number: int, content: str) -> None:
    """As an application does that comes again until its mail is taken."""
    end = time.monotonic() + 2 * CEILING
    while time.monotonic() < end:
        with suppress(OSError, smtplib.SMTPException, AssertionError):
            daemon.send(f"a@d{number}.test", f"a@d{number}.inside.test", content=content)
            return
        time.sleep(0.1)
    raise AssertionError("not taken")


def arrived(daemon: Daemon, numbers: list[int]) -> bool:
    found = daemon.statuses()
    if all(
        found.get(f"a@d{number}.test") == "sent"
        and found.get(f"a@d{number}.inside.test") == "relayed"
        for number in numbers
    ):
        return True
    daemon.run("queue", "expedite", "--all")  # the test does not wait for the pauses
    return False


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def survive(daemon: Daemon, numbers: Iterator[int], calls: str, error: str) -> None:
    pid = daemon.events("worker_started")[-1]["pid"]
    before = daemon.log.stat().st_size
    mine = [next(numbers), next(numbers)]
    with ThreadPoolExecutor() as applications:
        with failing(pid, calls, error):
            taken = [
                applications.submit(submit, daemon, number, content)
                for number, content in zip(mine, (CONTENT, LARGE), strict=True)
            ]
            used = cpu_of(pid)
            time.sleep(LASTS)
            used = cpu_of(pid) - used
        for each in taken:
            each.result()
    eventually(lambda: arrived(daemon, mine), "the mail arrives")
    said = daemon.log.read_bytes()[before:].decode()
    assert "Traceback" not in said
    assert "worker_ended" not in said
    assert daemon.events("worker_started")[-1]["pid"] == pid
    assert len(said.splitlines()) < 20
    assert used < LASTS / 2, "no busy loop"


@needs_strace
@pytest.mark.parametrize(("calls", "error"), USUAL)
def test_a_call_that_fails_ends_no_worker(
    relay: Daemon, numbers: Iterator[int], calls: str, error: str
) -> None:
    survive(relay, numbers, calls, error)


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize(("calls", "error"), EVERY)
def test_no_call_that_fails_ends_a_worker(
    relay: Daemon, numbers: Iterator[int], calls: str, error: str
) -> None:
    survive(relay, numbers, calls, error)


def tries(daemon: Daemon) -> int:
    """How many starts of a worker have failed."""
    return len(daemon.events("worker_not_started") + daemon.events("worker_failed"))


@needs_strace
@pytest.mark.parametrize(
    ("calls", "error"),
    [
        ("socketpair", "EMFILE"),
        ("clone,clone3,fork,vfork", "EAGAIN"),
        ("openat", "EMFILE"),
        ("read", "ENOMEM"),
    ],
)
def test_the_supervisor_lives_and_starts_workers_when_it_can_again(
    tmp_path: Path, calls: str, error: str
) -> None:
    with a_relay(tmp_path, 1) as (daemon, internet):
        daemon.up(traceable=True)
        assert daemon.process is not None
        worker = daemon.events("worker_started")[-1]["worker"]
        with failing(daemon.process.pid, calls, error):
            daemon.kill_worker(worker)
            daemon.signal(signal.SIGHUP)
            eventually(lambda: tries(daemon) >= 3, "it has tried again and again", within=40)
        daemon.send("a@d0.test")
        eventually(lambda: internet.host.messages, "the mail arrives")
        assert daemon.process.poll() is None
        assert "Traceback" not in daemon.log.read_text()


@needs_strace
def test_the_first_look_up_of_a_name_needs_no_thread_more(
    tmp_path: Path, numbers: Iterator[int]
) -> None:
    """uvloop ends the process that gets none, in a way that nobody could catch."""
    with a_relay(tmp_path, 400) as (daemon, internet):
        text = daemon.file.read_text()
        by_ip, by_name = (
            f'["{host}:{internet.smarthost.port}"]' for host in ("127.0.0.1", "localhost")
        )
        daemon.file.write_text(text.replace(by_ip, by_name))
        daemon.up(traceable=True)
        survive(daemon, numbers, "clone,clone3", "EAGAIN")


@needs_strace
def test_the_calls_do_fail(relay: Daemon, numbers: Iterator[int]) -> None:
    """The control: while no socket can be had nothing is delivered, which is told, and not counted."""
    pid = relay.events("worker_started")[-1]["pid"]
    number = next(numbers)
    with failing(pid, "socket", "EMFILE"):
        relay.send(f"a@d{number}.test")

        def waits() -> str:
            row = next(row for row in relay.rows() if row.address == f"a@d{number}.test")
            return row.paused_for if row.attempts == 0 else ""

        assert "too many open files" in eventually(waits, "it waits")
        assert relay.events("resources_short")


DOMAINS = 1200
USUAL_LIMIT = ("sh", "-c", 'ulimit -n 1024; exec "$@"', "sh")  # without systemd


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("unmeasured")
def test_more_new_domains_than_descriptors(tmp_path: Path) -> None:
    """Each has a mail host of its own, whose connection would stay for ten seconds; and clients are served."""
    with a_relay(tmp_path, DOMAINS) as (daemon, internet), ExitStack() as stack:
        daemon.up(*USUAL_LIMIT, traceable=True)
        pid = daemon.events("worker_started")[-1]["pid"]
        [bounds] = daemon.events("connections_bounded")
        assert (bounds["descriptors"], bounds["clients"], bounds["servers"]) == (1024, 384, 384)
        for _ in range(90):
            stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port), CEILING))
        for start in range(0, DOMAINS, 100):
            daemon.send(*(f"a@d{number}.test" for number in range(start, start + 100)))
        most, waits = 0, []

        def is_done() -> bool:
            nonlocal most
            most = max(most, len(list(Path(f"/proc/{pid}/fd").iterdir())))
            began = time.monotonic()
            with daemon.client() as client:
                assert client.ehlo()[0] == 250
            waits.append(time.monotonic() - began)
            return len(internet.host.messages) == DOMAINS

        eventually(is_done, "all domains have their mail", within=50)
        eventually(lambda: set(daemon.statuses().values()) == {"sent"}, "all is on record")
        assert {row.attempts for row in daemon.rows()} == {1}
        assert internet.host.most_open <= 384
        assert internet.host.connections == DOMAINS
        assert 384 < most < 1000
        assert sorted(waits)[len(waits) // 2] < 1
        assert not daemon.events("resources_short")
        assert not daemon.events("accept_paused")
        assert "Traceback" not in daemon.log.read_text()
        assert daemon.events("worker_started")[-1]["pid"] == pid


def test_the_limit_is_raised_to_what_the_system_allows(tmp_path: Path) -> None:
    with a_relay(tmp_path, 0) as (daemon, _):
        daemon.up("sh", "-c", 'ulimit -Sn 300; ulimit -Hn 9000; exec "$@"', "sh")
        [bounds] = daemon.events("connections_bounded")
        assert (bounds["descriptors"], bounds["clients"], bounds["servers"]) == (9000, 1000, 2000)
        assert bounds["level"] == "info"
        pid = daemon.events("worker_started")[-1]["pid"]
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"Max open files +9000 +9000 ", limits)

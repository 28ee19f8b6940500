"""A crowd of strangers at a running relay, and whether anybody else is still served."""

import resource
import smtplib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.daemon import Daemon, SmarthostThread, a_smarthost, eventually
from tests.support.ports import free_port

CROWD = 1200  # sources; a worker has 1000 places
SOON = 1.0  # seconds in which a good client is served
_MORE = """\
[[listen]]
address = "127.0.0.1:{public}"
networks = []
[[listen]]
address = "127.0.0.1:{submission}"
networks = []
auth = "required"
"""


class CrowdedDaemon(Daemon):
    """Has a listener for strangers, and one for who logs in."""

    public: int
    submission: int


@pytest.fixture(scope="module")
def smarthost() -> Iterator[SmarthostThread]:
    with a_smarthost() as smarthost:
        yield smarthost


@pytest.fixture(scope="module")
def daemon(
    smarthost: SmarthostThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CrowdedDaemon]:
    daemon = CrowdedDaemon(tmp_path_factory.mktemp("relayd"), smarthost.port, workers=1)
    daemon.public, daemon.submission = free_port(), free_port()
    more = _MORE.format(public=daemon.public, submission=daemon.submission)
    daemon.file.write_text(daemon.file.read_text() + more)
    assert daemon.run("user", "add", "app", typed="hunter2\n").status == 0
    try:
        daemon.up()
        yield daemon
    finally:
        daemon.close()


@pytest.fixture(scope="module")
def crowd(daemon: CrowdedDaemon) -> Iterator[list[socket.socket]]:
    """Connections of as many sources, to the public listener, that say nothing at all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    with ExitStack() as stack:
        sockets = [stack.enter_context(_stranger(daemon, number)) for number in range(CROWD)]
        for one in sockets:
            assert one.recv(100)[:4] in (b"220 ", b"421 ")
        yield sockets
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _stranger(daemon: CrowdedDaemon, number: int) -> socket.socket:
    source = f"127.{1 + number // 250}.0.{1 + number % 250}"
    return socket.create_connection(("127.0.0.1", daemon.public), 10, source_address=(source, 0))


@pytest.mark.parametrize("way", ["loopback", "unix", "login"])
def test_a_good_client_is_served_soon(
    daemon: CrowdedDaemon, crowd: list[socket.socket], way: str
) -> None:
    """A-01: whatever the crowd holds on its listener."""
    assert len(crowd) == CROWD
    began = time.monotonic()
    if way == "unix":
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(daemon.folder / "smtp.sock"))
            assert client.recv(100).startswith(b"220 ")
            client.sendall(b"EHLO app.test\r\n")
            assert client.recv(1000).startswith(b"250-")
    else:
        port = daemon.port if way == "loopback" else daemon.submission
        with smtplib.SMTP("127.0.0.1", port, "app.test", timeout=5) as client:
            if way == "login":
                client.login("app", "hunter2")
            assert client.sendmail("app@x.test", [f"{way}@y.test"], "Subject: x\n\nx\n") == {}
    assert time.monotonic() - began < SOON


def test_a_new_stranger_takes_the_place_of_one_that_waits(
    daemon: CrowdedDaemon, crowd: list[socket.socket]
) -> None:
    assert len(crowd) == CROWD
    with _stranger(daemon, CROWD + 1) as client:
        assert client.recv(100).startswith(b"220 ")


def test_refusals_of_strangers_do_not_fill_the_disk(daemon: CrowdedDaemon) -> None:
    """One stranger was 6 MB of status log a second. Who may relay has a line for each refusal."""
    for _ in range(3):
        assert refusals(daemon.public, "flood@app.test") == 90
        assert refusals(daemon.port, "ours@app.test") == 90

    def lines(sender: str) -> int:
        return sum(line.get("from") == sender for line in daemon.log_lines())

    eventually(lambda: lines("ours@app.test") == 270, "all of ours")
    assert lines("flood@app.test") == 100
    [told] = daemon.events("refusals_unwritten")
    assert (told["client_ip"], told["refusals"]) == ("127.0.0.1", 1)


def refusals(port: int, sender: str) -> int:
    """Name a wrong parameter 90 times in one session; return how often that was refused."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="app.test", timeout=10) as client:
        client.ehlo()
        client.mail(sender)
        codes = [client.docmd("RCPT", "TO:<a@x.test> SIZE=1")[0] for _ in range(90)]
    return sum(code >= 500 for code in codes)

"""Large messages: on a file of their own, the same octets at the next hop, through kills and a full disk."""

from pathlib import Path

import pytest

from relayd.ports.view import Query, Status
from tests.support.daemon import Daemon, a_daemon, a_smarthost, eventually, without_trace
from tests.support.ports import free_port

LINES = [b".", b"..dots", b"", b"\xe4\xf6\xfc " * 9, b"x" * 998, b"trailing blanks  \t", b"." * 70]
LARGE = b"Subject: large\r\n\r\n" + b"".join(line + b"\r\n" for line in LINES) * 1000  # 1.3 MB
SETTLED = Query(unfinished=True)


def submit(daemon: Daemon, recipient: str, content: bytes) -> tuple[int, bytes]:
    with daemon.client() as client:
        client.ehlo()
        client.mail("app@app.test", ["BODY=8BITMIME"])
        client.rcpt(recipient)
        return client.data(content)


def stuffed(content: bytes) -> bytes:
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]


def files(daemon: Daemon) -> list[Path]:
    return list(Path(f"{daemon.queue}.content").iterdir())


def test_it_survives_a_kill_and_arrives_as_it_came(tmp_path: Path) -> None:
    port = free_port()  # nobody is there yet
    with a_daemon(tmp_path, port) as daemon:
        for number in range(3):
            assert submit(daemon, f"a{number}@x.test", LARGE)[0] == 250
        daemon.kill()
        assert len(files(daemon)) == 3
        with a_smarthost(port=port) as smarthost:
            daemon.up()
            eventually(lambda: not daemon.rows(SETTLED), "relayed")
            assert daemon.stop() == 0
            assert {row.status for row in daemon.rows()} == {Status.RELAYED}
            assert len(smarthost.messages) == 3
            for message in smarthost.messages:
                assert without_trace(message.content) == LARGE
        assert files(daemon) == []


def test_it_goes_out_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    """From the file that it came in on, without a read of the queue."""
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port) as daemon:
        assert submit(daemon, "a@x.test", LARGE)[0] == 250
        [message] = smarthost.received(1)
        assert without_trace(message.content) == LARGE
        eventually(lambda: not files(daemon), "the file is gone")


@pytest.mark.parametrize("how", ["half", "too-big", "bare-lf"])
def test_what_is_not_taken_leaves_nothing(tmp_path: Path, how: str) -> None:
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port) as daemon:
        if how == "half":
            with daemon.client() as client:
                client.ehlo()
                client.mail("app@app.test", ["BODY=8BITMIME"])
                client.rcpt("a@x.test")
                client.putcmd("data")
                client.getreply()
                client.send(stuffed(LARGE))
                eventually(lambda: files(daemon), "it is being written")
                client.close()  # a QUIT would be content, and have no answer
        else:
            content = LARGE * 2 if how == "too-big" else LARGE.replace(b"..dots\r\n", b"..dots\n")
            with daemon.client() as client:
                client.ehlo()
                client.mail("app@app.test", ["BODY=8BITMIME"])
                client.rcpt("a@x.test")
                client.putcmd("data")
                client.getreply()
                client.send(stuffed(content) + b".\r\n")
                assert client.getreply()[0] == (552 if how == "too-big" else 550)
        eventually(lambda: not files(daemon), "nothing is left")
        assert not daemon.rows()

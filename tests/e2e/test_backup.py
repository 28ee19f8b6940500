"""A backup taken while mail comes in, restored elsewhere: nothing is missing that was accepted before (F-27)."""

import threading
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, a_daemon, a_smarthost, eventually, without_trace

LARGE = "y" * 990 + "\r\n"


def content(number: int) -> str:
    """Every third one lies on a file beside the queue."""
    return f"Subject: {number}\r\n\r\n" + LARGE * (400 if number % 3 == 0 else 1)


class Sender(threading.Thread):
    """Sends until it is told to stop; knows what was accepted."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__()
        self._daemon = daemon
        self.accepted: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.enough.is_set():
            address = f"u{number}@x.test"
            self._daemon.send(address, content=content(number))
            self.accepted.append(address)
            number += 1


@pytest.mark.usefixtures("unmeasured")
def test_a_live_backup_restored_is_a_consistent_queue(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    with (
        a_smarthost({"GREETING": "421 4.3.2 Later"}) as down,
        a_daemon(before, down.port) as daemon,
    ):
        sender = Sender(daemon)
        sender.start()
        try:
            eventually(lambda: len(sender.accepted) >= 30, "mail comes in")
            certain = list(sender.accepted)
            ran = daemon.run("backup", str(after / "copy"))
            assert ran.status == 0, ran.err
        finally:
            sender.enough.set()
            sender.join()
        possible = set(sender.accepted)
    queue = after / "copy" / "queue.db"
    with a_smarthost() as up, a_daemon(after, up.port, queue=queue) as restored:
        eventually(lambda: set(restored.statuses().values()) == {"relayed"}, "all of it is relayed")
        assert set(certain) <= set(up.rcpts) <= possible
        assert len(up.rcpts) == len(set(up.rcpts))
        for message in up.messages:
            number = int(message.rcpts[0].partition("<u")[2].partition("@")[0])
            assert without_trace(message.content) == content(number).encode()
        left = after / "copy" / "queue.db.content"
        eventually(lambda: not list(left.iterdir()), "files go after the commit")

"""A glance at the daemon: stopped, silent, or what its numbers say; nothing where it cannot be told."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from relayd.answers.notices import DISK_FULL, SILENT, STOPPED, STORE_FAILS, Notice
from relayd.control import glance
from relayd.control.glance import glance_at
from relayd.metrics.families import FAMILIES


@contextmanager
def answering(path: Path, answer: bytes | None) -> Iterator[None]:
    """Answer one question; None: never."""
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(path))
        listening.listen()
        if answer is None:
            yield
            return

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                assert connection.recv(100) == b'{"verb": "metrics"}\n'
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def numbers(**values: int) -> bytes:
    metrics = [[f"relayd_{name}", {}, value] for name, value in values.items()]
    assert {str(name) for name, _, _ in metrics} <= {family.name for family in FAMILIES}
    return json.dumps({"ok": True, "metrics": metrics}).encode() + b"\n"


ANSWERS = {
    "well": (numbers(workers=2, disk_full=0, store_failing=0, deliveries_paused=0), []),
    "another version, which has fewer": (numbers(workers=2), []),
    "a full disk": (numbers(disk_full=1), [DISK_FULL]),
    "a store that fails": (numbers(store_failing=1), [STORE_FAILS]),
    "all of it": (
        numbers(deliveries_paused=2, store_failing=2, disk_full=2),
        [DISK_FULL, STORE_FAILS],
    ),
    "a refusal": (b'{"ok": false, "error": "not you"}\n', []),
    "no JSON": (b"hello\n", []),
    "something else": (b'{"metrics": [1]}\n', []),
    "nothing": (b"", []),
}


@pytest.mark.parametrize(("answer", "notices"), ANSWERS.values(), ids=ANSWERS)
def test_what_it_says(tmp_path: Path, answer: bytes, notices: list[Notice]) -> None:
    with answering(tmp_path / "s", answer):
        assert glance_at(str(tmp_path / "s")) == notices


def test_it_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert glance_at(str(path)) == [STOPPED]
    with answering(path, None):
        pass
    assert glance_at(str(path)) == [STOPPED], "its socket was left"


def test_it_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance, "_WITHIN", 0.05)
    with answering(tmp_path / "s", None):
        assert glance_at(str(tmp_path / "s")) == [SILENT]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may ask")
def test_who_may_not_ask_is_told_nothing(tmp_path: Path) -> None:
    with answering(tmp_path / "s", None):
        (tmp_path / "s").chmod(0)
        assert glance_at(str(tmp_path / "s")) == []


def test_a_path_that_no_socket_can_have(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 200)
    path.touch()
    assert glance_at(str(path)) == []

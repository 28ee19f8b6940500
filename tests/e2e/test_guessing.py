"""Clients that guess passwords, and clients that know theirs, at the same relay."""

import base64
import itertools
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import argon2
import pytest

from tests.support.daemon import Daemon, eventually
from tests.support.ports import free_port

GUESSERS = 90
USERS = 15
FIRST = 10  # guesses that were answered before they come
_NAMES = itertools.count()
_LISTENER = """\
[[listen]]
address = "127.0.0.1:{port}"
auth = "required"
"""


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A relay of one worker, where 15 users may log in."""
    port = free_port()
    hashed = argon2.PasswordHasher(time_cost=2, memory_cost=8 * 1024, parallelism=1).hash("right")
    users = tmp_path / "users"
    users.write_text("".join(f"user{number} {hashed}\n" for number in range(USERS)))
    users.chmod(0o600)
    more = _LISTENER.format(port=port)
    daemon = Daemon(tmp_path, free_port(), workers=1, more=more)
    try:
        daemon.up()
        yield port
    finally:
        daemon.close()


def log_in(stream: "socket.SocketIO", user: str, password: str) -> int:
    blob = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    return ask(stream, f"AUTH PLAIN {blob}")


def ask(stream: "socket.SocketIO", command: str) -> int:
    """Return the code of the reply; 0: the connection is closed."""
    stream.write(f"{command}\r\n".encode())
    return reply(stream)


def reply(stream: "socket.SocketIO") -> int:
    line = b"   -"
    while line[3:4] == b"-":
        line = stream.readline()
    return int(line[:3] or 0)


@contextmanager
def session(port: int, source: str) -> "Iterator[socket.SocketIO]":
    with socket.create_connection(("127.0.0.1", port), 60, (source, 0)) as sock:
        stream = sock.makefile("rwb", buffering=0)
        assert reply(stream) == 220
        assert ask(stream, "EHLO app.test") == 250
        yield stream


@contextmanager
def guessing(port: int, source_of: Callable[[int], str]) -> Iterator[Counter[int]]:
    """Keep 90 clients guessing under names that nobody has, without a pause."""
    stopping, codes = threading.Event(), Counter[int]()

    def guess(number: int) -> None:
        while not stopping.is_set():
            with suppress(OSError, AssertionError), session(port, source_of(number)) as stream:
                for _ in range(3):
                    if stopping.is_set():
                        return
                    codes[log_in(stream, f"nobody{next(_NAMES)}", "wrong")] += 1

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(GUESSERS)]
    for thread in threads:
        thread.start()
    try:
        yield codes
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("spread", [False, True], ids=["one-source", "many-sources"])
def test_guessers_keep_nobody_from_logging_in(port: int, *, spread: bool) -> None:
    """They come for the first time, and no login of theirs is put off."""

    def source_of(number: int) -> str:
        return f"127.0.{number + 1}.1" if spread else "127.0.0.1"

    def come(number: int) -> int:
        with session(port, f"127.1.0.{number + 1}") as stream:
            return log_in(stream, f"user{number}", "right")

    with guessing(port, source_of) as codes, ThreadPoolExecutor(USERS) as threads:
        eventually(lambda: sum(codes.values()) > FIRST, "all turns are taken")
        assert list(threads.map(come, range(USERS))) == [235] * USERS

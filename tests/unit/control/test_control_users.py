"""Who asks is told by the kernel: real users of the system at a real control socket."""

import asyncio
import os
import pwd
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relayd.control.behalf import Behalf, with_behalf
from relayd.control.protocol import Message, decode, encode
from relayd.policy.console.access import CONSOLE_USER
from relayd.policy.console.roles import Role
from relayd.store.memory.queue import MemoryStore
from tests.support.clock import FakeClock
from tests.support.control_server import a_control_server
from tests.support.other_users import STRANGER, User, a_folder_for_all, acting_as, needs_root
from tests.support.people import ROOT, a_session, a_token, an_account

GROUP = 64201  # of the socket
CONSOLE = User(64104, (64204, GROUP))  # its user has a group of its own
OPERATOR = User(64105, (GROUP,))
ANNA = Behalf(session=a_token(), client="192.0.2.7")
UNSUPPRESS: Message = {"verb": "unsuppress", "rcpt": "a@x.test"}
PING: Message = {"verb": "ping"}
DROP: Message = {"verb": "people.drop_account", "name": "ben"}

pytestmark = needs_root


@pytest.fixture
async def path(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """A control socket whose store has an operator, anna, who is logged in."""
    name_of = pwd.getpwuid

    def named(uid: int) -> Any:
        return SimpleNamespace(pw_name=CONSOLE_USER) if uid == CONSOLE.uid else name_of(uid)

    monkeypatch.setattr(pwd, "getpwuid", named)  # this system has no such user
    store = MemoryStore(FakeClock())
    await store.people.add_account(an_account(role=Role.OPERATOR), author=ROOT)
    await store.people.open_session(a_session(), author=ROOT)
    with a_folder_for_all() as folder:
        async with a_control_server(folder / "control", store):
            os.chown(folder / "control", 0, GROUP)
            (folder / "control").chmod(0o660)
            yield folder / "control"


async def ask(path: Path, user: User, message: Message, behalf: Behalf | None = None) -> str:
    """Return `ok`, or why not."""
    with socket.socket(socket.AF_UNIX) as sock:
        with acting_as(user):
            sock.connect(str(path))
        sock.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, encode(with_behalf(message, behalf)))
        answer = decode(await loop.sock_recv(sock, 65_536))
        return "ok" if answer["ok"] else str(answer["error"])


async def test_the_console_asks_for_whom_it_has_before_it(path: Path) -> None:
    assert await ask(path, CONSOLE, PING) == "ok"
    assert await ask(path, CONSOLE, UNSUPPRESS, ANNA) == "ok"
    assert "has to say which session" in await ask(path, CONSOLE, UNSUPPRESS)
    assert "has to say which session" in await ask(path, CONSOLE, DROP)
    assert "'admin'" in await ask(path, CONSOLE, DROP, ANNA)


async def test_the_group_asks_for_itself(path: Path) -> None:
    assert await ask(path, OPERATOR, UNSUPPRESS) == "ok"
    assert "only root, the daemon's user and relayd-console" in await ask(
        path, OPERATOR, UNSUPPRESS, ANNA
    )
    assert "only root and the daemon's user" in await ask(path, OPERATOR, DROP)


def open_to_all(path: Path) -> None:
    path.chmod(0o666)


async def test_a_stranger_who_is_slow_hears_why(path: Path) -> None:
    """Its request is read before the refusal: else its next write finds the connection gone."""
    open_to_all(path)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as sock:
        with acting_as(STRANGER):
            sock.connect(str(path))
        sock.settimeout(0)
        assert await ask(path, CONSOLE, PING) == "ok"  # meanwhile the stranger is looked up
        assert await ask(path, CONSOLE, PING) == "ok"
        await loop.sock_sendall(sock, encode(PING))
        assert "only root" in str(decode(await loop.sock_recv(sock, 65_536))["error"])


async def test_a_stranger_asks_nothing(path: Path) -> None:
    """Also where the mode of the socket lets it connect."""
    open_to_all(path)
    for behalf in (None, ANNA):
        assert "only root, the daemon's user, the socket's group" in await ask(
            path, STRANGER, PING, behalf
        )

"""`relayd user`: the users file by the command line, and passwords that nobody sees."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from relayd.accounts.passwords import is_password
from relayd.accounts.users_file import read_users
from relayd.mail.account import Account
from tests.support.accounts import write_users
from tests.support.cli_world import Ran, World, make_world
from tests.support.other_users import DAEMON, a_folder_for_all, needs_root

ROOT = Path(__file__).parents[4]


@pytest.fixture
def add(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    def run(*arguments: str, typed: bytes = b"hunter2\n") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
        return world.run("user", "add", *arguments)

    return run


def users_of(world: World) -> dict[str, Account]:
    return dict(read_users(world.folder / "users"))


def test_a_user_is_added_beside_the_settings(world: World, add: Callable[..., Ran]) -> None:
    """Also while the settings are wrong for the want of one."""
    with world.settings.open("a") as settings:
        settings.write('[[listen]]\nauth = "required"\n')
    assert world.run("check").status == os.EX_CONFIG
    ran = add("app")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == f"added app in {world.folder}/users\n"
    account = users_of(world)["app"]
    assert is_password("hunter2", account.hash)
    assert account.senders == ()
    assert (world.folder / "users").stat().st_mode & 0o777 == 0o640
    assert world.run("check").status == 0


@needs_root
def test_the_user_that_runs_relayd_can_read_a_new_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose group it is, the queue says, unless that of the settings will do; one that is there stays as it is."""
    with a_folder_for_all() as folder:
        world = make_world(folder, capsys.readouterr)
        queue, users = folder / "queue.db", folder / "users"
        queue.touch()
        os.chown(queue, DAEMON.uid, DAEMON.groups[0])

        def add() -> Ran:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hunter2\n")))
            return world.run("user", "add", "app")

        ran = add()
        assert (ran.status, ran.err) == (0, "")
        assert (users.stat().st_gid, users.stat().st_mode & 0o777) == (DAEMON.groups[0], 0o640)
        os.chown(users, 0, 0)
        ran = add()
        assert (ran.status, users.stat().st_gid) == (0, 0)
        assert ran.err == (
            f"relayd: uid {DAEMON.uid}, who runs relayd, cannot read {users}:"
            f" run chgrp {DAEMON.groups[0]} {users}; chmod g+r {users}; relayd check\n"
        )


def test_a_user_gets_a_new_password_and_keeps_its_senders(
    world: World, add: Callable[..., Ran]
) -> None:
    add("app", "--senders", "a@x.test,@Y.test")
    with (world.folder / "users").open("a") as users:
        users.write("# a comment\n")
    assert add("app", typed=b"p\xc3\xa4ss word \r\n").out.startswith("changed app in ")
    account = users_of(world)["app"]
    assert is_password("päss word ", account.hash)
    assert account.senders == ("a@x.test", "@Y.test")
    add("app", "--senders", "")
    assert users_of(world)["app"].senders == ()
    assert "# a comment\n" in (world.folder / "users").read_text()


@pytest.mark.parametrize(
    "typed",
    [b"", b"\n", b"a\0b\n", b"\x1b\n", b"\xff\n", b"x" * 1025 + b"\n", b"x" * 5000],
    ids=["nothing", "empty", "nul", "control", "no-utf8", "long", "longer"],
)
def test_what_is_no_password(world: World, add: Callable[..., Ran], typed: bytes) -> None:
    ran = add("app", typed=typed)
    assert (ran.status, len(ran.err.splitlines())) == (os.EX_DATAERR, 1)
    assert not (world.folder / "users").exists()


@pytest.mark.parametrize(
    "arguments",
    [("a b",), ("#a",), ("",), ("app", "hunter2"), ("app", "--senders", "x"), ()],
)
def test_a_wrong_command_line(
    world: World, add: Callable[..., Ran], arguments: tuple[str, ...]
) -> None:
    assert add(*arguments).status == os.EX_USAGE
    assert not (world.folder / "users").exists()


def test_a_user_is_removed(world: World) -> None:
    write_users(world.folder / "users", ("app", "x", ""), ("apple", "x", ""))
    ran = world.run("user", "remove", "app")
    assert (ran.status, ran.out) == (0, f"removed app from {world.folder}/users\n")
    assert list(users_of(world)) == ["apple"]
    ran = world.run("user", "remove", "app")
    assert ran.status == os.EX_NOINPUT
    assert "no user app" in ran.err
    assert list(users_of(world)) == ["apple"]


def test_users_are_listed_without_their_hashes(world: World) -> None:
    write_users(world.folder / "users", ("app", "x", ""), ("shop", "x", "a@x.test @y.test"))
    assert world.run("user", "list").cells == [
        ["USER", "SENDERS"],
        ["app", "any"],
        ["shop", "a@x.test, @y.test"],
    ]
    assert world.run("user", "list", "--json").rows == [
        {"auth_user": "app", "senders": []},
        {"auth_user": "shop", "senders": ["a@x.test", "@y.test"]},
    ]


def test_another_file_is_named_by_the_settings(world: World, add: Callable[..., Ran]) -> None:
    with world.settings.open("a") as settings:
        settings.write('[auth]\nusers_file = "mine"\n')
    assert add("app").status == 0
    assert list(read_users(world.folder / "mine")) == ["app"]


@pytest.mark.parametrize("content", [None, "app hunter2\n"], ids=["absent", "broken"])
def test_a_file_of_no_use_is_one_clear_line(
    world: World, add: Callable[..., Ran], content: str | None
) -> None:
    if content is not None:
        (world.folder / "users").write_text(content)
        (world.folder / "users").chmod(0o600)
        assert add("b").status == os.EX_CONFIG
        assert (world.folder / "users").read_text() == content
    ran = world.run("user", "list")
    assert (ran.status, len(ran.err.splitlines())) == (os.EX_CONFIG, 1)
    assert "hunter2" not in ran.err


@pytest.mark.parametrize(("again", "status"), [("hunter2", 0), ("hunter3", 130)])
def test_on_a_terminal_the_password_is_asked_for_twice_without_echo(
    world: World, again: str, status: int
) -> None:
    terminal, ours = pty.openpty()
    command = [sys.executable, "-m", "relayd", "-c", str(world.settings), "user", "add", "app"]
    asked = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=ours,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # its terminal is not that of the tests
    )
    os.close(ours)
    assert asked.stderr is not None
    try:
        for prompt, answer in ((b"Password: ", "hunter2"), (b"confirmation: ", again)):
            seen = b""
            while not seen.endswith(prompt):
                octet = asked.stderr.read(1)
                assert octet, seen
                seen += octet
            os.write(terminal, f"{answer}\n".encode())
        if again != "hunter2":  # asked anew: leave
            while not asked.stderr.read(1).endswith(b":"):
                pass
            asked.terminate()
        out, err = asked.communicate(timeout=15)
    finally:
        asked.kill()
    assert (asked.returncode == 0) is (status == 0)
    assert b"hunter" not in out + err
    os.set_blocking(terminal, False)
    with suppress(OSError):  # nothing was echoed at all
        assert b"hunter" not in os.read(terminal, 4096)
    os.close(terminal)
    assert (world.folder / "users").exists() is (status == 0)

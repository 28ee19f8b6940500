"""`relayd console user`, `key` and `sessions`: through a control server to a real store."""

import asyncio
import contextlib
import io
import os
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from relayd.accounts.passwords import is_password
from relayd.policy.console.keys import parse_key
from relayd.policy.console.roles import Role, Scope
from relayd.ports.people import AuditQuery, Author, Deed, PeopleView, Sees
from relayd.ports.queue import QueueStore
from relayd.store import open_view
from tests.support.cli_world import Ran, World, column
from tests.support.clock import START
from tests.support.control_server import a_control_server
from tests.support.people import ROOT, a_key, a_session, an_account

SECRET = "correct horse"


class Console:
    """`relayd console ...` beside a daemon, and what is in the store then."""

    def __init__(self, world: World, store: QueueStore, people: PeopleView) -> None:
        self.world = world
        self.store = store
        self.people = people

    async def run(self, *words: str) -> Ran:
        return await asyncio.to_thread(self.world.run, "console", *words)


@pytest.fixture
async def console(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Console]:
    typed = io.TextIOWrapper(io.BytesIO(f"{SECRET}\n".encode() * 9))
    monkeypatch.setattr(sys, "stdin", typed)
    store = world.open_store()
    async with a_control_server(world.socket, store):
        with (
            capture_logs(),
            contextlib.closing(open_view(f"sqlite:{world.folder}/queue.db")) as view,
        ):
            yield Console(world, store, view.people)
    await store.close()


async def test_a_person_is_added(console: Console) -> None:
    ran = await console.run("user", "add", "anna", "--role", "operator", "--reads-content")
    assert (ran.status, ran.out, ran.err) == (0, "added anna\n", "")
    [account] = console.people.accounts()
    assert (account.name, account.role, account.reads_content) == ("anna", Role.OPERATOR, True)
    assert is_password(SECRET, account.password_hash)
    ran = await console.run("user", "add", "anna", "--role", "admin")
    assert (ran.status, ran.out) == (os.EX_NOINPUT, "")
    assert "there is a user anna already: relayd console user set changes it" in ran.err
    assert console.people.accounts() == [account]


async def test_rights_and_password_change_and_end_sessions(console: Console) -> None:
    await console.store.people.add_account(an_account(), author=ROOT)
    for words, changed in (
        (["set", "anna", "--role", "admin"], {"role": Role.ADMIN}),
        (["set", "anna", "--reads-content"], {"reads_content": True}),
        (["set", "anna", "--no-reads-content"], {"reads_content": False}),
        (["password", "anna"], {}),
        (["set", "anna", "--disable"], {"disabled": True}),
        (["set", "anna", "--enable"], {"disabled": False}),
    ):
        await console.store.people.open_session(a_session(), author=ROOT)
        ran = await console.run("user", *words)
        assert (ran.status, ran.out, ran.err) == (0, "changed anna\n", "")
        [account] = console.people.accounts()
        assert {name: getattr(account, name) for name in changed} == changed
        assert console.people.sessions("anna") == []
    assert is_password(SECRET, console.people.accounts()[0].password_hash)


async def test_a_person_is_logged_out_and_removed(console: Console) -> None:
    await console.store.people.add_account(an_account(), author=ROOT)
    await console.store.people.open_session(a_session(), author=ROOT)
    assert (await console.run("sessions", "end", "anna")).out == "logged out anna\n"
    ran = await console.run("sessions", "end", "anna")
    assert (ran.status, "anna is logged in nowhere" in ran.err) == (os.EX_NOINPUT, True)
    assert (await console.run("user", "remove", "anna", "--json")).rows == [
        {"name": "anna", "action": "removed"}
    ]
    assert console.people.accounts() == []
    for words in (["remove", "anna"], ["set", "anna", "--disable"], ["password", "anna"]):
        ran = await console.run("user", *words)
        assert ran.status == os.EX_NOINPUT
        assert "there is no user anna of the console" in ran.err


async def test_people_are_listed(console: Console) -> None:
    await console.store.people.add_account(an_account("ben", disabled=True), author=ROOT)
    await console.store.people.add_account(an_account(reads_content=True), author=ROOT)
    await console.store.people.open_session(a_session(), author=ROOT)
    ran = await console.run("user", "list", "--utc")
    at = "2026-03-01 12:00:00Z"
    assert ran.cells[1:] == [
        ["anna", "viewer", "reads", "", at, at],
        ["ben", "viewer", "", "disabled", "never", at],
    ]
    ran = await console.run("user", "list", "--json")
    assert ran.rows[0] == {
        "name": "anna",
        "role": "viewer",
        "reads_content": True,
        "disabled": False,
        "created_at": "2026-03-01T12:00:00.000Z",
        "last_login_at": "2026-03-01T12:00:00.000Z",
    }
    assert "argon2" not in ran.out


async def test_a_key_is_printed_once(console: Console) -> None:
    ran = await console.run(
        *("key", "add", "shop", "--scopes", "submit,read", "--senders", "a@x.test,@y.test"),
        *("--networks", "192.0.2.0/24,2001:db8::/32", "--per-minute", "60", "--sees", "all"),
        *("--expires", "520w"),
    )
    assert (ran.status, ran.err) == (0, "relayd: this is the whole key, which is not shown again\n")
    text = parse_key(ran.out.removesuffix("\n"))
    [key] = console.people.keys()
    assert text is not None
    assert (key.id, key.secret_hash, key.name) == (text.id, text.hash, "shop")
    assert key.scopes == {Scope.SUBMIT, Scope.READ}
    assert key.senders == ("a@x.test", "@y.test")
    assert [str(each) for each in key.networks] == ["192.0.2.0/24", "2001:db8::/32"]
    assert (key.requests_per_minute, key.sees) == (60, Sees.ALL)
    assert key.expires_at is not None
    assert key.expires_at > START + timedelta(weeks=520)
    ran = await console.run("key", "add", "shop", "--scopes", "read")
    assert (ran.status, "there is a key shop already" in ran.err) == (os.EX_NOINPUT, True)
    ran = await console.run("key", "add", "app", "--scopes", "read", "--json")
    assert (ran.rows[0]["name"], ran.err) == ("app", "")
    assert parse_key(ran.rows[0]["key"])


async def test_a_key_is_found_by_name_and_by_id(console: Console) -> None:
    await console.store.people.add_key(a_key(), author=ROOT)
    for which, option, disabled in (
        (a_key().id, "--disable", True),
        ("shop", "--enable", False),
    ):
        assert (await console.run("key", "set", which, option)).out == "changed shop\n"
        assert console.people.keys()[0].disabled is disabled
    assert (await console.run("key", "remove", a_key().id)).out == "removed shop\n"
    ran = await console.run("key", "remove", "shop")
    assert (ran.status, "there is no key shop" in ran.err) == (os.EX_NOINPUT, True)


async def test_keys_are_listed(console: Console) -> None:
    over = a_key("app", 1, expires_at=START, scopes=frozenset({Scope.READ, Scope.OPERATE}))
    for key in (a_key(senders=("@x.test",), disabled=True), over, a_key("web", 2)):
        await console.store.people.add_key(key, author=ROOT)
    cells = (await console.run("key", "list", "--utc")).cells
    assert column(cells, "KEY") == ["app", "shop", "web"]
    assert column(cells, "STATE") == ["expired", "disabled", ""]
    assert column(cells, "SCOPES") == ["operate, read", "submit", "submit"]
    assert column(cells, "EXPIRES") == ["2026-03-01 12:00:00Z", "never", "never"]
    ran = await console.run("key", "list", "--json")
    assert [row["disabled"] for row in ran.rows] == [False, True, False]
    assert "hash" not in ran.out


WRONG = {
    "user add anna": "--role",
    "user add anna --role root": "'root' is not one of",
    "user add Anna --role admin": "lower-case letters",
    "user set anna": "Say what to change",
    "key add shop": "--scopes",
    "key add shop --scopes root": "'root' is not one of submit, read, operate, admin, content",
    "key add shop --scopes ,": "Say what it may do",
    "key add shop --scopes read --networks 10.0.0.1/8": "has host bits set",
    "key add shop --scopes read --senders x": "expected senders",
    "key add shop --scopes read --per-minute 0": "0 is not in the range",
    "key add shop --scopes read --expires soon": "expires",
    "key set shop": "--disable",
}


@pytest.mark.parametrize(("words", "said"), WRONG.items())
def test_what_is_wrong_is_told(world: World, words: str, said: str) -> None:
    ran = world.run("console", *words.split())
    assert ran.status == os.EX_USAGE
    assert said in ran.err


async def test_all_of_it_is_in_the_audit(console: Console) -> None:
    for words in (
        "user add anna --role viewer",
        "user set anna --disable",
        "user remove anna",
        "key add shop --scopes read",
        "key set shop --disable",
        "key remove shop",
    ):
        assert (await console.run(*words.split())).status == 0
    rows = console.people.audit(AuditQuery(), limit=99)
    assert [row.action for row in reversed(rows)] == [
        f"{what}_{done}" for what in ("account", "key") for done in ("added", "changed", "removed")
    ]


async def test_the_audit_is_shown(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relayd.cli.console.audit._PAGE", 2)
    anna = Author(by="anna (console)", client="192.0.2.7")
    for number in range(5):
        await console.store.people.note(Deed("hold", f"m{number}", "fix"), author=anna)
    await console.store.people.note(Deed("compact"), author=ROOT)
    cells = (await console.run("audit", "--utc")).cells
    assert cells[1] == ["2026-03-01 12:00:00Z", "root", "", "compact", "", ""]
    assert cells[2][1:] == ["anna (console)", "192.0.2.7", "hold", "m4", "fix"]
    assert len(cells) == 7
    for words, targets in (
        ("--limit 3 --action hold", ["m4", "m3", "m2"]),
        ("--by root", [""]),
        ("--target M1", ["m1"]),
        ("--since 2026-03-01T12:00:01Z", []),
        ("--until 2026-03-01T12:00:00Z", []),
    ):
        assert column((await console.run("audit", *words.split())).cells, "TARGET") == targets
    assert (await console.run("audit", "--json")).rows[0] == {
        "ts": "2026-03-01T12:00:00.000Z",
        "by": "root",
        "action": "compact",
    }


def test_without_a_daemon_it_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"secret\n")))
    ran = world.run("console", "user", "add", "anna", "--role", "admin")
    assert (ran.status, ran.out) == (os.EX_UNAVAILABLE, "")
    assert "no daemon at" in ran.err

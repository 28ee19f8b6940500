"""The messages about people: what is written is read, and what is wrong is refused."""

import asyncio
import os
import pwd
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from relayd.control import client, people
from relayd.control.behalf import Behalf, with_behalf, without_behalf
from relayd.control.people import NewAccount, NewKey, NewPassword, NewSession
from relayd.control.protocol import BadMessage, decode, encode
from relayd.errors import RelaydError, StoreForbidden
from relayd.policy.console.keys import parse_key
from relayd.policy.console.roles import Role, Scope
from relayd.ports.people import Account, AccountChange, AuditQuery, Deed, Sees
from relayd.store.memory.queue import MemoryStore
from tests.support.accounts import cheap_hash
from tests.support.clock import START, FakeClock
from tests.support.control_server import a_control_server
from tests.support.people import (
    HASH,
    ROOT,
    a_key,
    a_key_text,
    a_session,
    a_token,
    an_account,
    token_hash,
)

ACCOUNT = NewAccount(name="anna", role=Role.ADMIN, reads_content=True, password_hash=HASH)
KEY = NewKey(
    name="shop",
    scopes=frozenset({Scope.SUBMIT, Scope.READ}),
    senders=("a@x.test", "@y.test"),
    networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")),
    requests_per_minute=60,
    sees=Sees.ALL,
    expires_at=START + timedelta(days=9),
)
SESSION = NewSession(account="anna", token_hash=token_hash(), client="192.0.2.7")
LOG_IN = people.log_in_to_json(SESSION, "secret")
ANNA = an_account(password_hash=cheap_hash("secret"))
ME = pwd.getpwuid(os.geteuid()).pw_name
CHANGES = [
    AccountChange(),
    AccountChange(role=Role.VIEWER, reads_content=False, password_hash="", disabled=False),
    AccountChange(disabled=True),
]


def sent(message: Any) -> dict[str, Any]:
    return decode(encode(message))


def test_what_is_written_is_read() -> None:
    assert people.add_account_from_json(sent(people.add_account_to_json(ACCOUNT))) == ACCOUNT
    for key in (KEY, NewKey(name="a", scopes=frozenset({Scope.READ}))):
        assert people.add_key_from_json(sent(people.add_key_to_json(key))) == key
    for change in CHANGES:
        message = sent(people.change_account_to_json("anna", change))
        assert people.change_account_from_json(message) == ("anna", change)
    message = sent(people.change_key_to_json("x", disabled=True))
    assert people.change_key_from_json(message) == ("x", True)
    assert people.drop_key_from_json(sent(people.drop_key_to_json("x"))) == "x"
    assert people.name_from_json(sent(people.name_to_json("people.drop_account", "a"))) == "a"
    message = sent(people.log_in_to_json(SESSION, "secret"))
    assert people.log_in_from_json(message) == (SESSION, "secret")
    assert people.proxy_log_in_from_json(sent(people.proxy_log_in_to_json(SESSION))) == SESSION
    password = NewPassword(old="a", new="b")
    assert people.set_password_from_json(sent(people.set_password_to_json(password))) == password
    deed = Deed("test_sent", "a@x.test", "why")
    message = sent(people.note_to_json(deed, client="192.0.2.7"))
    assert people.note_from_json(message) == (deed, "192.0.2.7")


@pytest.mark.parametrize("behalf", [None, Behalf(session="s", client="192.0.2.7"), Behalf(key="k")])
def test_for_whom_it_is_is_read(behalf: Behalf | None) -> None:
    assert without_behalf(sent(with_behalf({"verb": "ping"}, behalf))) == ({"verb": "ping"}, behalf)


def test_a_client_forges_no_line() -> None:
    given = {"verb": "ping", "as": {"session": "s", "client": f"1\n2{'x' * 99}"}}
    _, behalf = without_behalf(given)
    assert behalf == Behalf(session="s", client=f"1 2{'x' * 61}")


GOOD: dict[str, dict[str, Any]] = {
    "add_account": dict(people.add_account_to_json(ACCOUNT)),
    "change_account": dict(people.change_account_to_json("anna", AccountChange(role=Role.VIEWER))),
    "set_password": dict(people.set_password_to_json(NewPassword(old="", new="x"))),
    "name": dict(people.name_to_json("people.drop_account", "anna")),
    "add_key": dict(people.add_key_to_json(KEY)),
    "change_key": dict(people.change_key_to_json("x", disabled=True)),
    "drop_key": dict(people.drop_key_to_json("x")),
    "log_in": dict(people.log_in_to_json(SESSION, "secret")),
    "proxy_log_in": dict(people.proxy_log_in_to_json(SESSION)),
    "note": dict(people.note_to_json(Deed("a"))),
}
WRONG = [
    ("add_account", {"name": "Anna"}),
    ("add_account", {"name": None}),
    ("add_account", {"role": "root"}),
    ("add_account", {"role": None}),
    ("add_account", {"reads_content": "yes"}),
    ("add_account", {"password_hash": "secret"}),
    ("add_account", {"password_hash": "$argon2id$v=19$m=9999999,t=2,p=1$x$y"}),
    ("add_account", {"disabled": True}),
    ("change_account", {"role": None}),
    ("change_account", {"disabled": 1}),
    ("change_account", {"rolle": "admin"}),
    ("set_password", {"password_hash": HASH}),
    ("set_password", {"password": ""}),
    ("set_password", {"password": "\u00e4" * 513}),
    ("set_password", {"password": None}),
    ("set_password", {"old": 7}),
    ("set_password", {"name": "anna"}),
    ("set_password", {"role": "admin"}),
    ("name", {"name": ["anna"]}),
    ("name", {"all": True}),
    ("add_key", {"scopes": []}),
    ("add_key", {"scopes": "admin"}),
    ("add_key", {"scopes": ["root"]}),
    ("add_key", {"senders": ["x y"]}),
    ("add_key", {"networks": ["192.0.2.7/24"]}),
    ("add_key", {"networks": ["192.0.2.0/24"] * 101}),
    ("add_key", {"requests_per_minute": -1}),
    ("add_key", {"sees": "some"}),
    ("add_key", {"expires_at": "2027-01-01T00:00:00"}),
    ("add_key", {"id": "mine"}),
    ("change_key", {"disabled": None}),
    ("change_key", {"id": 7}),
    ("drop_key", {"id": None}),
    *(
        (verb, wrong)
        for verb in ("log_in", "proxy_log_in")
        for wrong in (
            {"session": "00"},
            {"session": "x" * 64},
            {"session": None},
            {"client": 7},
            {"by_proxy": True},
            {"role": "admin"},
            {"name": ["anna"]},
        )
    ),
    ("log_in", {"password": None}),
    ("log_in", {"password": ["secret"]}),
    ("log_in", {"password_hash": HASH}),
    ("proxy_log_in", {"name": "Anna"}),
    ("proxy_log_in", {"password": "secret"}),
    ("note", {"action": ""}),
    ("note", {"by": "root"}),
]


@pytest.mark.parametrize(("verb", "wrong"), WRONG)
def test_what_is_wrong_is_refused(verb: str, wrong: dict[str, object]) -> None:
    read = getattr(people, f"{verb}_from_json")
    read(GOOD[verb])
    with pytest.raises(BadMessage):
        read(GOOD[verb] | wrong)


def test_what_is_missing_is_refused() -> None:
    for verb in ("add_account", "change_account", "name", "add_key", "log_in", "proxy_log_in"):
        with pytest.raises(BadMessage, match="'name'"):
            getattr(people, f"{verb}_from_json")(
                {key: value for key, value in GOOD[verb].items() if key != "name"}
            )
    with pytest.raises(BadMessage, match="'disabled'"):
        people.change_key_from_json({"verb": "people.change_key", "id": "x"})


class World:
    """A control server on a real socket, which the daemon's own user asks."""

    def __init__(self, socket: Path) -> None:
        self.store = MemoryStore(FakeClock())
        self.path = str(socket)

    async def ask(self, message: Any, behalf: Behalf | None = None) -> dict[str, Any]:
        return await asyncio.to_thread(client.ask, self.path, message, behalf=behalf)

    def told(self) -> list[tuple[str, str, str]]:
        rows = self.store.view.people.audit(AuditQuery(), limit=99)
        return [(row.by, row.action, row.target) for row in reversed(rows)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "control")
    async with a_control_server(tmp_path / "control", made.store):
        yield made


async def test_an_owner_makes_accounts(world: World) -> None:
    assert (await world.ask(people.add_account_to_json(ACCOUNT)))["done"] is True
    assert (await world.ask(people.add_account_to_json(ACCOUNT)))["done"] is False
    [account] = world.store.people.accounts()
    assert account == Account(
        name="anna", role=Role.ADMIN, reads_content=True, password_hash=HASH, created_at=START
    )
    change = people.change_account_to_json("anna", AccountChange(disabled=True))
    assert (await world.ask(change))["done"] is True
    assert world.store.people.accounts()[0].disabled
    assert (await world.ask(people.name_to_json("people.drop_account", "anna")))["done"] is True
    assert (await world.ask(people.name_to_json("people.drop_account", "anna")))["done"] is False
    assert [action for _, action, _ in world.told()] == [
        "account_added",
        "account_changed",
        "account_removed",
    ]
    assert {by for by, _, _ in world.told()} == {ME}


async def test_a_key_is_told_once_and_whole(world: World) -> None:
    answer = await world.ask(people.add_key_to_json(KEY))
    text = parse_key(answer["key"])
    [kept] = world.store.people.keys()
    assert text is not None
    assert (kept.id, kept.secret_hash) == (text.id, text.hash) == (answer["id"], text.hash)
    assert (kept.name, kept.scopes, kept.senders) == (KEY.name, KEY.scopes, KEY.senders)
    assert (kept.networks, kept.expires_at) == (KEY.networks, KEY.expires_at)
    assert await world.ask(people.add_key_to_json(KEY)) == {"ok": True, "done": False}
    assert (await world.ask(people.change_key_to_json(text.id, disabled=True)))["done"] is True
    assert world.store.people.keys()[0].disabled
    assert (await world.ask(people.drop_key_to_json(text.id)))["done"] is True
    assert world.store.people.keys() == []
    assert text.secret not in str(world.store.view.people.audit(AuditQuery(), limit=99))


async def test_a_session_from_log_in_to_log_out(world: World) -> None:
    await world.store.people.add_account(ANNA, author=ROOT)
    assert await world.ask(LOG_IN) == {"ok": True, "done": True}
    behalf = Behalf(session=a_token(), client="192.0.2.7")
    assert (await world.ask({"verb": "people.touch_session"}, behalf))["done"] is True
    with pytest.raises(RelaydError, match="'as' has no API key"):
        await world.ask({"verb": "people.touch_key"}, behalf)
    await world.ask(people.note_to_json(Deed("test_mail", "a@x.test")), behalf)
    assert (await world.ask({"verb": "people.end_session"}, behalf))["done"] is True
    with pytest.raises(StoreForbidden, match="log in again"):
        await world.ask({"verb": "people.touch_session"}, behalf)
    assert world.told()[1:] == [
        ("anna (console)", "logged_in", "anna"),
        ("anna (console)", "test_mail", "a@x.test"),
        ("anna (console)", "logged_out", "anna"),
    ]


async def test_no_session_for_nobody(world: World) -> None:
    assert (await world.ask(LOG_IN))["done"] is False
    for verb in ("touch_session", "end_session", "touch_key"):
        with pytest.raises(RelaydError, match="'as' has no"):
            await world.ask({"verb": f"people.{verb}"})


async def test_a_proxy_that_the_settings_do_not_name_opens_no_session(world: World) -> None:
    await world.store.people.add_account(an_account(), author=ROOT)
    with pytest.raises(StoreForbidden, match=r"console\.proxy\.header is not set"):
        await world.ask(people.proxy_log_in_to_json(SESSION))
    assert not world.store.view.people.sessions("anna")


async def test_a_key_is_used(world: World) -> None:
    await world.store.people.add_key(a_key(), author=ROOT)
    await world.store.people.open_session(a_session(), author=ROOT)
    behalf = Behalf(key=str(a_key_text()))
    assert (await world.ask({"verb": "people.touch_key"}, behalf))["done"] is True
    assert world.store.people.keys()[0].last_used_at == START
    with pytest.raises(StoreForbidden, match="'operate'"):
        await world.ask({"verb": "unsuppress", "rcpt": "a@x.test"}, behalf)


async def test_what_the_console_notes_by_itself(world: World) -> None:
    await world.ask(people.note_to_json(Deed("log_in_failed", "anna"), client="192.0.2.7"))
    [row] = world.store.view.people.audit(AuditQuery(), limit=9)
    assert (row.by, row.client, row.action) == (ME, "192.0.2.7", "log_in_failed")


async def test_history_says_for_whom_it_was(world: World) -> None:
    await world.store.people.add_account(replace(ANNA, role=Role.OPERATOR), author=ROOT)
    await world.ask(LOG_IN)
    behalf = Behalf(session=a_token())
    request = {"verb": "suppress", "addresses": [{"rcpt": "a@x.test"}]}
    await world.ask(request, behalf)
    [row] = world.store.view.suppressions(limit=9)
    assert row.by == "anna (console)"

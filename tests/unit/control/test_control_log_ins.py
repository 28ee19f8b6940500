"""Passwords of the console as the daemon checks them: who is let in, what guessing costs, and what is told of it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
import structlog

from relayd.accounts import passwords
from relayd.accounts.passwords import OUR_COST, Unverifiable, cost_of, is_password
from relayd.control import log_ins as module
from relayd.control import people
from relayd.control.behalf import Behalf, with_behalf
from relayd.control.log_ins import WRONG
from relayd.control.peer import Peer
from relayd.control.people import NewPassword, NewSession
from relayd.control.protocol import Message
from relayd.control.verbs import admit, answer
from relayd.policy.console.access import Caller
from relayd.policy.console.backoff import PACE
from relayd.ports.people import Account, AccountChange, AuditQuery
from relayd.store.memory.queue import MemoryStore
from tests.support.accounts import cheap_hash, dear_hash, lone_log_ins
from tests.support.clock import FakeClock
from tests.support.control_server import a_context
from tests.support.people import ROOT, a_token, an_account, token_hash

SECRET = "correct horse"
HOME, STRANGER = "192.0.2.7", "198.51.100.1"
CHEAP = cost_of(cheap_hash(SECRET))


class Checks:
    """Counts the hashes that are computed, in place of a clock; they can be made to wait, or to fail."""

    def __init__(self) -> None:
        self.costs: list[str] = []
        self.now = self.most = 0
        self.go_on_with = 0  # so many at once end the waiting; 0: the test does
        self.fault: Exception | None = None
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self._lock = threading.Lock()

    def __call__(self, password: str, hashed: str) -> bool:
        with self._lock:
            self.costs.append(cost_of(hashed))
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now == self.go_on_with:
                self.go_on.set()
        self.begun.set()
        self.go_on.wait(5)
        with self._lock:
            self.now -= 1
        if self.fault is not None:
            raise self.fault
        return is_password(password, hashed)

    def taken(self) -> list[str]:
        """Return what was computed since the last time."""
        costs, self.costs = self.costs, []
        return sorted(costs)


class World:
    """A worker with accounts, asked by the console."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.log_ins = lone_log_ins(self.clock.monotonic)
        self.context = a_context(self.store, now=self.clock.now, log_ins=self.log_ins)

    async def add(self, name: str = "anna", **fields: Any) -> Account:
        account = an_account(name, **{"password_hash": cheap_hash(SECRET), **fields})
        await self.store.people.add_account(account, author=ROOT)
        return account

    async def ask(self, request: Message, behalf: Behalf | None = None) -> Mapping[str, object]:
        console = Peer(name="relayd-console", caller=Caller.CONSOLE)
        found = await answer(*await admit(with_behalf(request, behalf), console, self.context))
        assert isinstance(found, Mapping)
        return found

    async def log_in(self, name: str, password: str, client: str = HOME) -> str:
        """Return why somebody is not let in; empty: they are."""
        session = NewSession(account=name, token_hash=token_hash(), client=client)
        found = await self.ask(people.log_in_to_json(session, password))
        return "" if found["done"] is True else str(found["why"])

    async def set_password(self, old: str, new: str) -> str:
        request = people.set_password_to_json(NewPassword(old=old, new=new))
        found = await self.ask(request, Behalf(session=a_token(), client=HOME))
        return "" if found["done"] is True else str(found["why"])


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.log_ins.close()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Checks]:
    checks = Checks()
    monkeypatch.setattr(passwords, "is_password", checks)
    yield checks
    checks.go_on.set()


async def test_who_knows_the_password_has_a_session(world: World) -> None:
    await world.add()
    assert await world.log_in("anna", SECRET) == ""
    [session] = world.store.people.sessions("anna")
    assert (session.token_hash, session.client) == (token_hash(), HOME)
    [entry] = world.store.view.people.audit(AuditQuery(action="logged_in"), limit=9)
    assert (entry.by, entry.client, entry.detail) == ("anna (console)", HOME, "")


WHO_NOT: dict[str, Callable[[World], Awaitable[object]]] = {
    "a wrong password": lambda world: world.add(password_hash=cheap_hash("another")),
    "disabled": lambda world: world.add(disabled=True),
    "without a password": lambda world: world.add(password_hash=""),
    "nobody": lambda world: world.add("karla"),
}


@pytest.mark.parametrize("add", WHO_NOT.values(), ids=WHO_NOT)
@pytest.mark.parametrize("caller", [Caller.CONSOLE, Caller.OWNER])
async def test_nobody_is_let_in_on_the_word_of_the_console(
    add: Callable[[World], Awaitable[object]], caller: Caller, world: World
) -> None:
    await add(world)
    session = NewSession(account="anna", token_hash=token_hash())
    request = people.log_in_to_json(session, SECRET)
    asked = await admit(request, Peer(name="x", caller=caller), world.context)
    assert await answer(*asked) == {"ok": True, "done": False, "why": WRONG}
    assert not world.store.people.sessions("anna")


@pytest.mark.parametrize("password", ["wrong", "", SECRET + "\0", "x" * 1024])
async def test_all_refusals_cost_the_same(password: str, world: World, checks: Checks) -> None:
    """Each of the costs that some account has, once: who has which, and who is there, is not told by time."""
    await world.add("cheap")
    await world.add("dear", password_hash=dear_hash(SECRET))
    await world.add("disabled", disabled=True)
    await world.add("without", password_hash="")
    for number, name in enumerate(("cheap", "dear", "disabled", "without", "nobody")):
        assert await world.log_in(name, password, f"192.0.2.{number}") == WRONG
        assert checks.taken() == sorted([CHEAP, OUR_COST])


async def test_without_accounts_a_refusal_costs_what_ours_do(world: World, checks: Checks) -> None:
    assert await world.log_in("anna", SECRET) == WRONG
    assert checks.taken() == [OUR_COST]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("anna", "x" * 1025),
        ("anna", "\u00e4" * 513),
        ("anna", "x" * 900_000),
        ("a" * 65, SECRET),
        ("a" * 900_000, SECRET),
        ("Anna", SECRET),
        ("anna\nroot", SECRET),
        ("", SECRET),
    ],
)
async def test_what_no_account_has_is_refused_before_it_is_hashed(
    name: str, password: str, world: World, checks: Checks
) -> None:
    await world.add()
    for _ in range(PACE.free):
        assert await world.log_in(name, password) == WRONG
    assert "Too many attempts" in await world.log_in(name, password), "and it counts"
    assert checks.taken() == []


async def test_who_guesses_waits_and_the_right_password_too(world: World, checks: Checks) -> None:
    await world.add()
    for _ in range(PACE.free):
        assert await world.log_in("anna", "wrong", STRANGER) == WRONG
    assert len(checks.taken()) == PACE.free
    assert await world.log_in("anna", SECRET) == "Too many attempts: try again in 31 s."
    assert await world.log_in("ben", SECRET, STRANGER) == "Too many attempts: try again in 31 s."
    assert checks.taken() == [], "nothing is hashed"
    world.clock.advance(timedelta(seconds=30))
    assert await world.log_in("anna", SECRET) == "", "never for ever"


async def test_a_console_that_lies_about_addresses_has_no_more_guesses(world: World) -> None:
    await world.add()
    told = [await world.log_in("anna", f"guess{n}", f"203.0.113.{n}") for n in range(40)]
    assert told.count(WRONG) == PACE.free


async def test_guesses_at_once_are_few(world: World, checks: Checks) -> None:
    await world.add()
    checks.go_on.clear()
    checks.go_on_with = module._AT_ONCE
    told = await asyncio.gather(*(world.log_in("anna", "wrong") for _ in range(30)))
    assert told.count("Too many log in just now: try again in a moment.") == 30 - module._PLACES
    assert checks.most == module._AT_ONCE
    assert PACE.free <= told.count(WRONG) <= PACE.free + module._AT_ONCE - 1


@pytest.mark.parametrize(
    "fault", [Unverifiable("no memory"), RuntimeError("can't start new thread")]
)
async def test_a_check_that_fails_lets_nobody_in(
    fault: Exception, world: World, checks: Checks
) -> None:
    await world.add()
    checks.fault = fault
    for _ in range(PACE.free + 1):
        assert "cannot be checked now" in await world.log_in("anna", SECRET)
    checks.fault = None
    assert await world.log_in("anna", SECRET) == "", "and it is no guess"


async def test_a_password_that_is_changed_meanwhile_opens_nothing(
    world: World, checks: Checks
) -> None:
    await world.add()
    checks.go_on.clear()

    async def change() -> None:
        await asyncio.to_thread(checks.begun.wait, 5)
        wanted = AccountChange(password_hash=cheap_hash("another"))
        await world.store.people.change_account("anna", wanted, author=ROOT)
        checks.go_on.set()

    told, _ = await asyncio.gather(world.log_in("anna", SECRET), change())
    assert told == WRONG
    assert not world.store.people.sessions("anna")


# One's own password


async def test_who_knows_the_old_password_sets_a_new_one(world: World) -> None:
    await world.add()
    await world.log_in("anna", SECRET)
    assert await world.set_password(SECRET, "another one") == ""
    assert not world.store.people.sessions("anna")
    [account] = world.store.people.accounts()
    assert is_password("another one", account.password_hash)


async def test_a_session_alone_changes_no_password(world: World, checks: Checks) -> None:
    """Nor does it guess any faster than others."""
    before = await world.add()
    await world.log_in("anna", SECRET)
    checks.taken()
    told = [await world.set_password("wrong", "another one") for _ in range(9)]
    assert told.count(WRONG) == len(checks.taken()) == PACE.free
    assert "Too many attempts" in await world.set_password(SECRET, "another one")
    [account] = world.store.people.accounts()
    assert account.password_hash == before.password_hash
    assert world.store.people.sessions("anna")


async def test_no_password_is_in_the_log_or_the_audit(world: World) -> None:
    await world.add()
    with structlog.testing.capture_logs() as logs:
        await world.log_in("anna", "SECRET-1")
        await world.log_in("anna\n" + "x" * 99, SECRET)
        await world.log_in("anna", SECRET)
        await world.set_password("SECRET-2", "SECRET-3")
        await world.set_password(SECRET, "SECRET-4")
        with pytest.raises(Exception, match="unknown key") as refused:
            await world.ask({"verb": "people.log_in", "password": "SECRET-5", "x": "SECRET-6"})
    entries = world.store.view.people.audit(AuditQuery(), limit=99)
    text = f"{logs} {entries} {refused.value} {NewPassword(old='SECRET-7', new='SECRET-8')}"
    assert SECRET not in text
    assert "SECRET-" not in text
    failed = [each["account"] for each in logs if each["event"] == "console_login_failed"]
    assert failed == ["anna", "anna " + "x" * 59, "anna"]

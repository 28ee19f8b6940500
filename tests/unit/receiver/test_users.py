"""The users file, and checking logins against it: what is verified, remembered, and put off."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from relayd.accounts import passwords
from relayd.accounts.passwords import OUR_COST, Unverifiable, cost_of, is_password
from relayd.mail.account import Account
from relayd.policy.intake.known_sources import KnownSources
from relayd.policy.intake.login import OF_NETWORK, OF_ONE
from relayd.policy.intake.login_source import Level
from relayd.policy.intake.origin import Origin
from relayd.receiver import login_turns
from relayd.receiver import users as module
from relayd.receiver.sasl import Credentials
from relayd.receiver.users import TOO_OFTEN, TROUBLE, WRONG, Users
from tests.support.accounts import cheap_hash, dear_hash, lone_sources, write_users
from tests.support.clock import FakeClock
from tests.support.receiving import until
from tests.support.shortage import no_descriptors

FAR = Origin(ip="192.0.2.7")
HERE = Origin(ip="127.0.0.1")
GOOD = Credentials(user="app", password="hunter2")
BAD = Credentials(user="app", password="hunter3")
NONE = Credentials(user="nobody", password="hunter2")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_users(tmp_path / "users", ("app", "hunter2", ""), ("b", "hunter2", "@x.test"))


class Checks:
    """Counts the verifications, on their way to the real one."""

    def __init__(self) -> None:
        self.hashes: list[str] = []
        self.fault: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, password: str, hashed: str) -> bool:
        self.hashes.append(hashed)
        self.go_on.wait(5)
        if self.fault is not None:
            raise self.fault
        return is_password(password, hashed)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Checks]:
    checks = Checks()
    monkeypatch.setattr(passwords, "is_password", checks)
    yield checks
    checks.go_on.set()


def checking(
    file: Path,
    main: Callable[[Users, FakeClock], Awaitable[None]],
    known: KnownSources | None = None,
) -> list[dict[str, Any]]:
    """Run `main` with the users of the file; return what was logged."""

    async def bounded() -> None:
        clock = FakeClock()
        users = Users(str(file), clock, known or lone_sources())
        try:
            async with asyncio.timeout(10):
                await main(users, clock)
        finally:
            users.close()

    with capture_logs() as logs:
        asyncio.run(bounded())
    return [dict(entry) for entry in logs]


def test_right_and_wrong(file: Path, checks: Checks) -> None:
    async def main(users: Users, _: FakeClock) -> None:
        account = await users.check(GOOD, FAR)
        assert isinstance(account, Account)
        assert account.name == "app"
        assert await users.check(BAD, FAR) == WRONG
        assert await users.check(Credentials(user="", password=""), FAR) == WRONG

    logs = checking(file, main)
    assert [entry["event"] for entry in logs] == ["login_failed", "login_failed"]
    assert (logs[0]["client_ip"], logs[0]["auth_user"]) == (FAR.ip, "app")
    assert len(checks.hashes) == 3


@pytest.mark.parametrize(("acts_as", "does"), [("", True), ("app", True), ("b", False)])
def test_nobody_acts_as_another(file: Path, acts_as: str, *, does: bool) -> None:
    given = Credentials(user="app", password="hunter2", acts_as=acts_as)

    async def main(users: Users, _: FakeClock) -> None:
        assert isinstance(await users.check(given, FAR), Account) is does

    checking(file, main)


CHEAP, DEAR = cost_of(cheap_hash("x")), cost_of(dear_hash("x"))
REFUSED = {
    "wrong": Credentials(user="app", password="hunter3"),
    "wrong-of-the-dear-one": Credentials(user="dear", password="hunter3"),
    "nobody": Credentials(user="nobody", password="hunter2"),
    "no-name": Credentials(user="", password=""),
    "no-password": Credentials(user="app", password=""),
    "no-name-at-all": Credentials(user="a b", password="hunter2"),
    "name-too-long": Credentials(user="x" * 9000, password="hunter2"),
    "long-password": Credentials(user="app", password="x" * 9000),
    "right-but-acts-as-another": Credentials(user="app", password="hunter2", acts_as="dear"),
    "right-but-acts-as-nobody": Credentials(user="app", password="hunter2", acts_as="nobody"),
    "wrong-and-acts-as-another": Credentials(user="dear", password="x", acts_as="app"),
}


@pytest.mark.parametrize("known", [None, FAR], ids=["first", "known"])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_refusal_costs_the_same_whoever_was_asked_for(
    file: Path, checks: Checks, kind: str, known: Origin | None
) -> None:
    """A-32: the reply is the same, and so is the work: one check of each cost that is in the file."""
    with file.open("a") as users_file:
        users_file.write(f"dear {dear_hash('hunter2')}\n")

    async def main(users: Users, _: FakeClock) -> None:
        if known is not None:
            for name in ("app", "dear"):
                await users.check(Credentials(user=name, password="hunter2"), known)
        checks.hashes.clear()
        assert await users.check(REFUSED[kind], FAR) == WRONG

    checking(file, main)
    assert sorted(map(cost_of, checks.hashes)) == sorted([CHEAP, DEAR])


def test_a_right_password_costs_its_own_check(file: Path, checks: Checks) -> None:
    with file.open("a") as users_file:
        users_file.write(f"dear {dear_hash('hunter2')}\n")

    async def main(users: Users, _: FakeClock) -> None:
        assert isinstance(await users.check(GOOD, FAR), Account)

    checking(file, main)
    assert list(map(cost_of, checks.hashes)) == [CHEAP]


def test_what_a_refusal_costs_follows_the_file(tmp_path: Path, checks: Checks) -> None:
    file = tmp_path / "users"
    file.touch(mode=0o600)

    async def main(users: Users, clock: FakeClock) -> None:
        assert await users.check(NONE, FAR) == WRONG
        write_users(file, ("app", "hunter2", ""))
        clock.advance(timedelta(seconds=2))
        assert await users.check(NONE, FAR) == await users.check(BAD, FAR) == WRONG

    checking(file, main)
    assert list(map(cost_of, checks.hashes)) == [OUR_COST, CHEAP, CHEAP]
    assert cost_of(dear_hash("x")) == OUR_COST


def test_even_the_right_password_of_another_is_wrong_for_nobody(file: Path) -> None:
    """The hash that an unknown name is checked against belongs to somebody."""

    async def main(users: Users, _: FakeClock) -> None:
        assert await users.check(NONE, FAR) == WRONG
        assert await users.check(NONE, FAR) == WRONG

    checking(file, main)


def test_a_good_login_is_remembered_for_five_minutes(file: Path, checks: Checks) -> None:
    async def main(users: Users, clock: FakeClock) -> None:
        for after, count in ((0, 1), (299, 1), (2, 2)):
            clock.advance(timedelta(seconds=after))
            assert isinstance(await users.check(GOOD, FAR), Account)
            assert len(checks.hashes) == count
        assert await users.check(BAD, FAR) == WRONG
        assert await users.check(BAD, FAR) == WRONG
        assert len(checks.hashes) == 4, "a bad one is not"
        held = repr(vars(users))
        assert "hunter" not in held

    checking(file, main)


def test_what_is_remembered_is_bounded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 1)

    async def main(users: Users, _: FakeClock) -> None:
        await users.check(GOOD, FAR)
        await users.check(Credentials(user="b", password="hunter2"), FAR)
        assert len(users._good) == 1

    checking(file, main)


def test_the_same_login_at_once_is_hardly_checked_twice(file: Path, checks: Checks) -> None:
    checks.go_on.clear()

    async def main(users: Users, _: FakeClock) -> None:
        async with asyncio.TaskGroup() as tasks:
            logins = [tasks.create_task(users.check(GOOD, FAR)) for _ in range(20)]
            await asyncio.sleep(0)
            checks.go_on.set()
        assert all(isinstance(login.result(), Account) for login in logins)

    checking(file, main)
    assert len(checks.hashes) <= login_turns.AT_ONCE, "not by those that wait for their turn"


def some(number: int, password: str = "wrong") -> Credentials:
    return Credentials(user=f"u{number}", password=password)


def test_too_many_checks_are_put_off(
    file: Path, checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_turns, "_PLACES", 1)
    checks.go_on.clear()

    async def main(users: Users, _: FakeClock) -> None:
        async with asyncio.TaskGroup() as tasks:
            logins = [tasks.create_task(users.check(some(number), FAR)) for number in range(4)]
            await asyncio.wait(logins, return_when=asyncio.FIRST_COMPLETED)
            checks.go_on.set()
        assert [login.result() for login in logins] == [WRONG, WRONG, WRONG, TROUBLE]

    [entry] = [one for one in checking(file, main) if one["event"] == "login_not_checked"]
    assert entry["reason"] == "too many logins at once"


def test_guesses_at_once_are_no_more_than_those_one_by_one(file: Path, checks: Checks) -> None:
    """What failed before a login has its turn counts against it, though it came in before."""
    checks.go_on.clear()

    async def main(users: Users, _: FakeClock) -> None:
        async with asyncio.TaskGroup() as tasks:
            logins = [
                tasks.create_task(users.check(Credentials(user="app", password=str(each)), FAR))
                for each in range(60)
            ]
            await asyncio.sleep(0)
            checks.go_on.set()
        replies = [login.result() for login in logins]
        assert replies.count(WRONG) <= OF_ONE.free + login_turns.AT_ONCE - 1
        assert replies.count(TOO_OFTEN) == 60 - replies.count(WRONG)

    checking(file, main)


@pytest.mark.parametrize("client_ip", ["127.0.0.1", "", "198.{}.0.1"], ids=["tcp", "unix", "far"])
def test_a_flood_of_guesses_does_not_keep_others_out(
    file: Path, checks: Checks, client_ip: str
) -> None:
    """200 wait when the right ones come, who were never there before: none is put off."""
    checks.go_on.clear()

    async def main(users: Users, _: FakeClock) -> None:
        async with asyncio.TaskGroup() as tasks:
            guesses = [
                tasks.create_task(users.check(some(number), Origin(ip=client_ip.format(number))))
                for number in range(200)
            ]
            await asyncio.sleep(0)
            right = [
                tasks.create_task(users.check(GOOD, Origin(ip=client_ip.format(200 + number))))
                for number in range(15)
            ]
            await asyncio.sleep(0)
            checks.go_on.set()
        assert all(isinstance(login.result(), Account) for login in right)
        assert {guess.result() for guess in guesses} <= {WRONG, TOO_OFTEN}

    checking(file, main)


def test_who_logged_in_lately_does_not_wait_for_strangers(file: Path, checks: Checks) -> None:
    """All turns of strangers are taken, and all their places."""

    async def main(users: Users, clock: FakeClock) -> None:
        assert isinstance(await users.check(GOOD, FAR), Account)
        clock.advance(timedelta(hours=1))  # the password is to be checked again
        checks.go_on.clear()
        async with asyncio.TaskGroup() as tasks:
            guesses = [
                tasks.create_task(users.check(some(number), Origin(ip=f"198.51.{number % 200}.1")))
                for number in range(600)
            ]
            await asyncio.sleep(0)
            known = tasks.create_task(users.check(GOOD, FAR))
            await asyncio.wait(guesses, return_when=asyncio.FIRST_COMPLETED)
            account = users.find("app")
            assert account is not None
            await until(lambda: checks.hashes[-1] == account.hash)  # it has begun
            checks.go_on.set()
        assert isinstance(known.result(), Account)
        assert TROUBLE in [guess.result() for guess in guesses]

    checking(file, main)


def test_one_worker_knows_who_logged_in_at_another(file: Path) -> None:
    """Strangers guess at the account everywhere; its own source is served everywhere."""

    async def main(users: Users, clock: FakeClock) -> None:
        assert isinstance(await users.check(GOOD, FAR), Account)
        other = Users(str(file), clock, known)
        try:
            for number in range(30):
                await other.check(BAD, Origin(ip=f"198.{number}.0.1"))
            assert await other.check(GOOD, Origin(ip="203.0.113.1")) == TOO_OFTEN
            assert isinstance(await other.check(GOOD, FAR), Account)
        finally:
            other.close()

    known = lone_sources()
    checking(file, main, known)


def test_who_waits_too_long_is_told_so(
    file: Path, checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_turns, "_PATIENCE", 0)
    checks.go_on.clear()

    async def main(users: Users, _: FakeClock) -> None:
        async with asyncio.TaskGroup() as tasks:
            logins = [tasks.create_task(users.check(some(number), FAR)) for number in range(3)]
            await asyncio.wait(logins, return_when=asyncio.FIRST_COMPLETED)
            assert logins[2].result() == TROUBLE
            checks.go_on.set()
        assert await users.check(GOOD, FAR) == users.find("app"), "and its turn is free"

    checking(file, main)


def test_who_is_gone_has_no_turn(file: Path, checks: Checks) -> None:
    checks.go_on.clear()

    async def main(users: Users, _: FakeClock) -> None:
        async with asyncio.TaskGroup() as tasks:
            logins = [tasks.create_task(users.check(some(number), FAR)) for number in range(8)]
            await asyncio.sleep(0)
            for login in logins[1:]:
                login.cancel()
            await asyncio.wait(logins[1:])
            checks.go_on.set()
        assert len(checks.hashes) == 2, "those that had begun"
        for _attempt in range(5):
            assert isinstance(await users.check(GOOD, FAR), Account)

    checking(file, main)


def test_where_nobody_knows_where_the_client_is_it_is_not_on_this_machine(file: Path) -> None:
    """Its proxy is; so all of them are one network, which is put off in the end."""

    async def main(users: Users, _: FakeClock) -> None:
        replies = [
            await users.check(some(number), Origin(ip="127.0.0.1", is_known=False))
            for number in range(60)
        ]
        site = OF_NETWORK[Level.SITE].free
        assert replies == [WRONG] * site + [TOO_OFTEN] * (60 - site)
        assert isinstance(await users.check(GOOD, HERE), Account)

    checking(file, main)


def test_failures_fill_no_log(file: Path) -> None:
    async def main(users: Users, clock: FakeClock) -> None:
        for number in range(1000):
            await users.check(some(number), HERE)
            await users.check(BAD, FAR)
        clock.advance(timedelta(minutes=1))
        await users.check(BAD, HERE)

    entries = checking(file, main)
    assert len(entries) <= 60 + 10 + 1
    assert {entry["event"] for entry in entries} == {"login_failed"}
    assert entries[-1]["unsaid"] == 1000 + 5 - 60


def test_a_check_that_fails_is_nobody_s_fault(file: Path, checks: Checks) -> None:
    async def main(users: Users, _: FakeClock) -> None:
        checks.fault = Unverifiable("no memory")
        for _attempt in range(10):
            assert await users.check(GOOD, FAR) == TROUBLE
        checks.fault = None
        assert isinstance(await users.check(GOOD, FAR), Account)

    [entry] = checking(file, main)
    assert (entry["event"], entry["reason"]) == ("login_not_checked", "no memory")


def test_without_a_thread_logins_are_put_off(file: Path) -> None:
    async def main(users: Users, _: FakeClock) -> None:
        users.close()
        assert await users.check(GOOD, FAR) == TROUBLE

    assert [entry["event"] for entry in checking(file, main)] == ["login_not_checked"]


def test_who_fails_often_is_not_even_checked(file: Path, checks: Checks) -> None:
    async def main(users: Users, clock: FakeClock) -> None:
        replies = [await users.check(BAD, FAR) for _ in range(7)]
        assert replies == [WRONG] * 5 + [TOO_OFTEN] * 2
        assert await users.check(GOOD, FAR) == TOO_OFTEN
        assert len(checks.hashes) == 5
        assert isinstance(await users.check(GOOD, Origin(ip="198.51.100.1")), Account)
        clock.advance(timedelta(seconds=31))
        assert isinstance(await users.check(GOOD, FAR), Account)
        assert await users.check(BAD, FAR) == WRONG

    checking(file, main)


def test_what_is_put_off_tells_nothing(file: Path) -> None:
    """Neither who has an account, nor which password is right."""
    words = (*"abcdef", "hunter2")

    async def main(users: Users, _: FakeClock) -> None:
        found = [
            [await users.check(Credentials(user=user, password=each), origin) for each in words]
            for user, origin in (("app", FAR), ("nobody", Origin(ip="198.51.100.1")))
        ]
        assert found[0] == found[1] == [WRONG] * 5 + [TOO_OFTEN] * 2

    checking(file, main)


def test_who_was_put_off_may_try_the_new_password_at_once(file: Path) -> None:
    async def main(users: Users, clock: FakeClock) -> None:
        for _ in range(20):
            await users.check(BAD, FAR)
        assert await users.check(BAD, FAR) == TOO_OFTEN
        write_users(file, ("app", "hunter3", ""))
        clock.advance(timedelta(seconds=2))
        assert isinstance(await users.check(BAD, FAR), Account)

    checking(file, main)


# --- the file


def test_a_changed_file_is_read_again(file: Path, checks: Checks) -> None:
    """And what was good before is checked again."""

    async def main(users: Users, clock: FakeClock) -> None:
        assert isinstance(await users.check(GOOD, FAR), Account)
        write_users(file, ("app", "hunter3", ""))
        assert isinstance(await users.check(GOOD, FAR), Account)  # it looks now and then only
        clock.advance(timedelta(seconds=2))
        assert await users.check(GOOD, FAR) == WRONG
        assert isinstance(await users.check(BAD, FAR), Account)
        assert len(checks.hashes) == 3

    assert "users_loaded" in [entry["event"] for entry in checking(file, main)]


def test_a_check_under_way_is_of_the_old_password_only(file: Path, checks: Checks) -> None:
    """Who logs in with it meanwhile is checked against the new one."""
    checks.go_on.clear()

    async def main(users: Users, clock: FakeClock) -> None:
        async with asyncio.TaskGroup() as tasks:
            before = tasks.create_task(users.check(GOOD, FAR))
            await asyncio.sleep(0)
            write_users(file, ("app", "hunter3", ""))
            clock.advance(timedelta(seconds=2))
            after = tasks.create_task(users.check(GOOD, FAR))
            await asyncio.sleep(0)
            checks.go_on.set()
        assert after.result() == WRONG
        assert before.result() != users.find("app"), "its session ends with its next message"
        assert await users.check(GOOD, FAR) == WRONG

    checking(file, main)


@pytest.mark.parametrize("how", ["broken", "open-to-others", "gone"])
def test_a_file_of_no_use_leaves_the_accounts_in_use(file: Path, how: str) -> None:
    def spoil() -> None:
        match how:
            case "broken":
                file.write_text("app hunter2\n")
            case "gone":
                file.unlink()
            case _:
                file.parent.chmod(0o755)
                file.chmod(0o604)

    async def main(users: Users, clock: FakeClock) -> None:
        spoil()
        for _ in range(3):
            clock.advance(timedelta(seconds=2))
            assert isinstance(await users.check(GOOD, FAR), Account)

    [entry] = checking(file, main)
    assert entry["event"] == "users_kept", "once, not at each look"
    assert "hunter2" not in str(entry)


def test_refusals_have_codes_of_their_class() -> None:
    for reply in (WRONG, TROUBLE, TOO_OFTEN):
        assert reply.enhanced is not None
        assert reply.lines[0].startswith(f"{reply.enhanced} ")
        assert reply.enhanced[0] == str(reply.code)[0]


def test_a_changed_file_that_cannot_be_opened_for_now_is_read_later(file: Path) -> None:
    """A lack of descriptors says nothing about the file."""

    async def main(users: Users, clock: FakeClock) -> None:
        write_users(file, ("new", "hunter2", ""))
        with no_descriptors():
            for _ in range(3):
                clock.advance(timedelta(seconds=2))
                assert users.find("app") is not None
        clock.advance(timedelta(seconds=2))
        assert users.find("new") is not None

    logs = checking(file, main)
    assert [entry["event"] for entry in logs] == ["users_kept", "users_loaded"]

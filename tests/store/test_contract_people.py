"""What every store must do: accounts, API keys, sessions and the audit of the console."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from ipaddress import ip_network

import pytest

from relayd.policy.console.roles import Role, Scope
from relayd.policy.console.sessions import IDLE, LONGEST
from relayd.ports.people import (
    DETAIL_LIMIT,
    Account,
    AccountChange,
    AuditEntry,
    AuditQuery,
    Author,
    Deed,
    LetIn,
    LoggedIn,
    People,
    Sees,
)
from tests.support.people import HASH, ROOT, a_key, a_session, an_account, token_hash
from tests.support.stores import ALL, Box

ANNA = Author(by="anna (console)", client="192.0.2.7")
SUBJECT = "https://auth.test 4711"


def audit(box: Box, query: AuditQuery | None = None) -> list[AuditEntry]:
    return list(box.view.people.audit(query or AuditQuery(), limit=ALL))


def last(box: Box) -> tuple[str, str, str, str, str]:
    entry = audit(box)[0]
    assert entry.at == box.clock.now()
    return entry.by, entry.client, entry.action, entry.target, entry.detail


async def test_nobody_is_there_at_first(box: Box) -> None:
    view = box.view.people
    assert (view.accounts(), view.keys(), view.sessions("anna"), audit(box)) == ([], [], [], [])
    assert [view.account("anna"), view.key("x"), view.session(token_hash())] == [None] * 3
    assert await box.store.people.logged_in(token_hash()) is None
    assert await box.store.people.find_key("x") is None


async def test_an_account_is_kept_as_it_is(box: Box) -> None:
    box.advance(5)
    ben = an_account("ben", Role.ADMIN, reads_content=True, disabled=True, password_hash="")
    assert await box.store.people.add_account(ben, author=ROOT)
    assert last(box) == ("root", "", "account_added", "ben", "role admin, reads content")
    anna = an_account("anna")
    assert await box.store.people.add_account(anna, author=ANNA)
    assert last(box) == ("anna (console)", "192.0.2.7", "account_added", "anna", "role viewer")
    assert box.view.people.accounts() == [anna, ben]
    assert box.view.people.account("ben") == ben
    assert box.view.people.account("Ben") is None


async def test_a_name_is_taken_once(box: Box) -> None:
    await box.store.people.add_account(an_account("anna"), author=ROOT)
    again = an_account("anna", Role.ADMIN)
    assert not await box.store.people.add_account(again, author=ROOT)
    assert box.view.people.accounts() == [an_account("anna")]
    assert len(audit(box)) == 1


CHANGES = {
    "role": (AccountChange(role=Role.ADMIN), "role viewer → admin"),
    "content": (AccountChange(reads_content=True), "reads content"),
    "password": (AccountChange(password_hash=""), "new password"),
    "disabled": (AccountChange(disabled=True), "disabled"),
    "all": (
        AccountChange(role=Role.OPERATOR, reads_content=True, password_hash="x", disabled=True),
        "role viewer → operator, reads content, disabled, new password",
    ),
}


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES)
async def test_a_change_of_rights_ends_the_sessions(
    box: Box, change: AccountChange, told: str
) -> None:
    people = box.store.people
    for name, number in (("anna", 1), ("anna", 2), ("ben", 3)):
        await people.add_account(an_account(name), author=ROOT)
        await people.open_session(a_session(name, number), author=ROOT)
    box.advance(5)
    assert await people.change_account("anna", change, author=ANNA)
    assert last(box) == ("anna (console)", "192.0.2.7", "account_changed", "anna", told)
    assert box.view.people.account("anna") == change.applied_to(
        an_account("anna", last_login_at=a_session().begun_at)
    )
    assert box.view.people.sessions("anna") == []
    assert len(box.view.people.sessions("ben")) == 1


@pytest.mark.parametrize(
    "change",
    [
        AccountChange(),
        AccountChange(role=Role.VIEWER, reads_content=False, password_hash=HASH, disabled=False),
    ],
)
async def test_what_changes_nothing_ends_nothing(box: Box, change: AccountChange) -> None:
    people = box.store.people
    await people.add_account(an_account(), author=ROOT)
    await people.open_session(a_session(), author=ROOT)
    before = audit(box)
    assert await people.change_account("anna", change, author=ROOT)
    assert audit(box) == before
    assert box.view.people.sessions("anna") == [a_session()]


async def test_rights_are_taken_back_as_well(box: Box) -> None:
    people = box.store.people
    await people.add_account(
        an_account(role=Role.ADMIN, reads_content=True, disabled=True), author=ROOT
    )
    change = AccountChange(role=Role.VIEWER, reads_content=False, disabled=False)
    await people.change_account("anna", change, author=ROOT)
    assert last(box)[-1] == "role admin → viewer, no longer reads content, enabled"
    assert box.view.people.accounts() == [an_account()]


async def test_an_account_goes_with_its_sessions(box: Box) -> None:
    people = box.store.people
    await people.add_account(an_account(role=Role.OPERATOR), author=ROOT)
    await people.open_session(a_session(), author=ANNA)
    box.advance(5)
    assert await people.drop_account("anna", author=ROOT)
    assert last(box) == ("root", "", "account_removed", "anna", "role operator")
    assert (box.view.people.accounts(), box.view.people.session(token_hash())) == ([], None)
    assert not await people.drop_account("anna", author=ROOT)


async def test_a_key_is_kept_as_it_is(box: Box) -> None:
    people = box.store.people
    key = a_key(
        scopes=frozenset(Scope),
        senders=("a@app.test", "@b.test"),
        networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")),
        requests_per_minute=60,
        sees=Sees.ALL,
        expires_at=box.clock.now() + timedelta(days=365),
    )
    told = (
        "name shop, scopes admin content operate read submit, sees all, senders a@app.test @b.test,"
        " networks 192.0.2.0/24 2001:db8::/32, until 2027-03-01T12:00:00.000Z"
    )
    assert await people.add_key(key, author=ANNA)
    assert last(box) == (
        "anna (console)",
        "192.0.2.7",
        "key_added",
        key.id,
        told,
    )
    plain = a_key("app", 1)
    await people.add_key(plain, author=ROOT)
    assert box.view.people.keys() == [plain, key]
    assert box.view.people.key(key.id) == key == await people.find_key(key.id)


async def test_id_and_name_of_a_key_are_taken_once(box: Box) -> None:
    people = box.store.people
    await people.add_key(a_key(), author=ROOT)
    assert not await people.add_key(a_key("other"), author=ROOT)
    assert not await people.add_key(a_key("shop", 1), author=ROOT)
    assert box.view.people.keys() == [a_key()]
    assert len(audit(box)) == 1


async def test_a_key_is_disabled_used_and_removed(box: Box) -> None:
    people, key = box.store.people, a_key()
    await people.add_key(key, author=ROOT)
    assert await people.change_key(key.id, disabled=True, author=ROOT)
    assert last(box)[2:] == ("key_changed", key.id, "name shop, disabled")
    assert await people.change_key(key.id, disabled=True, author=ROOT)
    assert len(audit(box)) == 2
    assert await people.change_key(key.id, disabled=False, author=ROOT)
    assert last(box)[2:] == ("key_changed", key.id, "name shop, enabled")
    box.advance(5)
    await people.touch_key(key.id)
    [kept] = box.view.people.keys()
    assert (kept.disabled, kept.last_used_at) == (False, box.clock.now())
    assert await people.drop_key(key.id, author=ROOT)
    assert last(box)[2:] == ("key_removed", key.id, "name shop, scopes submit, sees own")
    assert box.view.people.keys() == []


async def test_a_session_tells_whose_it_is(box: Box) -> None:
    people = box.store.people
    await people.add_account(an_account(), author=ROOT)
    box.advance(5)
    session = a_session(at=box.clock.now(), client="192.0.2.7")
    assert await people.open_session(session, author=ANNA, how="by the proxy")
    assert last(box) == ("anna (console)", "192.0.2.7", "logged_in", "anna", "by the proxy")
    account = an_account(last_login_at=box.clock.now())
    assert box.view.people.account("anna") == account
    assert box.view.people.session(token_hash()) == session
    assert await people.logged_in(token_hash()) == LoggedIn(session=session, account=account)
    await people.change_account("anna", AccountChange(role=Role.ADMIN), author=ROOT)
    assert await people.logged_in(token_hash()) is None


async def test_who_is_let_in_by_another_partys_word(box: Box) -> None:
    """The account is made, and its role is changed, in the transaction of the session."""
    people = box.store.people
    first, second, third = (a_session(number=number, client="192.0.2.7") for number in (1, 2, 3))
    how = {"subject": SUBJECT, "how": "by OIDC"}
    assert await people.let_in(first, role=Role.VIEWER, **how) is LetIn.DONE
    account = box.view.people.account("anna")
    assert account is not None
    assert (account.role, account.password_hash, account.subject) == (Role.VIEWER, "", SUBJECT)
    assert await people.let_in(second, role=Role.VIEWER, **how) is LetIn.DONE
    assert [each.token_hash for each in box.view.people.sessions("anna")] == [
        second.token_hash,
        first.token_hash,
    ]
    assert await people.let_in(third, role=Role.ADMIN, **how) is LetIn.DONE
    assert list(box.view.people.sessions("anna")) == [third]
    assert last(box) == ("anna (console)", "192.0.2.7", "logged_in", "anna", "by OIDC")


@pytest.mark.parametrize(
    ("account", "told"),
    [
        (an_account(password_hash=HASH), LetIn.LOCAL),
        (an_account(password_hash=HASH, disabled=True), LetIn.LOCAL),
        (an_account(password_hash=HASH, subject=SUBJECT), LetIn.LOCAL),
        (an_account(password_hash="", disabled=True), LetIn.DISABLED),
        (an_account(password_hash="", disabled=True, subject=SUBJECT), LetIn.DISABLED),
        (an_account(password_hash="", subject=f"{SUBJECT}1"), LetIn.ANOTHER),
        (an_account(password_hash="", disabled=True, subject="https://x 4711"), LetIn.ANOTHER),
    ],
)
async def test_whom_no_other_partys_word_lets_in(account: Account, told: LetIn, box: Box) -> None:
    await box.store.people.add_account(account, author=ROOT)
    before = audit(box)
    session = a_session()
    let_in = await box.store.people.let_in(session, subject=SUBJECT, role=Role.ADMIN, how="x")
    assert let_in is told
    assert box.view.people.account("anna") == account
    assert (box.view.people.session(token_hash()), audit(box)) == (None, before)


async def test_an_account_is_of_one_subject_whatever_its_name(box: Box) -> None:
    """OpenID Connect Core 1.0 §5.7: nothing but `iss` and `sub` says that somebody is the same."""
    people, viewer = box.store.people, Role.VIEWER
    await people.add_account(an_account(password_hash=""), author=ROOT)
    await people.add_account(an_account("ben", password_hash=""), author=ROOT)
    await people.let_in(a_session(number=1), subject=SUBJECT, role=viewer, how="x")
    assert (audit(box)[1].target, audit(box)[1].detail) == ("anna", f"of {SUBJECT}")
    renamed = a_session("ben", number=2)
    assert await people.let_in(renamed, subject=SUBJECT, role=viewer, how="x") is LetIn.DONE
    session = box.view.people.session(token_hash(2))
    assert session is not None
    assert session.account == "anna"
    assert last(box)[0] == "anna (console)"
    ben = box.view.people.account("ben")
    assert ben is not None
    assert ben.subject == ""


@pytest.mark.parametrize("account", [None, an_account(disabled=True)])
async def test_a_session_needs_an_account(box: Box, account: object) -> None:
    if account is not None:
        await box.store.people.add_account(an_account(disabled=True), author=ROOT)
    before = audit(box)
    assert not await box.store.people.open_session(a_session(), author=ROOT)
    assert (box.view.people.session(token_hash()), audit(box)) == (None, before)


async def test_a_session_is_of_the_password_that_was_checked(box: Box) -> None:
    people = box.store.people
    await people.add_account(an_account(), author=ROOT)
    before = audit(box)
    other = HASH.replace("t=2", "t=3")
    assert not await people.open_session(a_session(), author=ROOT, if_hash=other)
    assert not await people.open_session(a_session(), author=ROOT, if_hash="")
    assert (box.view.people.session(token_hash()), audit(box)) == (None, before)
    assert await people.open_session(a_session(), author=ROOT, if_hash=HASH)


async def test_a_worker_finds_the_accounts(box: Box) -> None:
    accounts = [an_account("anna"), an_account("ben", disabled=True)]
    for each in reversed(accounts):
        await box.store.people.add_account(each, author=ROOT)
    assert list(await box.store.people.find_accounts()) == accounts


async def test_sessions_are_used_and_ended(box: Box) -> None:
    people = box.store.people
    await people.add_account(an_account(), author=ROOT)
    for number in (1, 2, 3):
        await people.open_session(a_session(number=number), author=ROOT)
    box.advance(5)
    await people.touch_session(token_hash(2))
    assert box.view.people.sessions("anna")[0] == a_session(number=2, seen_at=box.clock.now())
    before = audit(box)
    await people.touch_session(token_hash(9))
    assert audit(box) == before
    assert await people.end_session(token_hash(1), author=ANNA)
    assert last(box) == ("anna (console)", "192.0.2.7", "logged_out", "anna", "")
    assert not await people.end_session(token_hash(1), author=ANNA)
    assert await people.end_sessions("anna", author=ROOT) == 2
    assert last(box) == ("root", "", "logged_out", "anna", "2 sessions")
    assert await people.end_sessions("anna", author=ROOT) == 0
    assert len(audit(box)) == len(before) + 2


UNKNOWN: dict[str, Callable[[People], Awaitable[bool]]] = {
    "change_account": lambda people: people.change_account(
        "x", AccountChange(disabled=True), author=ROOT
    ),
    "drop_account": lambda people: people.drop_account("x", author=ROOT),
    "change_key": lambda people: people.change_key("x", disabled=True, author=ROOT),
    "drop_key": lambda people: people.drop_key("x", author=ROOT),
    "end_session": lambda people: people.end_session(b"x", author=ROOT),
}


@pytest.mark.parametrize("verb", UNKNOWN.values(), ids=UNKNOWN)
async def test_what_is_not_there_is_not_changed(
    box: Box, verb: Callable[[People], Awaitable[bool]]
) -> None:
    assert not await verb(box.store.people)
    assert audit(box) == []


async def test_the_audit_is_told_page_by_page(box: Box) -> None:
    for number in range(5):
        await box.store.people.note(Deed("hold", f"m{number}", "because"), author=ANNA)
        box.advance(60)
    view = box.view.people
    first = view.audit(AuditQuery(), limit=2)
    second = view.audit(AuditQuery(), limit=9, before=first[-1].number)
    assert [each.target for each in [*first, *second]] == ["m4", "m3", "m2", "m1", "m0"]
    assert view.audit(AuditQuery(), limit=9, before=second[-1].number) == []
    assert view.audit(AuditQuery(), limit=9, after=second[0].number) == first
    assert view.audit(AuditQuery(), limit=1, after=second[0].number) == first[-1:]
    assert view.audit(AuditQuery(target="M4"), limit=9, after=second[0].number) == first[:1]
    assert view.audit(AuditQuery(), limit=9, after=first[0].number) == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (AuditQuery(by="Anna (console)"), "ac"),
        (AuditQuery(action="HOLD"), "ab"),
        (AuditQuery(target="m2"), "bc"),
        (AuditQuery(by="root", action="hold", target="M2"), "b"),
        (AuditQuery(by="root", target="m1"), ""),
        (AuditQuery(by="ann"), ""),
    ],
)
async def test_the_audit_is_asked_by_who_what_and_on_what(
    box: Box, query: AuditQuery, found: str
) -> None:
    for author, action, target, detail in (
        (ANNA, "hold", "m1", "a"),
        (ROOT, "hold", "m2", "b"),
        (ANNA, "drop", "m2", "c"),
    ):
        await box.store.people.note(Deed(action, target, detail), author=author)
    assert [each.detail for each in reversed(audit(box, query))] == list(found)


async def test_the_audit_is_asked_for_a_time(box: Box) -> None:
    begin = box.clock.now()
    for number in range(4):
        await box.store.people.note(Deed("hold", f"m{number}"), author=ROOT)
        box.advance(60)
    minute = timedelta(minutes=1)
    query = AuditQuery(since=begin + minute, until=begin + 3 * minute)
    assert [each.target for each in audit(box, query)] == ["m2", "m1"]


async def test_long_texts_are_cut(box: Box) -> None:
    await box.store.people.note(Deed("hold", "t" * 9999, "d" * 9999), author=ROOT)
    [entry] = audit(box)
    assert (len(entry.target), len(entry.detail)) == (DETAIL_LIMIT, DETAIL_LIMIT)


async def forget_all(box: Box, *, kept: timedelta) -> int:
    gone = 0
    while some := await box.store.people.forget(box.clock.now() - kept):
        gone += some
    return gone


async def test_old_audit_is_forgotten(box: Box) -> None:
    for number in range(3):
        await box.store.people.note(Deed("hold", f"m{number}"), author=ROOT)
        box.advance(60)
    assert await forget_all(box, kept=timedelta(seconds=90)) == 2
    assert [each.target for each in audit(box)] == ["m2"]
    await box.store.people.note(Deed("hold", "m3"), author=ROOT)
    numbers = [each.number for each in audit(box)]
    assert numbers == sorted(set(numbers), reverse=True)


@pytest.mark.parametrize("seconds", [0, 1])
async def test_sessions_that_are_over_are_forgotten(box: Box, seconds: int) -> None:
    """Those that `judge` calls over, and no others."""
    people = box.store.people
    await people.add_account(an_account(), author=ROOT)
    now, left = box.clock.now(), timedelta(seconds=seconds)
    idle = a_session(number=1, seen_at=now - IDLE + left)
    long = a_session(number=2, begun_at=now - LONGEST + left)
    for session in (idle, long, a_session(number=3)):
        await people.open_session(session, author=ROOT)
    assert await forget_all(box, kept=timedelta(days=90)) == (0 if seconds else 2)
    assert len(box.view.people.sessions("anna")) == (3 if seconds else 1)


async def test_of_two_at_once_one_is_first(box: Box) -> None:
    """One commit has both: the second sees what the first did."""
    people = box.store.people
    added = await asyncio.gather(
        people.add_account(an_account(), author=ROOT), people.add_account(an_account(), author=ANNA)
    )
    dropped = await asyncio.gather(
        people.drop_account("anna", author=ROOT), people.open_session(a_session(), author=ANNA)
    )
    assert (list(added), list(dropped)) == ([True, False], [True, False])
    assert box.view.people.session(token_hash()) is None

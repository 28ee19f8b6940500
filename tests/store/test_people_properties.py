"""Any run of writes about people: all stores tell the same, and no session outlives its account's rights."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.policy.console.roles import Role
from relayd.ports.people import Account, AccountChange, AuditQuery, Author, Deed, People
from tests.support.people import a_key, a_key_text, a_session, an_account, token_hash
from tests.support.stores import ALL, Box, openers_of

ANN = Author(by="ann", client="192.0.2.7")
NAMES = st.sampled_from(["anna", "ben"])
NUMBERS = st.integers(0, 2)
CHANGES = st.builds(
    AccountChange,
    role=st.none() | st.sampled_from(Role),
    reads_content=st.none() | st.booleans(),
    password_hash=st.none() | st.sampled_from(["", "x"]),
    disabled=st.none() | st.booleans(),
)
Verb = Callable[[People, Box], Awaitable[object]]
VERBS: st.SearchStrategy[Verb] = st.one_of(
    NAMES.map(lambda name: lambda people, _: people.add_account(an_account(name), author=ANN)),
    NAMES.map(lambda name: lambda people, _: people.drop_account(name, author=ANN)),
    st.tuples(NAMES, CHANGES).map(
        lambda given: lambda people, _: people.change_account(*given, author=ANN)
    ),
    st.tuples(NAMES, NUMBERS).map(
        lambda given: (
            lambda people, box: people.open_session(
                a_session(*given, at=box.clock.now()), author=ANN
            )
        )
    ),
    NUMBERS.map(lambda number: lambda people, _: people.touch_session(token_hash(number))),
    NUMBERS.map(
        lambda number: lambda people, _: people.end_session(token_hash(number), author=ANN)
    ),
    NAMES.map(lambda name: lambda people, _: people.end_sessions(name, author=ANN)),
    st.tuples(st.sampled_from(["shop", "app"]), NUMBERS).map(
        lambda given: lambda people, _: people.add_key(a_key(*given), author=ANN)
    ),
    st.tuples(NUMBERS, st.booleans()).map(
        lambda given: (
            lambda people, _: people.change_key(
                a_key_text(given[0]).id, disabled=given[1], author=ANN
            )
        )
    ),
    NUMBERS.map(
        lambda number: lambda people, _: people.drop_key(a_key_text(number).id, author=ANN)
    ),
    NUMBERS.map(lambda number: lambda people, _: people.touch_key(a_key_text(number).id)),
    st.just(lambda people, _: people.note(Deed("hold", "m"), author=ANN)),
    st.just(lambda people, box: people.forget(box.clock.now() - timedelta(minutes=30))),
)


OPENERS = openers_of(__name__)


def told(box: Box) -> list[object]:
    """Return all that a store tells; the numbers of the audit are its own."""
    people = box.view.people
    audit = people.audit(AuditQuery(), limit=ALL)
    assert [row.number for row in audit] == sorted({row.number for row in audit}, reverse=True)
    return [
        people.accounts(),
        people.keys(),
        *(people.sessions(name) for name in ("anna", "ben")),
        [replace(row, number=0) for row in audit],
    ]


async def run(verbs: Sequence[Verb], folder: Path) -> None:
    boxes = [opener(folder) for opener in OPENERS.values()]
    for box in boxes:
        await box.store.people.add_account(an_account("anna"), author=ANN)
        await box.store.people.open_session(a_session("anna"), author=ANN)
    try:
        for verb in verbs:
            before = boxes[0].view.people.accounts()
            answers = [await verb(box.store.people, box) for box in boxes]
            assert answers.count(answers[0]) == len(boxes)
            first, *others = (told(box) for box in boxes)
            assert others == [first] * len(others)
            check_sessions(boxes[0], before)
            for box in boxes:
                box.advance(600)
    finally:
        for box in boxes:
            await box.close()


def check_sessions(box: Box, before: Sequence[Account]) -> None:
    """Who has a session has an account that is not disabled, with the rights that it had at log-in."""
    people = box.view.people
    for name in ("anna", "ben"):
        account = people.account(name)
        if people.sessions(name):
            assert account is not None
            assert not account.disabled
            rights = (account.role, account.reads_content, account.password_hash)
            old = [one for one in before if one.name == name]
            assert all((one.role, one.reads_content, one.password_hash) == rights for one in old)


@settings(max_examples=30, deadline=None)
@given(st.lists(VERBS, min_size=1, max_size=25))
def test_any_run_of_verbs(verbs: list[Verb]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(verbs, Path(folder)))

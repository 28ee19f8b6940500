"""The rule by which bounces and people speak against using an address again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.mail.ids import MessageId
from relayd.mail.outcome import Bounced
from relayd.mail.suppression import (
    EVERYBODY,
    INACTIVE_BOUNCES,
    NAMED_SENDERS,
    REASON_LIMIT,
    Suppression,
    ToSuppress,
    in_force,
    is_suppressed,
    is_worth_keeping,
    of_bounce,
    of_complaint,
    of_person,
    speaks,
)
from relayd.mail.words import BounceClass, Category
from tests.support.builders import a_bounce
from tests.support.clock import START

ANN, BOB = "ann@app.test", "bob@app.test"
INACTIVE = a_bounce(BounceClass.BLOCK, category=Category.INACTIVE_MAILBOX)


def proof(message: int = 1, scope: str = EVERYBODY) -> Suppression:
    at = START + timedelta(minutes=message)
    return of_bounce(a_bounce(), "a@x.test", MessageId(message), scope=scope, at=at)


def inactive(message: int, scope: str = EVERYBODY) -> Suppression:
    at = START + timedelta(minutes=message)
    return of_bounce(INACTIVE, "a@x.test", MessageId(message), scope=scope, at=at)


def person(scope: str = EVERYBODY) -> Suppression:
    return of_person(ToSuppress(address="a@x.test", scope=scope), by="ann", at=START)


CASES: dict[str, tuple[list[Suppression], list[str]]] = {
    "nothing": ([], []),
    "a proof": ([proof()], [EVERYBODY]),
    "a person": ([person()], [EVERYBODY]),
    "a person, for one": ([person(ANN)], [ANN]),
    "inactive once": ([inactive(1)], []),
    "inactive twice": ([inactive(1), inactive(2)], [EVERYBODY]),
    "inactive for two recipients of a message": ([inactive(1), inactive(1)], []),
    "a proof that holds for one": ([proof(scope=ANN)], [ANN]),
    "two senders": ([proof(1, BOB), proof(2, ANN)], [ANN, BOB]),
    "inactive for one, and for all": ([inactive(1), inactive(2, ANN)], [ANN]),
    "inactive for two": ([inactive(1, ANN), inactive(2, BOB)], []),
    "a proof for all and one": ([proof(1, ANN), proof(2)], [EVERYBODY]),
}


@pytest.mark.parametrize(("known", "senders"), CASES.values(), ids=CASES)
def test_what_speaks_against_an_address(known: list[Suppression], senders: list[str]) -> None:
    """For everybody, for the senders of asynchronous bounces, or not at all."""
    assert [each.scope for each in in_force(known)] == senders
    for sender in (EVERYBODY, ANN, BOB):
        assert is_suppressed(known, sender) == (sender in senders or EVERYBODY in senders)


def test_so_many_senders_are_named() -> None:
    known = [proof(number, f"{number:03}@app.test") for number in range(NAMED_SENDERS + 1)]
    assert [each.scope for each in in_force(known)] == [
        each.scope for each in known[:NAMED_SENDERS]
    ]


DECIDED: dict[str, tuple[list[Suppression], Suppression]] = {
    "the first proof": ([proof(2), proof(1)], proof(1)),
    "the second with an inactive mailbox": ([inactive(3), inactive(1), proof(4)], inactive(3)),
    "a person before": ([inactive(1), inactive(2), person()], person()),
    "for a sender, with what holds for all": (
        [inactive(2), inactive(1, ANN)],
        replace(inactive(2), scope=ANN),
    ),
}


@pytest.mark.parametrize(("known", "decided"), DECIDED.values(), ids=DECIDED)
def test_what_decided_is_told(known: list[Suppression], decided: Suppression) -> None:
    assert in_force(known) == [decided]


WORTH: dict[str, tuple[Suppression, list[Suppression], bool]] = {
    "the first proof": (proof(1), [inactive(1), inactive(2), proof(1, ANN)], True),
    "the second proof": (proof(2), [proof(1)], False),
    "a proof after a person's word": (proof(2), [person()], False),
    "inactive, after another sender's": (inactive(3), [inactive(1), inactive(2, ANN)], True),
    "inactive a third time": (inactive(3), [inactive(1), inactive(2)], False),
    "inactive again, of the same message": (inactive(1), [inactive(1)], False),
    "inactive after a proof": (inactive(2), [proof(1)], True),
}


@pytest.mark.parametrize(("new", "known", "worth"), WORTH.values(), ids=WORTH)
def test_little_is_kept_of_an_address(
    new: Suppression, known: list[Suppression], *, worth: bool
) -> None:
    assert is_worth_keeping(new, known) is worth


def test_what_is_not_kept_would_change_nothing() -> None:
    """Keeping all bounces tells the same of every sender: each of four, up to five times."""
    every = [
        make(number, scope)
        for make in (proof, inactive)
        for number in (1, 2)
        for scope in ("", ANN)
    ]
    for digits in range(len(every) ** 4):
        history = [every[digits // len(every) ** place % len(every)] for place in range(4)]
        kept: list[Suppression] = []
        for each in history:
            if is_worth_keeping(each, kept):
                kept.append(each)
        for sender in (EVERYBODY, ANN, BOB):
            assert is_suppressed(kept, sender) == is_suppressed(history, sender), history


@pytest.mark.parametrize(
    ("bounce", "says"),
    [
        (a_bounce(), True),
        (INACTIVE, True),
        (a_bounce(BounceClass.BLOCK, category=Category.POLICY), False),
        (a_bounce(BounceClass.SOFT, category=Category.MAILBOX_FULL), False),
        (a_bounce(suppress=False), False),
    ],
)
def test_which_bounces_say_something(bounce: Bounced, *, says: bool) -> None:
    assert speaks(bounce) is says


def test_a_bounce_speaks_in_the_words_of_the_server() -> None:
    said = of_bounce(
        a_bounce(), "A@x.test", MessageId(7), reply="550 gone", scope=ANN.upper(), at=START
    )
    assert (said.address, said.scope, said.reason, said.message_id) == (
        "A@x.test",
        ANN,
        "550 gone",
        7,
    )
    long = of_bounce(a_bounce(), "a@x.test", MessageId(7), reply="x" * 600, at=START)
    assert (len(long.reason), long.reason[-1]) == (REASON_LIMIT, "…")
    assert INACTIVE_BOUNCES == 2


def test_a_complaint_speaks_for_its_sender_alone() -> None:
    told = of_complaint("a@x.test", MessageId(1), kind="abuse", scope="App@app.test", at=START)
    assert (told.scope, told.reason) == ("app@app.test", "complained: abuse")

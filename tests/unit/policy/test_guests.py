"""Who has to go when all places are taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.guests import Guests


def full(*sources: str) -> Guests[int]:
    """All places taken by guests 0, 1 and so on from these sources."""
    guests: Guests[int] = Guests(len(sources))
    for guest, source in enumerate(sources):
        assert guests.take(guest, source) is None
    return guests


def test_there_is_room_first() -> None:
    guests = full("a", "a")
    guests.leave(0)
    assert guests.take(2, "a") is None


@pytest.mark.parametrize(
    ("sources", "leaving"),
    [
        pytest.param("aaa", 0, id="who-came-first"),
        pytest.param("abb", 1, id="of-the-source-with-most"),
        pytest.param("aabb", 0, id="as-many"),
    ],
)
def test_a_newcomer_gets_in(sources: str, leaving: int) -> None:
    assert full(*sources).take(9, "c") == leaving


def test_who_gets_an_answer_leaves_after_those_who_ask_for_none() -> None:
    guests = full("a", "a", "b")
    guests.answer(0)
    assert [guests.take(guest, "c") for guest in (7, 8, 9)] == [1, 2, 7]
    for guest in (8, 9):
        guests.answer(guest)
    assert guests.take(6, "d") == 8, "of those with most, who got it first"


def test_who_is_worked_for_stays() -> None:
    guests = full("a", "a")
    for guest in (0, 1):
        guests.carry_out(guest)
    assert guests.take(2, "a") is None
    assert guests.take(3, "b") == 2
    guests.answer(0)
    guests.carry_out(3)
    assert guests.take(4, "b") == 0


def test_who_left_is_not_there_any_more() -> None:
    guests = full("a")
    assert guests.take(1, "b") == 0
    guests.carry_out(0)
    guests.answer(0)
    guests.leave(0)
    assert guests.take(2, "b") == 1


@given(st.lists(st.tuples(st.sampled_from(["take", "carry_out", "answer"]), st.integers(0, 9))))
def test_there_are_never_more_than_there_is_room_for(steps: list[tuple[str, int]]) -> None:
    """But for those who stay."""
    guests: Guests[int] = Guests(4)
    inside: set[int] = set()
    staying: set[int] = set()
    for number, (verb, source) in enumerate(steps, 100):
        if verb == "take":
            leaving = guests.take(number, source % 3)
            assert leaving is None or leaving in inside - staying
            inside = inside - {leaving} | {number}
            assert len(inside) <= max(4, len(staying) + 1)
        elif inside:
            guest = sorted(inside)[source % len(inside)]
            getattr(guests, verb)(guest)
            staying = staying | {guest} if verb == "carry_out" else staying - {guest}

"""Who has a share of a scarce limit: first come, first served, and one each."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.delivery.scarce import TURN, Claim, Claimant, decide

HAS, WAITS, YIELDS = Claim.HAS, Claim.WAITS, Claim.YIELDS


def claimants(**claims: tuple[Claim, int]) -> dict[int, Claimant]:
    """Make claimants, by a letter and the number of the worker."""
    made = [
        Claimant(worker=int(name[1:]), claim=claim, since=since)
        for name, (claim, since) in claims.items()
    ]
    return {each.worker: each for each in made}


def asks(there: Mapping[int, Claimant], worker: int, *, limit: int, now: int) -> Claim:
    others = [each for each in there.values() if each.worker != worker]
    return decide(limit, there.get(worker), others, worker=worker, now=now).claim


@pytest.mark.parametrize(
    ("there", "claim"),
    [
        ({}, HAS),
        ({"w1": (HAS, 0)}, HAS),
        ({"w1": (HAS, 0), "w2": (YIELDS, 0)}, WAITS),
        ({"w1": (HAS, 0), "w2": (WAITS, 0)}, WAITS),
        ({"w1": (HAS, 0), "w2": (WAITS, 500)}, WAITS),
        ({"w2": (WAITS, 0)}, HAS),
    ],
    ids=["nobody", "one is left", "none is left", "it is another's", "he came first", "two left"],
)
def test_who_comes_gets_what_is_left_behind_those_who_wait(
    there: dict[str, tuple[Claim, int]], claim: Claim
) -> None:
    assert asks(claimants(**there), 9, limit=2, now=500) == claim


def test_who_waits_keeps_its_place() -> None:
    there = claimants(w1=(HAS, 0), w2=(WAITS, 200), w3=(WAITS, 100))
    waits = decide(1, there[2], [there[1], there[3]], worker=2, now=900)
    assert waits == there[2]
    del there[1]
    assert (asks(there, 2, limit=1, now=900), asks(there, 3, limit=1, now=900)) == (WAITS, HAS)
    got = decide(1, there[3], [there[2]], worker=3, now=900)
    assert got == Claimant(worker=3, claim=HAS, since=900)


@pytest.mark.parametrize(
    ("there", "now", "claim"),
    [
        ({"w2": (WAITS, 0)}, TURN, YIELDS),
        ({"w2": (WAITS, 0)}, TURN - 1, HAS),
        ({"w2": (HAS, 0)}, TURN, HAS),
        ({"w2": (YIELDS, 0), "w3": (WAITS, 0)}, TURN, HAS),
        ({"w2": (YIELDS, 0), "w3": (WAITS, 0), "w4": (WAITS, 0)}, TURN, YIELDS),
        ({}, TURN, HAS),
    ],
    ids=["others wait", "not yet", "nobody waits", "another one does", "two wait", "alone"],
)
def test_after_its_turn_a_share_is_given_back_when_others_wait(
    there: dict[str, tuple[Claim, int]], now: int, claim: Claim
) -> None:
    limit = max(1, sum(kind is not WAITS for kind, _ in there.values()) + 1)
    there["w1"] = (HAS, 0)
    assert asks(claimants(**there), 1, limit=limit, now=now) == claim


def test_who_gives_its_share_back_does_so_though_nobody_waits_any_more() -> None:
    """It may have closed its connection already."""
    assert asks(claimants(w1=(YIELDS, 0)), 1, limit=1, now=TURN) == YIELDS


def test_a_limit_that_got_smaller_takes_nothing_from_those_who_have() -> None:
    there = claimants(w1=(HAS, 0), w2=(HAS, 0), w3=(HAS, 0))
    assert asks(there, 1, limit=2, now=1) == HAS
    assert asks(there, 4, limit=2, now=1) == WAITS


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["ask", "leave"]), st.integers(0, TURN))),
)
def test_there_are_never_more_shares_than_the_limit_and_none_is_left_while_one_waits(
    limit: int, steps: list[tuple[int, str, int]]
) -> None:
    there: dict[int, Claimant] = {}
    now = 0
    for worker, what, later in steps:
        now += later
        if what == "leave":
            there.pop(worker, None)
            continue
        others = [each for each in there.values() if each.worker != worker]
        there[worker] = decide(limit, there.get(worker), others, worker=worker, now=now)
        assert sum(each.claim is not WAITS for each in there.values()) <= limit
    for worker in sorted(there, key=lambda each: (there[each].since, each)):
        others = [each for each in there.values() if each.worker != worker]
        there[worker] = decide(limit, there[worker], others, worker=worker, now=now)
    having = sum(each.claim is not WAITS for each in there.values())
    assert having == min(limit, len(there)), "each has asked once more"


def test_a_clock_that_is_set_back_makes_no_turn_longer() -> None:
    """The one of PostgreSQL may be. Who came before that has its share, or waits, since then."""
    there = claimants(w1=(HAS, 3_600_000), w2=(WAITS, 3_600_000))
    now = 500
    there[1] = decide(1, there[1], [there[2]], worker=1, now=now)
    there[2] = decide(1, there[2], [there[1]], worker=2, now=now)
    assert [each.since for each in there.values()] == [now, now]
    assert asks(there, 1, limit=1, now=now + TURN) is YIELDS

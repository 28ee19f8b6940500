"""Who is next, and who has to leave."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.intake.turns import STRANGERS, Rank, Turns

ALL = tuple(Rank)
KNOWN, NEW, SUSPECT = Rank


def waiting(places: int, *those: tuple[str, Rank, str]) -> Turns[str]:
    turns: Turns[str] = Turns(places)
    for one, rank, network in those:
        assert turns.join(one, rank, network) is None
    return turns


def order(turns: Turns[str], *, among: tuple[Rank, ...] = ALL) -> list[str]:
    found: list[str] = []
    while (one := turns.next(among=among)) is not None:
        found.append(one)
    return found


def test_networks_take_turns() -> None:
    turns = waiting(
        9, ("a1", NEW, "a"), ("a2", NEW, "a"), ("a3", NEW, "a"), ("b1", NEW, "b"), ("c1", NEW, "c")
    )
    assert order(turns) == ["a1", "b1", "c1", "a2", "a3"]


def test_who_looks_better_comes_first() -> None:
    turns = waiting(9, ("s", SUSPECT, "a"), ("n", NEW, "a"), ("k", KNOWN, "a"), ("n2", NEW, "b"))
    assert order(turns, among=(KNOWN,)) == ["k"]
    assert order(turns) == ["n", "n2", "s"]


def test_the_network_that_has_most_makes_room() -> None:
    turns = waiting(3, ("a1", NEW, "a"), ("a2", NEW, "a"), ("a3", NEW, "a"))
    assert turns.join("a4", NEW, "a") == "a4", "not for itself"
    assert turns.join("b1", NEW, "b") == "a3", "the newest leaves"
    assert turns.join("b2", NEW, "b") == "b2", "it would have more then"
    assert turns.join("c1", NEW, "c") == "a2"
    assert turns.join("d1", NEW, "d") == "d1", "all have one"
    assert order(turns) == ["a1", "b1", "c1"]


def test_suspects_make_room_for_who_is_new() -> None:
    turns = waiting(2, ("s1", SUSPECT, "a"), ("n1", NEW, "b"))
    assert turns.join("s2", SUSPECT, "c") == "s2"
    assert turns.join("n2", NEW, "b") == "s1"
    assert turns.join("s3", SUSPECT, "c") == "s3", "nobody leaves for a suspect who looks better"
    assert order(turns) == ["n1", "n2"]


def test_those_who_are_known_have_places_of_their_own() -> None:
    turns = waiting(1, ("n", NEW, "a"), ("k", KNOWN, "a"))
    assert turns.join("k2", KNOWN, "b") == "k2"
    assert turns.join("n2", NEW, "b") == "n2"
    assert order(turns, among=STRANGERS) == ["n"]
    assert order(turns) == ["k"]


@given(st.lists(st.tuples(st.sampled_from(Rank), st.sampled_from("abcdef")), max_size=60))
def test_nobody_is_lost_and_nobody_has_more_than_its_share(those: list[tuple[Rank, str]]) -> None:
    places = 8
    turns: Turns[int] = Turns(places)
    gone: list[int] = []
    for number, (rank, network) in enumerate(those):
        leaves = turns.join(number, rank, network)
        gone += [] if leaves is None else [leaves]
    for ranks in ((KNOWN,), STRANGERS):
        wanted = [number for number, (rank, _) in enumerate(those) if rank in ranks]
        left = []
        while (one := turns.next(among=ranks)) is not None:
            left.append(one)
        assert len(left) == min(places, len(wanted))
        assert sorted(left + [one for one in gone if one in wanted]) == wanted
        for rank in (KNOWN, NEW):
            asked = Counter(network for its, network in those if its is rank)
            held = Counter(those[one][1] for one in left if those[one][0] is rank)
            for network, most in held.items():
                for other in asked.keys() - {network} if rank in ranks else ():
                    assert held[other] >= min(most - 1, asked[other])

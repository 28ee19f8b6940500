"""Who gets a place, and who gives way: a table, and what must hold whatever comes."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.intake.places import MOST_SENDING, Place, Places, Whose

NOW = 1000.0


@dataclass(eq=False)
class Guest:
    name: str
    waits_since: float | None = None
    sends_since: float | None = None
    has_begun: bool = False

    def __repr__(self) -> str:
        return self.name


def whose(client: str, *, stranger: bool = True, listener: str = "mx", site: str = "") -> Whose:
    return Whose(
        listener=listener, client=client, site=site or f"site of {client}", is_stranger=stranger
    )


class World:
    """Places, and guests by name."""

    def __init__(self, places: int = 8, per_client: int = 100) -> None:
        self.places: Places[Guest] = Places(places, per_client=per_client)
        self.guests: dict[str, Guest] = {}

    def seat(
        self,
        client: str,
        *,
        waits: float | None = 0,
        sends: float | None = None,
        begun: bool = False,
        **more: Any,
    ) -> Guest:
        """Give a place to one that waits, or sends, for so many seconds."""
        guest = Guest(
            f"{client} {len(self.guests)}",
            None if waits is None or sends is not None else NOW - waits,
            None if sends is None else NOW - sends,
            begun,
        )
        self.guests[guest.name] = guest
        self.places.take(guest, whose(client, **more))
        return guest

    def ask(self, client: str, **more: Any) -> str:
        """Return what a newcomer is told: "yes", "no", or in whose place it comes."""
        place = self.places.place_for(whose(client, **more), now=NOW)
        if place is None:
            return "no"
        return "yes" if not place.instead_of else place.instead_of[0].name


OURS: dict[str, Any] = {"stranger": False, "listener": "lan"}


def test_strangers_leave_a_quarter_to_ours() -> None:
    world = World()
    for number in range(6):
        assert world.ask(f"s{number}") == "yes"
        world.seat(f"s{number}", waits=None)
    assert world.ask("s6") == "no", "each of them is busy"
    for number in range(2):
        assert world.ask(f"o{number}", **OURS) == "yes"
        world.seat(f"o{number}", waits=None, **OURS)
    assert world.ask("o2", **OURS) == "no"
    assert (len(world.places), world.places.strangers) == (8, 6)


def test_there_is_a_place_for_a_stranger_where_there_is_one_place() -> None:
    world = World(1)
    assert world.ask("s") == "yes"
    world.seat("s", waits=1)
    assert world.ask("o", **OURS) == "s 0"


def test_ours_take_the_places_of_strangers_but_for_a_quarter() -> None:
    """Who wants to log in is a stranger at first."""
    world = World()
    gone = []
    for number in range(5):
        world.seat(f"s{number}", waits=10 - number)
    for number in range(7):
        found = world.ask(f"o{number}", **OURS)
        if found not in ("yes", "no"):
            gone.append(found)
            world.places.leave(world.guests[found])
        world.seat(f"o{number}", waits=None, **OURS)
        if len(world.places) > 8:
            break
    assert gone == ["s0 0", "s1 1", "s2 2"]
    assert world.places.strangers == 2


def test_a_stranger_takes_the_place_of_ours_only_below_a_quarter() -> None:
    world = World()
    for number in range(7):
        world.seat(f"o{number}", waits=number, **OURS)
    world.seat("s", waits=50)
    assert world.ask("t") == "o6 6"
    world.places.leave(world.guests["o6 6"])
    world.seat("t", waits=40)
    assert world.ask("u") == "s 7"


def test_no_client_has_more_than_its_share() -> None:
    world = World(per_client=2)
    world.seat("s")
    world.seat("s")
    assert world.ask("s") == "no"
    assert world.ask("t") == "yes"
    assert world.places.held_by("s") == 2
    assert world.places.most() == ("s", 2)


CROWDS: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str]] = {
    "the longest silence": (
        [{"client": f"s{n}", "waits": 10 + n} for n in range(6)],
        {"client": "t"},
        "s5 5",
    ),
    "the neighbours of many": (
        [
            {"client": "a", "waits": 30},
            *({"client": f"s{n}", "waits": 10, "site": "one"} for n in range(5)),
        ],
        {"client": "t"},
        "s0 1",
    ),
    "nobody at work": (
        [
            {"client": "a", "waits": None},
            {"client": "b", "sends": 100},
            *({"client": f"s{n}", "waits": 1} for n in range(4)),
        ],
        {"client": "t"},
        "s0 2",
    ),
    "nobody in the middle of a message for a moment yet": (
        [
            {"client": "a", "waits": 4.9, "begun": True},
            *({"client": f"s{n}", "waits": 1} for n in range(5)),
        ],
        {"client": "t"},
        "s0 1",
    ),
    "a message that does not go on": (
        [{"client": "a", "waits": 5, "begun": True}, *({"client": f"s{n}"} for n in range(5))],
        {"client": "t"},
        "a 0",
    ),
    "if none else waits, the message that goes on least": (
        [
            {"client": "a", "sends": 100},
            *({"client": f"s{n}", "waits": n / 9, "begun": True} for n in range(5)),
        ],
        {"client": "t"},
        "s4 5",
    ),
    "if none waits, one that has sent for long": (
        [{"client": f"s{n}", "sends": n} for n in range(6)],
        {"client": "t"},
        "s5 5",
    ),
    "none of those that have no more than itself": (
        [
            *({"client": "t", "waits": 50} for _ in range(2)),
            *({"client": f"s{n}", "waits": 10} for n in range(4)),
        ],
        {"client": "t"},
        "no",
    ),
    "of the listener that has most": (
        [
            *({"client": f"s{n}", "waits": 10} for n in range(4)),
            *({"client": f"u{n}", "waits": 99, "listener": "submission"} for n in range(2)),
        ],
        {"client": "t", "listener": "submission"},
        "s0 0",
    ),
    "not of a listener that has less": (
        [
            *({"client": f"s{n}", "waits": 10} for n in range(4)),
            *({"client": f"u{n}", "waits": 99, "listener": "submission"} for n in range(2)),
        ],
        {"client": "t"},
        "s0 0",
    ),
    "of its own, where the fullest is at work": (
        [
            *({"client": f"s{n}", "waits": None} for n in range(4)),
            *({"client": f"u{n}", "waits": 99, "listener": "submission"} for n in range(2)),
        ],
        {"client": "t", "listener": "submission"},
        "u0 4",
    ),
}


@pytest.mark.parametrize(("crowd", "newcomer", "found"), CROWDS.values(), ids=CROWDS)
def test_who_gives_way(crowd: list[dict[str, Any]], newcomer: dict[str, Any], found: str) -> None:
    world = World()
    for each in crowd:
        world.seat(**each)
    assert world.ask(**newcomer) == found


@pytest.mark.parametrize("state", [{"sends": 100}, {"waits": 4, "begun": True}])
def test_ours_do_not_end_each_others_messages(state: dict[str, Any]) -> None:
    world = World(4)
    for number in range(4):
        world.seat(f"o{number}", **state, **OURS)
    assert world.ask("o4", **OURS) == "no"


def test_a_crowd_of_ours_gives_way_to_another_of_ours() -> None:
    """A-01: on its own listener, and on one that has fewer."""
    world = World()
    for number in range(8):
        world.seat(f"o{number}", waits=number, **OURS)
    assert world.ask("o9", **OURS) == "o7 7"
    assert world.ask("o1", stranger=False, listener="unix") == "o7 7"
    assert world.ask("o1", **OURS) == "no"


def test_silent_strangers_go_when_it_gets_crowded() -> None:
    world = World(16)
    world.seat("o", waits=200, **OURS)
    world.seat("a", waits=None)
    world.seat("b", sends=200)
    for number in range(3):
        world.seat(f"s{number}", waits=29 + number)
    assert world.places.silent(now=NOW) == [], "it is calm"
    world.seat("t", waits=1)
    assert world.places.silent(now=NOW) == [world.guests["s2 5"]]


def test_few_strangers_send_at_once() -> None:
    """Who has sent for long makes way for one who begins; before that there is no room."""
    world = World(1000)
    world.seat("o", sends=500, **OURS)
    for number in range(MOST_SENDING):
        assert world.places.place_to_send(whose("new"), now=NOW) == Place()
        world.seat(f"s{number}", sends=number / 3)
        world.seat(f"t{number}", waits=100)
    assert world.places.place_to_send(whose("new"), now=NOW) is None
    longest = world.seat("u", sends=30)
    assert world.places.place_to_send(whose("new"), now=NOW) == Place(instead_of=(longest,))


def test_nobody_sends_alone() -> None:
    """A network that sends most makes way for others at once, not for itself."""
    world = World(1000)
    world.seat("s", sends=29)
    longest = world.seat("g0", sends=20, site="greedy")
    for number in range(1, MOST_SENDING - 1):
        world.seat(f"g{number}", sends=number / 10, site="greedy")
    for newcomer in (whose("new"), whose("s")):
        found = world.places.place_to_send(newcomer, now=NOW)
        assert found == Place(instead_of=(longest,))
    assert world.places.place_to_send(whose("g", site="greedy"), now=NOW) is None


def test_who_has_no_place_cannot_leave() -> None:
    world = World()
    guest = world.seat("s")
    assert guest in world.places
    assert world.places.leave(guest)
    assert not world.places.leave(guest)
    assert guest not in world.places


GUESTS = st.tuples(
    st.sampled_from("abcdefgh"),
    st.booleans(),
    st.sampled_from(["mx", "lan", "unix"]),
    st.sampled_from([None, 0.0, 7.0, 400.0]),
    st.sampled_from([None, 3.0]),
)


@given(st.integers(1, 9), st.integers(1, 4), st.lists(st.one_of(GUESTS, st.integers(0, 8))))
def test_the_bounds_hold_whatever_comes(places: int, per_client: int, steps: list[Any]) -> None:
    """As many as there may be of all, of strangers and of a client; the counts are those of who is in."""
    world = World(places, per_client)
    inside: dict[str, Whose] = {}
    for step in steps:
        if isinstance(step, int):  # one leaves
            if step < len(inside):
                name = list(inside)[step]
                world.places.leave(world.guests[name])
                del inside[name]
            continue
        client, stranger, listener, waits, sends = step
        kind: dict[str, Any] = {"stranger": stranger, "listener": listener, "site": client.upper()}
        found = world.ask(client, **kind)
        if found == "no":
            continue
        if found != "yes":
            left = world.guests[found]
            assert left.waits_since is not None or inside[found].is_stranger
            world.places.leave(left)
            del inside[found]
        guest = world.seat(client, waits=waits, sends=None if waits is not None else sends, **kind)
        inside[guest.name] = whose(client, **kind)
        assert len(world.places) == len(inside) <= places
        strangers = sum(each.is_stranger for each in inside.values())
        assert world.places.strangers == strangers <= max(1, places * 3 // 4)
        counts = Counter(each.client for each in inside.values())
        assert all(world.places.held_by(one) == n <= per_client for one, n in counts.items())


def test_a_large_crowd_gives_up_several_places_at_once() -> None:
    """To choose takes a look at all of them; those that wait half as long as the first may go too."""
    world = World(64)
    for number in range(48):
        world.seat(f"s{number}", waits=number)
    place = world.places.place_for(whose("t"), now=NOW)
    assert place is not None
    assert [each.name for each in place.instead_of] == ["s47 47", "s46 46", "s45 45"]
    for name in ("s46 46", "s45 45"):
        world.guests[name].waits_since = NOW
    place = world.places.place_for(whose("o", stranger=False), now=NOW)
    assert place == Place()
    for number in range(16):
        world.seat(f"o{number}", waits=None, **OURS)
    place = world.places.place_for(whose("o", **OURS), now=NOW)
    assert place is not None
    assert len(place.instead_of) == 3


def test_a_flood_does_not_drive_out_who_goes_on() -> None:
    """A client that answers in time is never the one that has been silent longest."""
    world = World(100)
    good = world.seat("good", waits=0)
    now = NOW
    for number in range(500):
        now += 0.01
        good.waits_since = now - 0.1
        place = world.places.place_for(whose(f"s{number}"), now=now)
        assert place is not None
        assert good not in place.instead_of
        for each in place.instead_of:
            world.places.leave(each)
        world.places.take(Guest("s", now), whose(f"s{number}"))

"""Slowing down who guesses passwords: whose failures count, for how long, whom they stop, and how many
guesses there are in an hour."""

from collections.abc import Callable, Iterable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.intake import login
from relayd.policy.intake.failures import FIRST_WAIT, Failures, Pace
from relayd.policy.intake.known_sources import KNOWN_FOR
from relayd.policy.intake.login import OF_ACCOUNT, OF_NETWORK, OF_ONE, BackOff, Try
from relayd.policy.intake.login_source import Level, source_of
from relayd.policy.intake.origin import Origin
from relayd.policy.intake.turns import Rank
from tests.support.accounts import lone_sources

FAR = "192.0.2.7"
HERE = "127.0.0.1"
UNIX = Origin(uid=1000)
UNKNOWN = Origin(ip=HERE, is_known=False)
KEY = b"secret"
HOUR = 3600.0


def fresh() -> BackOff:
    return BackOff(KEY, lone_sources())


def a_try(user: str, client: str | Origin, *, version: str = "1") -> Try:
    origin = Origin(ip=client) if isinstance(client, str) else client
    return Try(user=user, version=version, source=source_of(origin))


def failing(
    back_off: BackOff,
    user: str,
    client: str | Origin,
    *,
    times: int = OF_ONE.free,
    now: float = 0.0,
) -> None:
    for _ in range(times):
        back_off.failed(a_try(user, client), now=now)


def wait(back_off: BackOff, user: str, client: str | Origin, *, now: float = 0.0) -> float:
    return back_off.wait(a_try(user, client), now=now)


def rank(back_off: BackOff, user: str, client: str | Origin, *, now: float = 0.0) -> Rank:
    return back_off.rank(a_try(user, client), now=now)


# --- whom failures stop


def test_success_resets() -> None:
    back_off = fresh()
    failing(back_off, "app", FAR, times=OF_ONE.free - 1)
    back_off.succeeded(a_try("app", FAR), now=0.0)
    failing(back_off, "app", FAR, times=OF_ONE.free - 1)
    assert wait(back_off, "app", FAR) == 0
    back_off.succeeded(a_try("app", FAR), now=0.0)
    failing(back_off, "app", FAR, times=OF_ONE.free - 1)
    assert wait(back_off, "app", FAR) == 0


def test_success_forgives_nobody_else() -> None:
    """Who has an account guesses at others no faster for that."""
    back_off = fresh()
    for number in range(100):
        back_off.failed(a_try(f"u{number}", FAR), now=0.0)
        back_off.succeeded(a_try("own", FAR), now=0.0)
    assert wait(back_off, "other", FAR) > 0
    assert wait(back_off, "own", FAR) == 0


@pytest.mark.parametrize(
    ("guesser", "client_ip", "user", "stops"),
    [
        pytest.param(FAR, FAR, "app", True, id="itself"),
        pytest.param(FAR, FAR, "other", False, id="itself-for-another-user"),
        pytest.param(FAR, "192.0.2.8", "app", True, id="neighbour-for-the-user"),
        pytest.param(FAR, "192.0.2.8", "other", False, id="neighbour-for-another-user"),
        pytest.param(FAR, "192.0.3.7", "app", False, id="elsewhere-for-the-user"),
        pytest.param(FAR, f"::ffff:{FAR}", "app", True, id="mapped"),
        pytest.param("2001:db8::1", "2001:db8::2", "app", True, id="one-64"),
        pytest.param("2001:db8::1", "2001:db8:0:1::1", "app", True, id="one-48"),
        pytest.param("2001:db8::1", "2001:db8:1::1", "app", False, id="another-48"),
        pytest.param("fe80::1%eth0", "fe80::2%eth1", "app", True, id="scoped"),
        pytest.param(UNKNOWN, UNKNOWN, "app", True, id="nobody-knows-where"),
        pytest.param(UNKNOWN, HERE, "app", False, id="nobody-knows-where-and-local"),
        pytest.param("127.0.0.1", "127.0.0.1", "app", True, id="local"),
        pytest.param("127.0.0.1", "127.0.0.1", "other", False, id="local-for-another-user"),
        pytest.param(UNIX, UNIX, "app", True, id="unix-socket"),
        pytest.param(UNIX, UNIX, "other", False, id="unix-socket-for-another-user"),
        pytest.param(UNIX, HERE, "app", False, id="unix-socket-and-tcp"),
        pytest.param(UNIX, Origin(uid=1001), "app", False, id="another-uid"),
    ],
)
def test_whom_failures_stop(
    guesser: str | Origin, client_ip: str | Origin, user: str, *, stops: bool
) -> None:
    back_off = fresh()
    failing(back_off, "app", guesser)
    assert (wait(back_off, user, client_ip) > 0) is stops


@pytest.mark.parametrize("client_ip", [HERE, UNIX, Origin(), "::1"], ids=str)
def test_this_machine_is_never_stopped_as_a_whole(client_ip: str | Origin) -> None:
    back_off = fresh()
    for number in range(5000):
        failing(back_off, f"wrong{number}", client_ip, times=1)
    failing(back_off, "broken", client_ip, times=50)
    assert wait(back_off, "broken", client_ip) > 0
    assert wait(back_off, "app", client_ip) == 0


def test_who_logged_in_lately_is_not_stopped_by_others() -> None:
    """Neither by its neighbours, nor by what comes from everywhere."""
    back_off = fresh()
    back_off.succeeded(a_try("app", FAR), now=0.0)
    failing(back_off, "app", "192.0.2.8", times=50)
    failing(back_off, "other", FAR)
    for number in range(100):
        failing(back_off, "app", f"198.51.{number}.1")
    assert wait(back_off, "app", "192.0.2.8") > 0
    assert wait(back_off, "app", "203.0.113.1") > 0
    assert wait(back_off, "app", FAR) == 0
    assert wait(back_off, "other", FAR) > 0
    failing(back_off, "app", FAR)
    assert wait(back_off, "app", FAR) == FIRST_WAIT, "its own failures count"
    end = KNOWN_FOR + 1
    assert wait(back_off, "app", FAR, now=end) == 0, "and all is forgotten one day"
    assert rank(back_off, "app", FAR, now=end) is Rank.NEW


@pytest.mark.parametrize("wrong", [1, 2])
def test_behind_one_address_wrong_programs_do_not_stop_the_right_ones(wrong: int) -> None:
    """For hours they try old passwords whenever they may, while others come in for the first time."""
    back_off = fresh()
    for step in range(4 * 360):
        now = step * 10.0
        for user in (f"wrong{number}" for number in range(wrong)):
            if wait(back_off, user, FAR, now=now) == 0:
                failing(back_off, user, FAR, times=1, now=now)
        assert wait(back_off, f"right{step}", FAR, now=now) == 0
        back_off.succeeded(a_try(f"right{step % 100}", FAR), now=now)


def test_an_account_that_changed_begins_anew() -> None:
    """And nobody else's failures are forgiven for that."""
    back_off = fresh()
    for number in range(40):
        failing(back_off, "app", f"{number + 20}.51.1.1")
        failing(back_off, "other", f"{number + 20}.51.1.1")
    for client_ip in (FAR, "22.51.1.1"):
        assert back_off.wait(a_try("app", client_ip), now=0.0) > 0
        assert back_off.wait(a_try("app", client_ip, version="2"), now=0.0) == 0
        assert back_off.wait(a_try("other", client_ip), now=0.0) > 0


def test_how_good_a_login_looks() -> None:
    back_off = fresh()
    assert rank(back_off, "app", FAR) is Rank.NEW
    failing(back_off, "other", "192.0.2.8", times=1)
    assert rank(back_off, "app", FAR) is Rank.SUSPECT, "somebody near failed"
    assert rank(back_off, "app", "192.0.3.7") is Rank.NEW, "what is further off does not matter"
    failing(back_off, "app", "198.51.100.1", times=1)
    assert rank(back_off, "app", "192.0.3.7") is Rank.NEW, "nor what others do to the account"
    back_off.succeeded(a_try("app", FAR), now=0.0)
    assert rank(back_off, "app", FAR) is Rank.KNOWN
    failing(back_off, "app", FAR, times=1)
    assert rank(back_off, "app", FAR) is Rank.SUSPECT
    for local in (UNIX, HERE):
        assert rank(back_off, "app", local) is Rank.NEW
        failing(back_off, "app", local, times=1)
        assert rank(back_off, "app", local) is Rank.SUSPECT
        assert rank(back_off, "other", local) is Rank.NEW
        back_off.succeeded(a_try("app", local), now=0.0)
        assert rank(back_off, "app", local) is Rank.KNOWN


# --- memory


def test_no_count_is_lost_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood from elsewhere does not free who guessed before."""
    monkeypatch.setattr(login, "ROOM", 100)
    back_off = fresh()
    failing(back_off, "app", FAR, times=30)
    ends = wait(back_off, "app", FAR)
    assert ends == OF_ONE.every
    for number in range(1000):
        failing(back_off, f"x{number}", f"{10 + number % 90}.{number // 90}.1.1", times=1)
    assert wait(back_off, "app", FAR) == ends
    assert wait(back_off, "app", "192.0.2.8") > 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "ROOM", 10)
    back_off = fresh()
    for number in range(200):
        for address in (f"198.51.{number}.1", f"2001:db8:{number:x}::1", "127.0.0.1"):
            back_off.failed(a_try("x" * 9000 + str(number), address), now=0.0)
    kinds = [back_off._at_sites, *back_off._networks.values()]
    assert max(len(kind) for kind in kinds) <= 10


def test_where_memory_is_full_a_new_source_has_the_verdict_of_its_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(login, "ROOM", 10)
    back_off = fresh()
    for number in range(10):  # each count of hosts and of sites has an owner now
        failing(back_off, f"x{number}", f"198.51.{number}.1", times=1)
    guesses = 0
    for number in range(1000):
        client_ip = f"203.0.{number % 250}.{number // 250}"
        if wait(back_off, f"y{number}", client_ip) == 0:
            failing(back_off, f"y{number}", client_ip, times=1)
            guesses += 1
    assert guesses == OF_NETWORK[Level.REGION].free


# --- how many guesses there are


def guessed(tries: Iterable[tuple[str, str]], *, back_off: BackOff | None = None) -> int:
    """Return how many are looked at in an hour of those who guess as fast as they may.

    Each of `tries` (user and source) is asked again and again.
    """
    back_off = back_off or fresh()
    guesses, now, todo = 0, 0.0, list(tries)
    while now < HOUR:
        soonest = HOUR
        for user, client_ip in todo:
            rest = wait(back_off, user, client_ip, now=now)
            if rest == 0:
                failing(back_off, user, client_ip, times=1, now=now)
                guesses += 1
                rest = wait(back_off, user, client_ip, now=now)
            soonest = min(soonest, rest)
        now += soonest
    return guesses


@pytest.mark.parametrize(
    ("pace", "first", "later"),
    [
        (OF_ONE, 13, 4),
        (OF_ACCOUNT, 80, 60),
        (OF_NETWORK[Level.HOST], 42, 20),
        (OF_NETWORK[Level.BLOCK], 61, 30),
        (OF_NETWORK[Level.SITE], 96, 48),
        (OF_NETWORK[Level.REGION], 439, 240),
    ],
)
def test_the_paces_are_what_the_documentation_says(pace: Pace, first: int, later: int) -> None:
    failures, now, found = Failures(pace, room=1, key=KEY), 0.0, [0, 0, 0]
    while now < 3 * HOUR:
        found[int(now // HOUR)] += 1
        failures.add("x", now=now)
        now += failures.wait("x", now=now)
    assert found == [first, later, later]


def hosts(pattern: str, numbers: Iterable[int]) -> list[str]:
    return [pattern.format(number) for number in numbers]


ONE_64 = hosts("2001:db8:1:1::{:x}", range(1, 4))
ONE_48 = hosts("2001:db8:1:{:x}::1", range(0, 4096, 1024))
ONE_24 = hosts("192.0.2.{}", range(1, 255, 64))
MANY_NAMES = [f"u{number}" for number in range(12)]


@pytest.mark.parametrize(
    ("sources", "users", "most"),
    [
        pytest.param([FAR], ["app"], 13, id="one-address-one-account"),
        pytest.param([FAR], MANY_NAMES, 42, id="one-address"),
        pytest.param(ONE_64, ["app"], 13, id="one-64-one-account"),
        pytest.param(ONE_64, MANY_NAMES, 42, id="one-64"),
        pytest.param(ONE_48, ["app"], 13, id="one-48-one-account"),
        pytest.param(ONE_48, MANY_NAMES, 96, id="one-48"),
        pytest.param(ONE_24, ["app"], 13, id="one-24-one-account"),
        pytest.param(ONE_24, MANY_NAMES, 96, id="one-24"),
        pytest.param(
            hosts("2001:db8:{:x}::1", range(20)), MANY_NAMES[:2], 2 * 80, id="one-32-two-accounts"
        ),
    ],
)
def test_guesses_in_the_first_hour(sources: list[str], users: list[str], most: int) -> None:
    """The figures of docs/config.md; later hours have fewer."""
    assert guessed(product(users, sources)) <= most


def test_a_whole_48_has_no_more_guesses_than_a_part_of_it() -> None:
    """It has 65,536 /64s, each of which had five guesses at once."""
    back_off, guesses = fresh(), 0
    for number in range(0, 65_536, 64):
        user, client_ip = f"u{number}", f"2001:db8:1:{number:x}::1"
        if wait(back_off, user, client_ip) == 0:
            failing(back_off, user, client_ip, times=1)
            guesses += 1
    assert guesses == OF_NETWORK[Level.SITE].free


def test_ten_thousand_sources_at_one_account() -> None:
    """Eighty in the first hour, and its own sources are served all the while."""
    back_off, guesses = fresh(), 0
    back_off.succeeded(a_try("app", FAR), now=0.0)
    for now in map(float, range(3600)):
        number = int(now) * 3 % 10_000
        client_ip = f"{11 + number % 100}.{number // 100}.3.4"
        if wait(back_off, "app", client_ip, now=now) == 0:
            failing(back_off, "app", client_ip, times=1, now=now)
            guesses += 1
        assert wait(back_off, "app", FAR, now=now) == 0
    assert guesses <= 80
    at_rest = 3 * HOUR
    assert wait(back_off, "app", "203.0.113.9", now=at_rest) == 0, "nobody is locked out for good"


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from([UNIX, HERE, FAR, "::1", UNKNOWN]),
            st.floats(0, 1000),
        )
    )
)
def test_a_wait_is_never_negative_nor_too_long(
    steps: list[tuple[bool, str | Origin, float]],
) -> None:
    back_off, now = fresh(), 0.0
    for succeeds, client_ip, after in steps:
        now += after
        act: Callable[..., None] = back_off.succeeded if succeeds else back_off.failed
        act(a_try("app", client_ip), now=now)
        assert 0 <= wait(back_off, "app", client_ip, now=now) <= OF_ONE.every

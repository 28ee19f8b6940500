"""Slowing down who guesses passwords: whose failures count, for how long, and whom they stop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy import login
from relayd.policy.login import FIRST_WAIT, KNOWN_FOR, LONGEST_WAIT, TRIES, WITHIN, BackOff

FAR = "192.0.2.7"


def failing(back_off: BackOff, user: str, client_ip: str, *, times: int = TRIES) -> None:
    for _ in range(times):
        back_off.failed(user, client_ip, now=0.0)


def test_the_first_failures_are_free() -> None:
    back_off = BackOff()
    failing(back_off, "app", FAR, times=TRIES - 1)
    assert back_off.wait("app", FAR, now=0.0) == 0
    back_off.failed("app", FAR, now=0.0)
    assert back_off.wait("app", FAR, now=0.0) == FIRST_WAIT
    assert back_off.wait("app", FAR, now=20.0) == FIRST_WAIT - 20
    assert back_off.wait("app", FAR, now=FIRST_WAIT) == 0


def test_each_failure_more_doubles_the_wait_up_to_a_quarter_of_an_hour() -> None:
    back_off, waits, now = BackOff(), [], 0.0
    for _ in range(TRIES + 30):
        back_off.failed("app", FAR, now=now)
        waits.append(back_off.wait("app", FAR, now=now))
        now += waits[-1]
    assert waits[: TRIES + 6] == [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900]
    assert max(waits) == LONGEST_WAIT


def test_failures_far_apart_do_not_add_up() -> None:
    back_off = BackOff()
    for number in range(TRIES * 3):
        back_off.failed("app", FAR, now=number * (WITHIN + 1))
        assert back_off.wait("app", FAR, now=number * (WITHIN + 1)) == 0


def test_success_resets() -> None:
    back_off = BackOff()
    failing(back_off, "app", FAR, times=TRIES - 1)
    back_off.succeeded("app", FAR, now=0.0)
    failing(back_off, "app", FAR, times=TRIES - 1)
    assert back_off.wait("app", FAR, now=0.0) == 0


def test_failures_are_forgiven_but_who_is_known_stays_known() -> None:
    back_off = BackOff()
    back_off.succeeded("app", FAR, now=0.0)
    failing(back_off, "other", FAR)
    back_off.forgive()
    assert back_off.wait("other", FAR, now=0.0) == 0
    failing(back_off, "other", FAR)
    assert back_off.wait("app", FAR, now=0.0) == 0


@pytest.mark.parametrize(
    ("guesser", "client_ip", "user", "stops"),
    [
        pytest.param(FAR, FAR, "app", True, id="itself"),
        pytest.param(FAR, FAR, "other", True, id="itself-for-another-user"),
        pytest.param(FAR, "192.0.2.8", "app", True, id="neighbour-for-the-user"),
        pytest.param(FAR, "192.0.2.8", "other", False, id="neighbour-for-another-user"),
        pytest.param(FAR, "192.0.3.7", "app", False, id="elsewhere-for-the-user"),
        pytest.param(FAR, f"::ffff:{FAR}", "other", True, id="mapped"),
        pytest.param("2001:db8::1", "2001:db8::2", "other", True, id="one-64"),
        pytest.param("2001:db8::1", "2001:db8:0:1::1", "app", False, id="another-64"),
        pytest.param("fe80::1%eth0", "fe80::2%eth1", "other", True, id="scoped"),
        pytest.param("127.0.0.1", "127.0.0.1", "app", True, id="local"),
        pytest.param("127.0.0.1", "127.0.0.1", "other", False, id="local-for-another-user"),
        pytest.param("", "", "app", True, id="unix-socket"),
        pytest.param("", "", "other", False, id="unix-socket-for-another-user"),
        pytest.param("", "127.0.0.1", "app", False, id="unix-socket-and-tcp"),
    ],
)
def test_whom_failures_stop(guesser: str, client_ip: str, user: str, *, stops: bool) -> None:
    """A user is never locked out by a stranger elsewhere, nor local users by each other."""
    back_off = BackOff()
    failing(back_off, "app", guesser)
    assert (back_off.wait(user, client_ip, now=0.0) > 0) is stops


def test_who_logged_in_lately_is_not_stopped_by_its_neighbours() -> None:
    back_off = BackOff()
    back_off.succeeded("app", FAR, now=0.0)
    failing(back_off, "app", "192.0.2.8", times=50)
    failing(back_off, "other", FAR)
    assert back_off.wait("app", "192.0.2.8", now=0.0) > 0
    assert back_off.wait("app", FAR, now=0.0) == 0
    assert back_off.wait("other", FAR, now=0.0) > 0
    failing(back_off, "app", FAR)
    assert back_off.wait("app", FAR, now=0.0) == FIRST_WAIT, "its own failures count"
    assert back_off.wait("app", FAR, now=KNOWN_FOR + 1) == 0, "and all is forgotten one day"


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "MOST_RECORDS", 10)
    back_off = BackOff()
    failing(back_off, "app", FAR)
    for number in range(20):
        back_off.failed("app", f"198.51.{number}.1", now=0.0)
        back_off.succeeded("app", f"203.0.{number}.1", now=0.0)
    back_off.failed("x" * 9000, FAR, now=0.0)
    assert max(len(word) for key in back_off._records for word in key) <= 256
    assert len(back_off._records) <= 10
    assert len(back_off._known) <= 10
    assert back_off.wait("app", FAR, now=0.0) == 0, "the oldest is forgotten first"


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["", "127.0.0.1", FAR, "::1"]), st.floats(0, 1000))
    )
)
def test_a_wait_is_never_negative_nor_too_long(steps: list[tuple[bool, str, float]]) -> None:
    back_off, now = BackOff(), 0.0
    for succeeds, client_ip, after in steps:
        now += after
        (back_off.succeeded if succeeds else back_off.failed)("app", client_ip, now=now)
        assert 0 <= back_off.wait("app", client_ip, now=now) <= LONGEST_WAIT

"""Log-ins to the console: how long they last, and their tokens."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.console.sessions import (
    TOKEN_OCTETS,
    Verdict,
    hash_of,
    judge,
    make_token,
    needs_touch,
)
from tests.support.clock import START


@pytest.mark.parametrize(
    ("age", "idle", "verdict"),
    [
        (timedelta(), timedelta(), Verdict.VALID),
        (timedelta(minutes=29, seconds=59), timedelta(minutes=29, seconds=59), Verdict.VALID),
        (timedelta(minutes=30), timedelta(minutes=30), Verdict.IDLE),
        (timedelta(hours=11, minutes=59), timedelta(minutes=1), Verdict.VALID),
        (timedelta(hours=12), timedelta(), Verdict.OVER),
        (timedelta(days=9), timedelta(days=9), Verdict.OVER),
        (timedelta(seconds=-1), timedelta(seconds=-1), Verdict.OVER),  # the clock was set back
        (timedelta(hours=1), timedelta(minutes=-5), Verdict.VALID),
    ],
)
def test_how_long_a_session_lasts(age: timedelta, idle: timedelta, verdict: Verdict) -> None:
    assert judge(START - age, START - idle, now=START) is verdict


def test_a_session_in_use_is_written_once_a_minute() -> None:
    assert not needs_touch(START, now=START + timedelta(seconds=59))
    assert needs_touch(START, now=START + timedelta(seconds=60))


@given(st.binary(min_size=TOKEN_OCTETS, max_size=TOKEN_OCTETS))
def test_a_token_has_its_hash(octets: bytes) -> None:
    token = make_token(octets)
    hashed = hash_of(token)
    assert hashed is not None
    assert len(hashed) == 32
    assert hash_of(f"{token[:-2]}AA") != hashed or token.endswith("AA")


@pytest.mark.parametrize("token", ["", "a", "a" * 42, "a" * 44, f"{'a' * 42}\n", f"{'a' * 42}é"])
def test_what_is_no_token(token: str) -> None:
    assert hash_of(token) is None

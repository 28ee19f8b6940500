"""How many messages a login or a network may hand over."""

from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.intake import quota as module
from relayd.policy.intake.access import Networks
from relayd.policy.intake.origin import Origin
from relayd.policy.intake.quota import (
    OCTETS,
    Quota,
    QuotaRules,
    QuotaTable,
    is_quota,
    refusal_until,
)
from relayd.policy.pausing import PAUSED

TEN_A_DAY = Quota(per_day=10)
RULES = QuotaRules(
    logins={"shop": TEN_A_DAY},
    networks=Networks(tuple((name, ip_network(name)) for name in ("10.0.0.0/8", "10.1.0.0/16"))),
    in_network={"10.0.0.0/8": Quota(per_minute=1)},
)


def table() -> QuotaTable:
    return QuotaTable(bytearray(OCTETS))


@pytest.mark.parametrize(
    ("ip", "user", "names"),
    [
        pytest.param("192.0.2.1", None, [], id="none"),
        pytest.param("192.0.2.1", "other", [], id="another-login"),
        pytest.param("10.9.9.9", "shop", ["login shop", "network 10.0.0.0/8"], id="both"),
        pytest.param("10.1.9.9", None, [], id="the-smallest-network-has-none"),
    ],
)
def test_whose_quotas_they_are(ip: str, user: str | None, names: list[str]) -> None:
    assert [name for name, _ in RULES.for_client(Origin(ip=ip), user)] == names
    assert RULES.are_set
    assert not QuotaRules().are_set
    assert QuotaRules().for_client(Origin(ip=ip), user) == []


@given(
    st.sampled_from([("per_minute", 60), ("per_hour", 3600), ("per_day", 86_400)]),
    st.integers(1, 5),
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
    st.floats(0, 1e7),
)
def test_in_no_such_time_is_more_taken(
    kind: tuple[str, int], most: int, waits: list[float], now: float
) -> None:
    """Also from the instant that a refusal names on, one message goes; and not before that."""
    name, seconds = kind
    quotas = [("login shop", Quota(**{name: most}))]
    counted, taken = table(), list[float]()
    for wait in waits:
        now += wait * seconds / most
        ends = counted.full_until(quotas, now)
        recent = [each for each in taken if now - each < seconds]
        if ends is None:
            assert len(recent) < most
            counted.add(quotas, now)
            taken.append(now)
        else:
            assert now < ends <= now + seconds * (1 + 2 / 60)
            assert counted.full_until(quotas, ends) is None
            assert counted.full_until(quotas, ends - seconds / 600) is not None
            # A step late at most: nobody waits for much longer than the limit says.
            assert len([each for each in taken if now - each < seconds * (1 + 1 / 60)]) >= most


def test_all_quotas_are_kept_and_the_last_to_end_is_named() -> None:
    counted = table()
    day, minute = ("a", Quota(per_day=2)), ("b", Quota(per_minute=1))
    counted.add([day, minute], 1000.0)
    ends = counted.full_until([day, minute], 1001.0)
    assert ends is not None
    assert 1060 <= ends <= 1062
    assert counted.full_until([day], 1001.0) is None
    counted.add([day, minute], ends)
    ends = counted.full_until([day, minute], ends)
    assert ends is not None
    assert 87_400 <= ends <= 87_400 + 1440


def test_what_is_taken_back_may_come_again() -> None:
    counted, one = table(), [("a", Quota(per_hour=1))]
    counted.add(one, 5000.0)
    assert counted.full_until(one, 5001.0) is not None
    counted.add(one, 5000.0, -1)
    assert counted.full_until(one, 5001.0) is None
    counted.add(one, 5000.0, -1)
    counted.add(one, 5001.0)
    assert counted.full_until(one, 5002.0) is not None, "it never counts less than nothing"


def test_names_beyond_the_last_row_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 2)
    counted, limit = table(), Quota(per_hour=1)
    counted.add([("a", limit)], 1.0)
    assert counted.full_until([("b", limit)], 1.0) is None
    counted.add([("b", limit)], 1.0)
    assert counted.full_until([("c", limit)], 1.0) is not None


def test_the_refusal_names_an_instant_that_is_not_too_early() -> None:
    at = datetime(2026, 3, 1, 12, 0, 0, 900_000, tzinfo=UTC)
    refusal = refusal_until(160.5, now=100.0, at=at)
    assert str(refusal) == "450 4.7.1 Message limit reached, more at 2026-03-01 12:01:02 UTC"
    assert is_quota(refusal)
    assert not is_quota(PAUSED)

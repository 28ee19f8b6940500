"""How much work is leased, and for whom: facts in, decision out."""

import pytest

from relayd.policy.delivery.admission import (
    CLAIM,
    CLAIM_EACH,
    KNOWN_GOOD_WINDOW,
    PROBING_WINDOW,
    QUEUE_WINDOW,
    SLOW_WINDOW,
    WINDOW,
    WINDOW_OCTETS,
    Admission,
    Load,
    Quota,
    Who,
    queue_window,
)


@pytest.mark.parametrize(
    ("load", "octets", "has_room"),
    [
        (Load(), WINDOW_OCTETS, True),
        (Load(), WINDOW_OCTETS + 1, False),
        (Load(octets=1), WINDOW_OCTETS, False),
        (Load(messages=WINDOW - 1), 0, True),
        (Load(messages=WINDOW), 0, False),
    ],
)
def test_the_window_is_bounded_in_messages_and_octets(
    load: Load, octets: int, *, has_room: bool
) -> None:
    assert Admission().has_room(load, octets) is has_room


@pytest.mark.parametrize(
    ("probing", "eligible", "known_good"),
    [
        (PROBING_WINDOW - 1, True, True),
        (PROBING_WINDOW, False, True),
        (KNOWN_GOOD_WINDOW - 1, False, True),
        (KNOWN_GOOD_WINDOW, False, False),
    ],
)
def test_probing_queues_have_a_part_of_the_window(
    probing: int, *, eligible: bool, known_good: bool
) -> None:
    """F-34: the rest is for those that take mail."""
    admission, load = Admission(), Load(messages=probing, probing=probing)
    assert admission.may_probe(load, is_known_good=False) is eligible
    assert admission.may_probe(load, is_known_good=True) is known_good


@pytest.mark.parametrize(
    ("load", "quota"),
    [
        (Load(), Quota(CLAIM, CLAIM_EACH, Who.ALL)),
        (Load(messages=WINDOW - CLAIM + 1), Quota(CLAIM - 1, CLAIM_EACH, Who.ALL)),
        (Load(messages=WINDOW - CLAIM // 4), Quota(CLAIM // 4, CLAIM_EACH, Who.ALL)),
        (Load(messages=WINDOW - CLAIM // 4 + 1), None),
        (Load(probing=PROBING_WINDOW // 4), Quota(CLAIM, SLOW_WINDOW, Who.ALL)),
        (Load(probing=PROBING_WINDOW - 3), Quota(3, SLOW_WINDOW, Who.ALL)),
        (Load(probing=PROBING_WINDOW), Quota(CLAIM, SLOW_WINDOW, Who.KNOWN_GOOD)),
        (Load(probing=KNOWN_GOOD_WINDOW - 3), Quota(3, SLOW_WINDOW, Who.KNOWN_GOOD)),
        (Load(probing=KNOWN_GOOD_WINDOW), Quota(CLAIM, SLOW_WINDOW, Who.VERIFIED)),
    ],
)
def test_what_is_claimed(load: Load, quota: Quota | None) -> None:
    assert Admission().quota(load) == quota


@pytest.mark.parametrize(
    ("slots", "probing", "known_good"), [(1, 1, 1), (2, 1, 1), (40, 20, 30), (10**6, 500, 750)]
)
def test_probing_queues_have_a_part_of_the_connections_too(
    slots: int, probing: int, known_good: int
) -> None:
    admission = Admission(slots)
    assert (admission.probing_window, admission.known_good_window) == (probing, known_good)


def test_more_is_claimed_when_half_of_the_probing_room_is_free() -> None:
    """Once, as it becomes free: not with each message from then on."""
    half = PROBING_WINDOW // 2
    found = [Admission().is_probing_room_free(n + 1, n) for n in (half + 1, half, half - 1)]
    assert found == [False, True, False]


@pytest.mark.parametrize(
    ("is_verified", "is_limited", "window"),
    [
        (True, False, QUEUE_WINDOW),
        (True, True, SLOW_WINDOW),
        (False, False, SLOW_WINDOW),
        (False, True, SLOW_WINDOW),
    ],
)
def test_a_slow_destination_waits_with_little(
    *, is_verified: bool, is_limited: bool, window: int
) -> None:
    assert queue_window(is_verified=is_verified, is_limited=is_limited) == window

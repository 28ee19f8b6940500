"""How much work is leased, and for whom: facts in, decision out."""

import pytest

from relayd.policy.delivery.admission import (
    CLAIM,
    CLAIM_EACH,
    CLAIM_WINDOW,
    CLAIMED_LEAST,
    ENOUGH_AT_LEAST,
    FEED_WINDOW,
    FEW,
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
    has_enough,
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
        (Load(messages=CLAIM_WINDOW - CLAIM + 1), Quota(CLAIM - 1, CLAIM_EACH, Who.ALL)),
        (
            Load(messages=CLAIM_WINDOW - CLAIM // 4, claimed=CLAIMED_LEAST),
            Quota(CLAIM // 4, CLAIM_EACH, Who.ALL),
        ),
        (Load(messages=CLAIM_WINDOW - CLAIM // 4 + 1, claimed=CLAIMED_LEAST), None),
        (Load(messages=WINDOW), Quota(CLAIMED_LEAST, CLAIM_EACH, Who.ALL)),
        (
            Load(messages=WINDOW, claimed=CLAIMED_LEAST - CLAIM // 4),
            Quota(CLAIM // 4, CLAIM_EACH, Who.ALL),
        ),
        (Load(messages=WINDOW, claimed=CLAIMED_LEAST - CLAIM // 4 + 1), None),
        (Load(probing=PROBING_WINDOW // 4), Quota(CLAIM, SLOW_WINDOW, Who.ALL)),
        (Load(probing=PROBING_WINDOW // 2 - 1), Quota(CLAIM, SLOW_WINDOW, Who.ALL)),
        (Load(probing=PROBING_WINDOW // 2), Quota(CLAIM, FEW, Who.ALL)),
        (Load(probing=PROBING_WINDOW - 3), Quota(3, FEW, Who.ALL)),
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


@pytest.mark.parametrize(
    ("slots", "aside"), [(1, 0), (2, 0), (40, 7), (384, 72), (2000, 937), (10**6, WINDOW)]
)
def test_those_whose_answer_is_late_have_a_window_of_their_own(slots: int, aside: int) -> None:
    """F-34: with the probing queues they leave connections to those that take mail."""
    admission = Admission(slots)
    assert admission.aside_window == aside
    assert admission.known_good_window + admission.aside_window <= slots
    assert admission.has_room_aside(Load(), aside)
    assert not admission.has_room_aside(Load(aside=1), aside)


def test_nobody_is_set_aside_before_half_of_the_part_for_unknown_ones_is_used() -> None:
    admission = Admission()
    assert not admission.is_crowded(Load(probing=PROBING_WINDOW // 2 - 1))
    assert admission.is_crowded(Load(probing=PROBING_WINDOW // 2))


def test_queues_that_have_nothing_get_a_few_also_where_claims_leave_room_to_new_mail() -> None:
    admission = Admission()
    assert admission.few(Load(messages=CLAIM_WINDOW)) == Quota(
        FEED_WINDOW - CLAIM_WINDOW, FEW, Who.VERIFIED
    )
    assert admission.few(Load(messages=FEED_WINDOW)) is None
    assert FEED_WINDOW < WINDOW


def test_claims_leave_a_part_of_each_queue_to_new_mail() -> None:
    for window in (QUEUE_WINDOW, SLOW_WINDOW):
        most = next(number for number in range(window) if has_enough(number, number, window))
        assert window // 2 < most < window
        assert most >= ENOUGH_AT_LEAST  # below it nobody looks


def test_new_mail_leaves_a_part_of_each_queue_to_claims() -> None:
    for window in (QUEUE_WINDOW, SLOW_WINDOW):
        assert not has_enough(window, 0, window)
        least = next(number for number in range(window) if has_enough(window, number, window))
        assert 0 < least < window // 2

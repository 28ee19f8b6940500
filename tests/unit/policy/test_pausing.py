"""Pause rules in a worker: when they are read, and what a client is told."""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.mail.pause import Named, PauseRule, Scope, Side, Traits
from relayd.policy.intake import admit
from relayd.policy.pausing import Pausing, is_pause, refusal_of
from tests.support.clock import START

INTAKE = PauseRule(
    named=Named(Scope.TAG, "news"),
    sides=frozenset({Side.INTAKE}),
    since=START,
    until=START + timedelta(hours=1),
    by="ann",
    reason="moving house",
)
DELIVERY = replace(INTAKE, sides=frozenset({Side.DELIVERY}))
BOTH = replace(INTAKE, sides=frozenset(Side))


def test_the_rules_are_read_once_for_each_change() -> None:
    stamp = [0]
    answers: list[Collection[PauseRule] | None] = [[INTAKE, DELIVERY], None, [BOTH]]
    pausing = Pausing(stamp, read=lambda: answers.pop(0))
    assert pausing.seen != stamp[0], "at first nothing is known"
    pausing.look_again()
    assert (pausing.seen, pausing.intake, pausing.delivery) == (0, (INTAKE,), (DELIVERY,))
    stamp[0] = 7
    pausing.look_again()
    assert pausing.intake == (INTAKE,), "they cannot be read"
    assert pausing.seen == 0, "so whoever asks next looks again"
    pausing.look_again()
    assert (pausing.seen, pausing.intake, pausing.delivery) == (7, (BOTH,), (BOTH,))
    pausing.forget()
    assert pausing.seen != stamp[0]
    assert pausing.intake == (BOTH,)


def test_mail_is_refused_if_any_recipient_is_stopped() -> None:
    pausing = Pausing(read=lambda: [INTAKE])
    pausing.look_again()
    news, other = Traits(tag="news"), Traits(tag="other")
    refusal = pausing.refusal([other, news], START)
    assert refusal is not None
    assert str(refusal) == "450 4.3.2 Paused: moving house"
    assert is_pause(refusal)
    assert pausing.refusal([other], START) is None
    assert pausing.refusal([news], START + timedelta(hours=1)) is None


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("", "Paused, try again later"),
        ("a\r\n250 ok", "Paused: a??250 ok"),
        ("für später", "Paused: f?r sp?ter"),
        ("x" * 500, "Paused: " + "x" * 200),
    ],
)
def test_a_reason_cannot_break_the_reply(reason: str, said: str) -> None:
    [line] = refusal_of(replace(INTAKE, reason=reason)).lines
    assert line == f"4.3.2 {said}"


def test_other_refusals_are_no_pause() -> None:
    assert not is_pause(admit.TOO_MANY_MESSAGES)
    assert not is_pause(admit.RETURN_PATH_BUSY)

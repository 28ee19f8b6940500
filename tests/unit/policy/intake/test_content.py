"""What a score leads to."""

import pytest

from relayd.mail.envelope import ContentCheck
from relayd.policy.intake.content import (
    NOT_CHECKED,
    SPAM,
    ContentRules,
    Refusal,
    Scored,
    Symbol,
    Unchecked,
    WhenDown,
    judge,
    too_large,
)


def rules(
    tag: float | None = 6.0,
    hold: float | None = 10.0,
    refuse: float | None = 15.0,
    when_down: WhenDown = WhenDown.ACCEPT,
) -> ContentRules:
    return ContentRules(tag=tag, hold=hold, refuse=refuse, when_down=when_down, size_limit=1000)


def scored(score: float, *symbols: Symbol) -> Scored:
    return Scored(score=score, required=15.0, symbols=symbols)


CASES: dict[str, tuple[float, ContentRules, str]] = {
    "low": (5.9, rules(), "nothing"),
    "far below": (-20.0, rules(), "nothing"),
    "just tagged": (6.0, rules(), "noted"),
    "just not held": (9.99, rules(), "noted"),
    "just held": (10.0, rules(), "held"),
    "just refused": (15.0, rules(), "refused"),
    "far above": (1000.0, rules(), "refused"),
    "nothing is set": (1000.0, rules(None, None, None), "nothing"),
    "only noted": (1000.0, rules(6.0, None, None), "noted"),
    "only held": (1000.0, rules(None, 10.0, None), "held"),
    "below the only one": (9.0, rules(None, 10.0, None), "nothing"),
    "only refused": (15.0, rules(None, None, 15.0), "refused"),
    "zero counts": (0.0, rules(0.0, None, None), "noted"),
}


@pytest.mark.parametrize(("score", "given", "what"), CASES.values(), ids=CASES)
def test_the_worst_threshold_that_is_reached_decides(
    score: float, given: ContentRules, what: str
) -> None:
    found = judge(scored(score), given)
    if isinstance(found, Refusal):
        assert (what, found.reply, found.score) == ("refused", SPAM, score)
    elif isinstance(found, ContentCheck):
        assert (what, found.score) == ("held" if found.holds else "noted", score)
        assert f"{what} from" in found.reason
    else:
        assert what == "nothing"


def test_the_reason_names_what_weighs_most() -> None:
    symbols = [Symbol(f"S{number}", float(number), "") for number in range(-3, 12)]
    found = judge(scored(12.345, *symbols), rules())
    assert isinstance(found, ContentCheck)
    assert found.reason == (
        "content scored 12.35, held from 10 on: S11 11, S10 10, S9 9, S8 8, S7 7, S6 6, S5 5, S4 4"
    )


@pytest.mark.parametrize("when_down", WhenDown)
def test_without_a_score_mail_flows_on_or_waits(when_down: WhenDown) -> None:
    found = judge(Unchecked(reason="it is down"), rules(when_down=when_down))
    if when_down is WhenDown.DEFER:
        reason = "not checked: it is down"
        assert found == Refusal(reply=NOT_CHECKED, score=None, reason=reason)
    else:
        assert found == ContentCheck(score=None, reason="not checked: it is down")


@pytest.mark.parametrize("when_down", WhenDown)
def test_what_is_too_large_is_never_refused_for_that(when_down: WhenDown) -> None:
    given = rules(when_down=when_down)
    assert too_large(1000, given) is None
    reason = "not checked: larger than 1000 octets"
    assert too_large(1001, given) == ContentCheck(score=None, reason=reason)


@pytest.mark.parametrize(
    ("given", "lowest"),
    [
        (rules(), 6.0),
        (rules(None), 10.0),
        (rules(None, None), 15.0),
        (rules(None, None, None), None),
    ],
)
def test_the_lowest_threshold(given: ContentRules, lowest: float | None) -> None:
    assert given.lowest == lowest
    assert given.has_effect == (lowest is not None)

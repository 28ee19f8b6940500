"""Counted outcomes as fields and for people."""

from datetime import timedelta

import pytest

from relayd.answers.tally import delay_text, fields, notices, step_for
from relayd.mail.tally import COUNTED, Dimension
from relayd.ports.tally import TallyAnswer, TallyRow
from tests.support.clock import START


def _row(value: str = "", *, is_rest: bool = False, **counts: int) -> TallyRow:
    return TallyRow(
        value=value,
        is_rest=is_rest,
        counts=dict.fromkeys(COUNTED, 0) | counts,
        delays={40: counts["relayed"]} if counts.get("relayed") else {},
    )


ANSWER = TallyAnswer(
    total=_row(received=8, relayed=6, hard=1, soft=1),
    rows=[_row("a", received=6, relayed=6), _row(is_rest=True, received=2, hard=1, soft=1)],
    since=START,
    until=None,
    begins=START,
)


def test_fields_have_sums_shares_and_percentiles() -> None:
    first, rest, total = fields(ANSWER, Dimension.SENDER)
    assert (first["by"], first["from"], first["share"]) == ("sender", "a", 0.75)
    assert (first["bounced"], first["bounced_share"], first["p95"]) == (0, 0.0, 1.12)
    assert (rest["rest"], rest["from"], rest["bounced"], rest["bounced_share"]) == (
        True,
        None,
        2,
        1,
    )
    assert rest["p50"] is None
    assert (total["by"], total["bounced"], total["bounced_share"]) == ("total", 2, 0.25)
    assert total["since"] == START


def test_a_category_has_its_share_of_what_bounced() -> None:
    answer = TallyAnswer(
        total=ANSWER.total, rows=[_row("policy", soft=1)], since=None, until=None, begins=START
    )
    assert next(fields(answer, Dimension.CATEGORY))["share"] == 0.5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0123456, "0.0123 s"),
        (1, "1 s"),
        (59.96, "1 min"),
        (90, "1.5 min"),
        (3600, "1 h"),
        (200_000, "2.31 d"),
    ],
)
def test_a_delay_for_people(seconds: float | None, text: str) -> None:
    assert delay_text(seconds) == text


@pytest.mark.parametrize(
    ("length", "step"),
    [(1 / 6, 1 / 6), (6, 1 / 6), (7, 1), (96, 1), (97, 24), (None, 24)],
)
def test_some_dozens_of_steps(length: float | None, step: float) -> None:
    asked = None if length is None else timedelta(hours=length)
    assert step_for(asked) == timedelta(hours=step)


def test_notices_say_which_time_it_is_and_what_is_missing() -> None:
    answer = TallyAnswer(
        total=ANSWER.total,
        rows=ANSWER.rows,
        since=START,
        until=START + timedelta(days=1),
        begins=START,
        counted_until=START + timedelta(hours=1),
    )
    told = " ".join(notices(answer, START - timedelta(days=1), str))
    for words in ("to 2026-03-02", "no numbers from before", "end at 2026-03-01 13:00", "(rest)"):
        assert words in told
    assert next(iter(notices(ANSWER, START, str))).endswith("to now.")
    nothing = TallyAnswer(total=TallyRow(), rows=[], since=None, until=None, begins=None)
    assert list(notices(nothing, None, str)) == []

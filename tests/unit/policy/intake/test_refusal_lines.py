"""A flood of refusals is a bounded number of lines, and keeps nobody else's out at first."""

import pytest

from relayd.policy.intake import refusal_lines as module
from relayd.policy.intake.refusal_lines import RefusalLines


def test_a_network_has_some_at_once_and_then_one_now_and_then() -> None:
    lines = RefusalLines()
    written = [lines.take("a", 50 + second / 100) for second in range(360_000)]
    assert written[:100] == [True] * 100
    assert sum(written) == 100 + 360 - 1
    assert lines.take("b", 3650)


def test_all_together_have_a_cap() -> None:
    """More networks than anybody remembers, for a day."""
    lines = RefusalLines()
    written = sum(lines.take(str(number), number / 3) for number in range(259_200))
    assert written == pytest.approx(1000 + 86_400, abs=2)


def test_what_is_worked_off_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 20)
    lines = RefusalLines()
    for number in range(100):
        lines.take(str(number), 0.0)
    assert len(lines._worked_off) == 20
    lines.take("late", 1000.0)
    assert list(lines._worked_off) == ["late"]


def test_who_was_silent_for_long_has_all_of_it_again() -> None:
    lines = RefusalLines()
    for _ in range(200):
        lines.take("a", 0.0)
    assert not lines.take("a", 9.0)
    assert all(lines.take("a", 1000.0) for _ in range(100))
    assert not lines.take("a", 1000.0)


def test_nothing_is_remembered_of_who_owes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """All have had their lines, and the latest network had none."""
    monkeypatch.setattr(module, "_ALL_AT_ONCE", 1)
    monkeypatch.setattr(module, "_ALL_EVERY", 100.0)
    lines = RefusalLines()
    assert lines.take("a", 0.0)
    assert not lines.take("b", 50.0)
    assert lines._worked_off == {}

"""Who asked for a reload gets one answer, about settings that were read after the question."""

import json
import math
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from relayd.supervisor.pending_requests import PendingRequests
from relayd.supervisor.processes import Worker
from tests.support.supervised import settings_of

SETTINGS = settings_of([], control="unused", queue="unused")


class Line:
    """A worker that asks, and its end of the line."""

    def __init__(self, stack: ExitStack) -> None:
        ours, self.theirs = socket.socketpair()
        for each in (ours, self.theirs):
            stack.enter_context(each)
            each.settimeout(0)
        self.worker = Worker(
            name="1",
            pid=0,
            heartbeat=ours.fileno(),
            started_at=0.0,
            heard_at=0.0,
            deadline=math.inf,
        )

    @property
    def answers(self) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in self.theirs.recv(1 << 20).splitlines()]
        except BlockingIOError:
            return []


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    with ExitStack() as stack:
        yield [Line(stack), Line(stack)]


def test_a_question_during_a_reload_is_for_the_next_one(lines: list[Line]) -> None:
    first, second = lines
    pending = PendingRequests()
    pending.add(first.worker)
    pending.begin()
    pending.add(second.worker)
    pending.answer(SETTINGS)
    assert (len(first.answers), second.answers) == (1, [])
    pending.begin()
    pending.answer(replace(SETTINGS, file="new.toml"), ["a: wrong", "b: wrong"])
    assert first.answers == []
    assert second.answers == [{"ok": False, "error": "a: wrong\nb: wrong", "again": False}]
    pending.answer(SETTINGS)
    assert second.answers == []


def test_a_stop_answers_all_of_them(lines: list[Line]) -> None:
    pending = PendingRequests()
    pending.add(lines[0].worker)
    pending.begin()
    pending.add(lines[1].worker)
    pending.dismiss(SETTINGS, "the daemon stops")
    assert [each.answers[0]["error"] for each in lines] == ["the daemon stops"] * 2


def test_a_worker_that_is_gone_needs_no_answer(lines: list[Line]) -> None:
    pending = PendingRequests()
    lines[0].theirs.close()
    lines[1].worker.heartbeat = -1
    for each in lines:
        pending.add(each.worker)
    pending.begin()
    pending.answer(SETTINGS)


def test_the_answer_is_short_whatever_is_wrong(lines: list[Line]) -> None:
    """The line takes it at once; what is no Unicode in a file's name does not get in its way."""
    pending = PendingRequests()
    pending.add(lines[0].worker)
    pending.begin()
    pending.answer(SETTINGS, [f"\udcff{number}" + "x" * 9000 for number in range(2000)])
    [answer] = lines[0].answers
    told = answer["error"].splitlines()
    assert told[-1] == "and 1940 more: see `relayd check`"
    assert told[0].startswith("?0x")
    assert len(answer["error"]) < 40_000

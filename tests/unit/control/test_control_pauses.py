"""Pause rules as messages of the control socket: there and back, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from relayd.control.pauses import (
    PauseRequest,
    ResumeRequest,
    pause_to_json,
    pauses_from_json,
    pauses_to_json,
    resume_from_json,
    resume_to_json,
    rules_from_json,
)
from relayd.control.protocol import BadMessage, Message, decode, encode
from relayd.mail.pause import Named, PauseRule, Scope, Side
from tests.support.clock import START

BOTH = frozenset(Side)
NEWS = Named(Scope.TAG, "news")
RULE = PauseRule(
    named=NEWS, sides=BOTH, since=START, until=START + timedelta(hours=2), by="ann", reason="why"
)
PAUSE: dict[str, object] = {"verb": "pause", "rules": [["tag", "news"]], "sides": ["intake"]}
RESUME: dict[str, object] = {"verb": "resume", "rules": [1], "sides": ["intake"]}


def sent(message: Message) -> Message:
    return decode(encode(message))


def test_a_pause_arrives_as_it_was_asked_for() -> None:
    request = PauseRequest(names=[NEWS], sides=BOTH, last=timedelta(hours=2), reason="why")
    assert rules_from_json(sent(pause_to_json(request)), by="ann", at=START) == [RULE]
    endless = sent(pause_to_json(replace(request, last=None)))
    assert rules_from_json(endless, by="ann", at=START) == [replace(RULE, until=None)]


@pytest.mark.parametrize("rules", [None, [1, NEWS], []])
def test_the_end_of_a_pause_too(rules: list[int | Named] | None) -> None:
    request = ResumeRequest(rules=rules, sides=BOTH)
    assert resume_from_json(sent(resume_to_json(request))) == request


def test_and_the_answer() -> None:
    rules = [replace(RULE, number=3), replace(RULE, until=None, number=4)]
    assert pauses_from_json(sent(pauses_to_json(rules))) == rules


@pytest.mark.parametrize(
    "wrong",
    [
        PAUSE | {"all": True},
        PAUSE | {"rules": []},
        PAUSE | {"rules": [["tag"]]},
        PAUSE | {"rules": [["tags", "news"]]},
        PAUSE | {"rules": "all"},
        PAUSE | {"sides": []},
        PAUSE | {"sides": ["both"]},
        PAUSE | {"sides": "intake"},
        PAUSE | {"for": "2h"},
        PAUSE | {"for": -1},
        PAUSE | {"for": 1e12},
        PAUSE | {"reason": 1},
        RESUME | {"all": True},
        RESUME | {"rules": None},
        RESUME | {"rules": ["1"]},
        RESUME | {"sides": []},
    ],
)
def test_what_is_not_understood_is_refused(wrong: Message) -> None:
    readers: dict[str, Callable[[Message], object]] = {
        "pause": partial(rules_from_json, by="ann", at=START),
        "resume": resume_from_json,
    }
    with pytest.raises(BadMessage):
        readers[str(wrong["verb"])](sent(wrong))


def test_an_answer_that_is_none() -> None:
    with pytest.raises(BadMessage):
        pauses_from_json({"pauses": [{"pause": 1}]})

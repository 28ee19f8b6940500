"""Whatever a value is, it becomes one line."""

import json

import pytest

from relayd.logs.jsonline import dump
from tests.support.clock import START


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("not with me")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("\ud800 lone surrogate", id="surrogate"),
        pytest.param(2**70, id="large-number"),
        pytest.param(b"\xff octets", id="octets"),
        pytest.param(float("nan"), id="nan"),
        pytest.param(START, id="instant"),
        pytest.param({"inner": ["\udfff", {1: 2**64}]}, id="nested"),
        pytest.param(object(), id="object"),
        pytest.param(Unprintable(), id="unprintable"),
    ],
)
def test_any_value_becomes_one_line_that_is_an_object(value: object) -> None:
    """HL-02: what cannot be written as it is must not take the other fields with it."""
    line = dump({"event": "relayed", "reply": value, "code": 250})
    assert b"\n" not in line
    assert json.loads(line)["code"] == 250
    assert json.loads(line)["event"] == "relayed"


def test_a_value_that_contains_itself_is_written_somehow() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert json.loads(dump({"code": 250, "endless": endless}))["code"] == 250

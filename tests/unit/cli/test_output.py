import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.cli import output

HOSTILE = {
    "escape": "\x1b[31mred\x1b[0m",
    "C1 control": "\x9b31m",
    "line feed": "250 ok\n2026 bounced forged",
    "carriage return": "a\rb",
    "line separator": "a\u2028b",
    "right to left": "a\u202eb",
    "surrogate": "a\udcffb",
    "NUL": "a\x00b",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_unprintable_gets_out(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table(["REPLY"], [[text]])
    output.show_json({"reply": text})
    titles, cell, line = capsys.readouterr().out.removesuffix("\n").split("\n")
    assert titles == "REPLY"
    assert cell.isprintable()
    assert line.isprintable()
    assert json.loads(line) == {"reply": text}
    assert output.paint(text).isprintable()


@settings(max_examples=80, deadline=None)
@given(st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=5))
def test_escaped_json_is_the_same_json(value: object) -> None:
    line = output.printable_json(json.dumps(value, ensure_ascii=False))
    assert line.isprintable()
    assert json.loads(line) == value


def test_printable_text_is_left_alone() -> None:
    text = "550 5.1.1 Käse, 日本 [markup] \\x1b"
    assert output.printable(text) is text


STYLES = {"bounced (hard)": "red", "sent": "green", "": "", "example.org": "", "sentinel": ""}


@pytest.mark.parametrize(("text", "style"), STYLES.items(), ids=repr)
def test_colour_by_first_word(text: str, style: str) -> None:
    assert output.style_of(text) == style

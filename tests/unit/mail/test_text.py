"""What is shown, over all of Unicode, and at the places where text of strangers gets out."""

import json
import sys
import unicodedata
from collections.abc import Callable

import pytest

from relayd.cli.output import printable, printable_json
from relayd.logs.jsonline import dump
from relayd.mail.header import read_facts
from relayd.mail.reply import clean_text
from relayd.mail.text import blanked, escaped, is_shown, replaced
from relayd.policy.dsn.lines import clean_address, clean_line
from relayd.policy.inbound_bounce.result import clean

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
FILLERS = "\u115f\u1160\u2800\u3164\uffa0"


def is_hidden(char: str) -> bool:
    return unicodedata.category(char) in HIDDEN or char in FILLERS


def some_of_all() -> list[str]:
    """All hidden characters but of the huge groups some, between others, in pieces."""
    codes = (chr(code) for code in range(sys.maxunicode + 1))
    hidden = [
        char
        for char in codes
        if is_hidden(char)
        and (unicodedata.category(char) not in {"Cs", "Co", "Cn"} or not ord(char) % 997)
    ]
    return ["a" + "é".join(hidden[i : i + 100]) + "b" for i in range(0, len(hidden), 100)]


def in_tag(text: str) -> str:
    line = octets(text.replace("\r", "").replace("\n", ""))  # else the field ends there
    facts, _ = read_facts(b"X-Relayd-Tag: " + line + b"\r\n\r\n")
    return facts.tag or ""


def octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


EXITS: dict[str, Callable[[str], str]] = {
    "blanked": blanked,
    "replaced": replaced,
    "escaped": escaped,
    "reply": lambda text: clean_text(octets(text)),
    "status-log": lambda text: dump({"rcpt": text}).decode(),
    "cli": printable,
    "cli-json": lambda text: printable_json(json.dumps(text, ensure_ascii=False)),
    "dsn": lambda text: clean_line(text, utf8=True),
    "dsn-address": lambda text: clean_address(text, utf8=True),
    "bounce-mail": clean,
    "tag": in_tag,
}


@pytest.mark.parametrize("exit_", EXITS)
def test_nothing_hidden_gets_out(exit_: str) -> None:
    """A-47, A-89."""
    for text in some_of_all():
        out = EXITS[exit_](text)
        assert not [f"{ord(char):04X}" for char in out if is_hidden(char)]
        assert "a" in out, "the rest stays"


@pytest.mark.parametrize(
    "text", ["plain", "Grüße", "用户", "e\u0301", "\u2764\ufe0f", "\U0001f600", "нет"]
)
def test_what_can_be_seen_stays(text: str) -> None:
    assert is_shown(text)
    assert {clean(text) for clean in (replaced, blanked, escaped)} == {text}


def test_each_way_has_its_own_trace() -> None:
    text = "a\u202e\u202eb\u00adc\x7fd"
    assert replaced(text) == "a??b?c?d"
    assert replaced(text, by="") == "abcd"
    assert blanked(text) == "a b c d"
    assert escaped(text) == r"a\u202e\u202eb\u00adc\u007fd"


def test_escaped_json_is_the_same_json() -> None:
    values = {"rcpt": "a\u202eb\x7f\U000e0041\u3164"}
    line = dump(values)
    assert line.isascii()
    assert json.loads(line) == values

"""No pattern of the reader costs more than a text's length times a small constant.

The hostile texts are made from each pattern's own literals, so a new pattern is tried as well.
"""

import pkgutil
import re
from collections.abc import Iterable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import pytest

import relayd.policy.inbound_bounce as reader
from relayd.policy.inbound_bounce import parse_bounce
from relayd.policy.inbound_bounce.phrases import Phrases
from tests.support.processor import took_by

re_parser: Any = import_module("re._parser")
LENGTH = 1 << 16
LIMIT = 0.05  # seconds of the processor
HEADS = (
    b"From: MAILER-DAEMON@mx.example\nSubject: failure notice\n\n",
    b"From: ann@people.example\nSubject: Re: please confirm your message\n\n",
)


def patterns() -> Iterator[tuple[str, tuple[re.Pattern[str], ...]]]:
    """Each pattern of text in the package, and each table of them, with its name."""
    for module in pkgutil.iter_modules(reader.__path__):
        for name, value in vars(import_module(f"{reader.__name__}.{module.name}")).items():
            for number, found in enumerate(_patterns_in(value)):
                yield f"{module.name}.{name}[{number}]", found


def _patterns_in(value: object) -> Iterator[tuple[re.Pattern[str], ...]]:
    match value:
        case re.Pattern() if isinstance(value.pattern, str):
            yield (value,)
        case Phrases():
            yield value.patterns
            for pattern in value.patterns:
                yield (pattern,)
        case tuple() | list():
            for one in value:
                yield from _patterns_in(one)
        case dict():
            yield from _patterns_in(list(value.values()))
        case _:
            pass


def literals(pattern: re.Pattern[str]) -> list[str]:
    """The pieces of plain text in a pattern, in order."""
    pieces = [""]

    def walk(items: Iterable[tuple[object, object]]) -> None:
        for operation, argument in items:
            if str(operation) == "LITERAL" and isinstance(argument, int):
                pieces[-1] += chr(argument)
            elif isinstance(argument, (tuple, list)):
                pieces.append("")
                for inner in _inside(argument):
                    walk(inner)
                    pieces.append("")

    walk(re_parser.parse(pattern.pattern, pattern.flags))
    return [piece for piece in dict.fromkeys(pieces) if piece]


def _inside(argument: object) -> Iterator[Iterable[tuple[object, object]]]:
    if isinstance(argument, re_parser.SubPattern):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for one in argument:
            yield from _inside(one)


def hostile_texts(found: tuple[re.Pattern[str], ...]) -> Iterator[str]:
    """Of a table, only all of its literals together: its phrases are tried one by one besides."""
    pieces = [piece for pattern in found for piece in literals(pattern)]
    yield " ".join(pieces)
    yield "".join(f"{piece} " * 30 for piece in pieces)
    if len(found) == 1:
        yield " ".join(pieces[:-1]) + " "
        yield from pieces[:5]


def filled(text: str) -> str:
    return (text * (LENGTH // max(1, len(text)) + 1))[:LENGTH]


def search(found: tuple[re.Pattern[str], ...], text: str) -> None:
    for pattern in found:
        pattern.search(text)


@pytest.mark.parametrize("name", sorted({name.partition("[")[0] for name, _ in patterns()}))
def test_a_text_made_from_the_literals_of_a_pattern(name: str) -> None:
    for found in [found for whole, found in patterns() if whole.partition("[")[0] == name]:
        for text in map(filled, hostile_texts(found)):
            assert took_by(partial(search, found, text), LIMIT) < LIMIT, text[:80]


@pytest.mark.parametrize("head", HEADS, ids=["mail system", "person"])
@pytest.mark.parametrize(
    "line",
    [
        pytest.param("fail " * 8 + "reach " * 8, id="failure"),
        pytest.param("mail not reach mail un deliver ", id="mail"),
        pytest.param("recipient delivery address mailbox ", id="recipient"),
        pytest.param("message waiting held mail verify your ", id="challenge"),
        pytest.param("> a@b.example: delivery failed > 550 ", id="addresses"),
    ],
)
def test_a_mail_of_such_lines(head: bytes, line: str) -> None:
    raw = head + (line * 30 + "\n").encode() * (2 * LENGTH // len(line) // 30)
    assert took_by(lambda: parse_bounce(raw), 0.5) < 0.5


def test_what_backtracks_is_noticed() -> None:
    """The check itself: two gaps in one phrase take ten times too long."""
    slow = (re.compile(r"fail[^\n]{0,1000}reach[^\n]{0,1000}address"),)
    text = filled("fail " * 30 + "reach " * 30)
    assert took_by(partial(search, slow, text), LIMIT) > LIMIT

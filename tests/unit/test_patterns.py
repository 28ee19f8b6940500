r"""Patterns of `re` that mean the same in every Python that relayd runs on.

A group that is repeated possessively, `(?:…)*+`, goes wrong before Python 3.11.5, and Debian 12 has 3.11.2: a try that fails in its middle leaves
what it has read (python/cpython issue 106052). An atomic group, `(?>(?:…)*)`, says the same and is right everywhere.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import relayd

_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")
_POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{[0-9,]+\})\+")


def repeated_groups(pattern: str) -> bool:
    """Tell whether a pattern repeats a group possessively."""
    return bool(_POSSESSIVE_GROUP.search(_CLASS.sub("[]", pattern).replace("\\)", "")))


def literals(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            value = node.value
            yield value if isinstance(value, str) else value.decode("latin-1")


def test_no_group_is_repeated_possessively() -> None:
    wrong = [
        f"{file.name}: {each}"
        for file in Path(relayd.__file__).parent.rglob("*.py")
        for each in literals(file.read_text())
        if repeated_groups(each)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (r"(?:a|b)*+c", True),
        (r"(?:a{1,3}b){1,8}+", True),
        (r"(?>(?:a|b)*)c", False),
        (r"[a-z]*+", False),
        (r"[()*+,]", False),
        (r"\)*+", False),
    ],
)
def test_such_a_pattern_is_found(pattern: str, *, found: bool) -> None:
    assert repeated_groups(pattern) is found

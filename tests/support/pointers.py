"""The ends of lines of errors: `(relayd explain WORD)`. Tests of what an error says look at it without."""

import re

from relayd.explain.lookup import explain

_POINTER = re.compile(r" \(relayd explain (\S+)\)$", re.MULTILINE)


def without_pointers(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a text without the pointers in it, and the words that they name. Each of them is explained."""
    words = tuple(_POINTER.findall(text))
    assert all(map(explain, words)), words
    return _POINTER.sub("", text), words

"""Text that somebody else wrote, made fit for eyes.

Owns the one answer to which characters are shown: those that Unicode calls graphic, but for some that
look like nothing. Controls, format characters (direction overrides, zero width, soft hyphens, tags),
surrogates, private and unassigned ones, line separators and fillers are not: they forge lines and
hide words. Addresses keep them in the envelope, to the octet; only what is shown is cleaned.

Source: Unicode Standard §4.5 (general categories C*, Zl, Zp), §23 (format characters); A-47, A-89.
"""

import json
import re
from itertools import groupby

# Hangul fillers and the empty Braille pattern: a letter or a symbol by category, a blank by looks.
_FILLER = re.compile("[\u115f\u1160\u2800\u3164\uffa0]")


def is_shown(text: str) -> bool:
    """Tell whether all of it can be shown as it is."""
    return text.isprintable() and (text.isascii() or _FILLER.search(text) is None)


def replaced(text: str, by: str = "?") -> str:
    """Return `text` with `by` for each character that is not shown."""
    if is_shown(text):
        return text
    return "".join(char if is_shown(char) else by for char in text)


def blanked(text: str) -> str:
    """Return `text` with one blank for each run of characters that are not shown."""
    if is_shown(text):
        return text
    runs = groupby(text, key=is_shown)
    return "".join("".join(run) if shown else " " for shown, run in runs)


def escaped(line: str) -> str:
    """Return a line of JSON with escapes for what is not shown; it stays the same JSON."""
    if is_shown(line):
        return line
    return "".join(char if is_shown(char) else _escape(char) for char in line)


def _escape(char: str) -> str:
    return r"\u007f" if char == "\x7f" else json.dumps(char)[1:-1]  # DEL is none to the library

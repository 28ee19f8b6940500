"""Rows of fields as lines of CSV, which no spreadsheet runs as formulas. `relayd … --csv` and the console write the same.

Source: RFC 4180.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from relayd.mail.text import replaced
from relayd.mail.words import format_instant

# With which a spreadsheet begins to calculate; the last four are full-width, which some take for the same.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Where a comma is the decimal sign, as in much of Europe, a spreadsheet sets cells apart by semicolons: then a cell begins behind each.
_BEHIND_SEMICOLON = re.compile(f"(?<=;)(?=[{re.escape(''.join(_FORMULA))}])")


def csv_line(values: Iterable[object]) -> str:
    """Return one line: a cell for each value."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(map(_cell, values))
    return line.getvalue()


def _cell(value: object) -> str:
    """Return one cell: empty for what is not known, and never a formula."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return format_instant(value)
        case list() | tuple() if all(isinstance(each, str) for each in value):
            return _text(", ".join(value))
        case list() | tuple() | Mapping():
            return _text(json.dumps(value, ensure_ascii=False))
        case _:
            return _text(value) if isinstance(value, str) else str(value)


def _text(text: str) -> str:
    text = replaced(text)
    if ";" in text:
        text = _BEHIND_SEMICOLON.sub("'", text)
    return f"'{text}" if text.startswith(_FORMULA) else text

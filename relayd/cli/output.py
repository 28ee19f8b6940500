"""How results reach people and programs.

A terminal gets a table with colours, a pipe gets the same rows as tab-separated text, `--json`
gets one object per line, `--csv` what spreadsheets read. Owns that no control character of remote origin gets out (A-47, A-89):
data is never read as markup, and what is not printable is replaced or, in JSON, escaped.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import chain

from relayd.cli.table import (
    USUAL,
    Column,
    TableOptions,
    cells_in,
    chosen,
    coloured,
    columns_of,
    cut_line,
    folded,
    lay_out,
    screen_width,
    width_of,
)
from relayd.mail.text import escaped, replaced
from relayd.mail.words import format_instant


class Form(StrEnum):
    """What rows are printed as."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


_INDENT = 4  # cells, of a text that has no space beside what it follows
_LEAST_SPACE = 24  # cells beside it
STYLES = {
    "queued": "cyan",
    "deferred": "yellow",
    "held": "magenta",
    "relayed": "green",
    "sent": "green",
    "bounced": "red",
    "late_bounced": "red",
    "late_bounce_doubted": "yellow",
    "complained": "red",
    "refused": "red",
    "dropped": "bright_black",
}


def printable(text: str) -> str:
    """`text` without control characters, line breaks and direction overrides."""
    return replaced(text)


def printable_json(text: str) -> str:
    """One line of JSON, with what is not printable in its strings escaped; it stays the same JSON."""
    return escaped(text)


def show_json(fields: Mapping[str, object]) -> None:
    """Print one object; fields that are not known are left out."""
    import json  # noqa: PLC0415 -- tables need none of it

    known = {name: _json_value(value) for name, value in fields.items() if value is not None}
    _say(printable_json(json.dumps(known, ensure_ascii=False, separators=(",", ":"))))


def _json_value(value: object) -> object:
    match value:
        case datetime():
            return format_instant(value)
        case StrEnum():
            return value.value
        case _:
            return value


def show_fields(rows: Iterable[Mapping[str, object]], names: Sequence[str], form: Form) -> int:
    """Print rows of fields as JSON or as CSV, whose header is `names`; return how many there were."""
    count = 0
    if form is Form.CSV:
        _say_csv(names)
    for row in rows:
        count += 1
        if form is Form.CSV:
            _say_csv(map(row.get, names))
        else:
            show_json(row)
    return count


def _say_csv(values: Iterable[object]) -> None:
    from relayd.answers.csv_lines import csv_line  # noqa: PLC0415 -- few answers need it

    sys.stdout.write(csv_line(values))
    sys.stdout.flush()  # as `_say`


def say_empty(what: str = "nothing matches") -> None:
    """Say that there are no rows, where it is in nobody's way."""
    print(f"relayd: {what}", file=sys.stderr)


def show_table(
    titles: Sequence[Column | str],
    rows: Iterable[Sequence[str]],
    *,
    table: TableOptions = USUAL,
    newest_first: bool = False,
    totals: Sequence[Sequence[str]] = (),
) -> None:
    """Print rows of text under their titles; a cell that begins with a status gets its colour.

    A pipe gets each cell whole, and the rows as they come. On a terminal the columns are cut to
    its width. Rows that come `newest_first` are turned there: the newest stays next to the prompt,
    and the older ones are found by scrolling up. `totals` are the last rows in both.
    """
    places = chosen(columns_of(titles), table)
    columns = [column for _, column in places]

    def cells(row: Sequence[str]) -> list[str]:
        return [printable(row[place]) for place, _ in places]

    if not sys.stdout.isatty():
        _say("\t".join(column.title for column in columns))
        for row in chain(rows, totals):
            _say("\t".join(cells(row)))
        return
    lines = [cells(row) for row in rows]
    if newest_first:
        lines.reverse()
    lines += map(cells, totals)
    for line in table_lines(columns, lines, screen_width()):
        _say(line)


def table_lines(columns: Sequence[Column], rows: Sequence[Sequence[str]], space: int) -> list[str]:
    """Return the lines of a table on a terminal, with the colours of statuses."""
    shown = [[printable(cell) for cell in row] for row in rows]
    styles = [[style_of(cell) for cell in row] for row in shown]
    return list(lay_out(columns, shown, styles, space=space))


def hanging(start: str, text: str) -> str:
    """Return a line that begins with `start`; on a terminal the text goes on below itself, if it is long."""
    text = printable(text)
    indent = width_of(start)
    space = screen_width() - indent
    if not sys.stdout.isatty() or cells_in(text) <= space:
        return f"{start}{text}"
    if space < _LEAST_SPACE:
        indent, space = _INDENT, screen_width() - _INDENT
        return f"\n{' ' * indent}".join([start.rstrip(), *folded(text, max(space, 1))])
    return start + f"\n{' ' * indent}".join(folded(text, space))


def fitted(line: str) -> str:
    """Return a line as it is in a pipe, cut to the width of the screen on a terminal."""
    return cut_line(line, screen_width()) if sys.stdout.isatty() else line


def _say(line: str) -> None:
    print(line, flush=True)  # at once, for a reader that follows


def drop_output() -> None:
    """If standard output failed, drop what is buffered, which would be tried again at the exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def style_of(text: str) -> str:
    """The colour of a text that begins with the word of a status or event, else none."""
    return STYLES.get(text.partition(" ")[0], "")


def paint(text: str, style: str = "") -> str:
    """Colour one printable text for `click.echo`, which takes the colour off again in a pipe."""
    return coloured(printable(text), style)

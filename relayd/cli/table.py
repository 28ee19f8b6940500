"""Tables on a terminal: every row is one line, and no line is wider than the screen.

Owns how the screen is shared out. A column that may be cut ends in `…`. Ids and statuses are whole:
people copy the ones and look for the others. Where not all columns fit, the least important ones go.
A column keeps its least width before others go, so that what is shown can still be read.

Widths are those of a terminal's cells: a wide character takes two, a combining mark none.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from itertools import zip_longest

MARK = "…"
_GAP = 2  # cells between two columns
_MARKS = 4  # characters that a cell holds: a letter with marks, as scripts need them
_CODE = re.compile(r"\x1b\[[0-9]*m")
_PARTS = re.compile(r"(\x1b\[[0-9]*m)")
_CODES = {
    "cyan": 36,
    "yellow": 33,
    "magenta": 35,
    "green": 32,
    "red": 31,
    "bright_black": 90,
    "bold": 1,
    "dim": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """How a column of a table looks."""

    title: str
    whole: bool = False  # never cut
    goes: int = 0  # the greater, the sooner it goes where space is short; 0: it stays
    least: int = 8  # cells that it keeps while others can go
    right: bool = False  # numbers
    asked_for: bool = False  # shown only by `--columns`

    @property
    def name(self) -> str:
        """The word for it on a command line."""
        return self.title.lower().replace(" ", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """How somebody wants a table: which columns, None being those that belong there, and in whose time."""

    columns: tuple[str, ...] | None = None
    utc: bool = False
    at: datetime | None = None  # the instant for which ages are told; None: now

    @property
    def zone(self) -> tzinfo | None:
        """The zone of instants; None is that of this machine."""
        return UTC if self.utc else None


USUAL = TableOptions()


def chosen(columns: Sequence[Column], table: TableOptions) -> list[tuple[int, Column]]:
    """Return the columns to show, each with its place; those asked for by name are cut, but do not go."""
    if table.columns is None:
        return [(place, each) for place, each in enumerate(columns) if not each.asked_for]
    places = {each.name: place for place, each in enumerate(columns)}
    return [
        (places[name], replace(columns[places[name]], goes=0, asked_for=False))
        for name in table.columns
    ]


def columns_of(titles: Sequence[Column | str]) -> list[Column]:
    """Return the columns; of one that is only named, ids and statuses are whole."""
    return [
        one if isinstance(one, Column) else Column(title=one, whole=one in {"ID", "STATUS"})
        for one in titles
    ]


def screen_width() -> int:
    """Return the cells of a line: COLUMNS, else what the terminal says, else 80."""
    import shutil  # noqa: PLC0415 -- brings what unpacks archives; a pipe needs none of it

    return shutil.get_terminal_size().columns


def has_colours() -> bool:
    """Tell whether colours are wanted on a terminal: not with NO_COLOR, nor where TERM is dumb."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(text: str, style: str) -> str:
    """Return a text with the codes of a style around it, if there is one and colours are wanted."""
    if not style or not has_colours():
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def has_screen() -> bool:
    """Tell whether a terminal can be drawn anew; a dumb one shows line after line."""
    return os.environ.get("TERM") != "dumb"


def lay_out(
    titles: Sequence[Column | str],
    rows: Sequence[Sequence[str]],
    styles: Sequence[Sequence[str]] | None = None,
    *,
    space: int,
) -> Iterator[str]:
    """Yield the lines of a table, titles first, in at most `space` cells.

    `styles` has the colour of each cell. Only what may not be cut can be wider than the space.
    """
    columns = columns_of(titles)
    shown = _shared_out(columns, rows, space)

    def line(cells: Sequence[str], colours: Sequence[str]) -> str:
        parts = []
        for place, width in shown:
            text = cells[place] if columns[place].whole else cut(cells[place], width)
            pad = " " * (width - cells_in(text))
            painted = coloured(text, colours[place])
            parts.append(pad + painted if columns[place].right else painted + pad)
        return (" " * _GAP).join(parts).rstrip()

    yield line([column.title for column in columns], ["bold"] * len(columns))
    plain = [""] * len(columns)
    for number, row in enumerate(rows):
        yield line(row, plain if styles is None else styles[number])


def _shared_out(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], space: int
) -> list[tuple[int, int]]:
    """Return the places of the columns that are shown, each with its width."""
    needs = [
        max([cells_in(column.title), *(cells_in(row[place]) for row in rows)])
        for place, column in enumerate(columns)
    ]

    def least(place: int) -> int:
        return needs[place] if columns[place].whole else min(needs[place], columns[place].least)

    shown = list(range(len(columns)))
    while sum(map(least, shown)) + _GAP * (len(shown) - 1) > space:
        last = max(shown, key=lambda place: (columns[place].goes, place))
        if not columns[last].goes:
            break
        shown.remove(last)
    left = space - _GAP * (len(shown) - 1)
    left -= sum(needs[place] for place in shown if columns[place].whole)
    level = _level([needs[place] for place in shown if not columns[place].whole], left)
    return [
        (place, needs[place] if columns[place].whole else min(needs[place], level))
        for place in shown
    ]


def _level(needs: Sequence[int], space: int) -> int:
    """Return the greatest width that all can have as the most: the narrow ones get what they need."""
    left = space
    for count, need in zip(range(len(needs), 0, -1), sorted(needs), strict=True):
        if need * count > left:
            return max(left // count, 1)
        left -= need
    return max(needs, default=1)


def cut(text: str, width: int) -> str:
    """Return the text in at most `width` cells; if it is cut, it ends in `…`."""
    if cells_in(text) <= width:
        return text
    end = width - 1  # characters; none of them takes less than a cell but for marks on another
    if not text.isascii():
        end = min(len(text), _MARKS * width)
        while end and cells_in(text[:end]) >= width:
            end -= 1
    return text[:end] + MARK


def cut_line(line: str, width: int) -> str:
    """Return a line with colours in at most `width` cells."""
    if width_of(line) <= width:
        return line
    kept, left = [], width - 1
    for number, part in enumerate(_PARTS.split(line)):
        if number % 2:
            kept.append(part)  # a colour
        elif cells_in(part) <= left:
            kept.append(part)
            left -= cells_in(part)
        else:
            kept.append(cut(part, left + 1))
            break
    return "".join([*kept, "\x1b[0m" if "\x1b" in line else ""])


def folded(text: str, space: int) -> list[str]:
    """Return the lines of a text that is read and not compared, so that none of it is lost.

    They end between words; a word that is longer than a line is cut off nowhere, and goes on in the next.
    """
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if cells_in(longer) <= space:
            lines[-1] = longer
            continue
        rest = word
        if not lines[-1]:
            lines.pop()
        while cells_in(rest) > space:
            end = len(cut(rest, space + 1)) - len(MARK)
            lines.append(rest[: max(end, 1)])
            rest = rest[max(end, 1) :]
        lines.append(rest)
    return lines


def beside(left: Sequence[str], right: Sequence[str], *, at: int) -> Iterator[str]:
    """Yield the lines of two tables side by side, the right one beginning at a column."""
    for one, other in zip_longest(left, right, fillvalue=""):
        pad = " " * (at - width_of(one))
        yield f"{one}{pad}{other}".rstrip()


def width_of(line: str) -> int:
    """Return the width of a line that has colours."""
    return cells_in(_CODE.sub("", line))


def cells_in(text: str) -> int:
    """Return the width of a printable text on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 -- few texts need it

    return cell_len(text)

"""The rows of the documentation that describe one thing each.

Owns which tables they are. A table is known by its page and the title of its first column; a name is what is `code` in the
first cell.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from relayd.shipped import shipped

_CELL = re.compile(r"(?<!\\)\|")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_CODE = re.compile(r"`([^`]+)`")
_SLUG = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class _Table:
    page: str
    title: str  # of the first column
    kind: str
    section: str = ""  # the heading above it; empty: any
    before: str = ""  # what the names begin with
    plain: bool = False  # names are not in code, with commas between


_TABLES = (
    _Table("docs/config.md", "key", "setting"),
    _Table("docs/config.md", "in each table", "setting", before="dkim."),
    _Table("docs/events.md", "event", "event of the status log", section="Events"),
    _Table(
        "docs/events.md", "event", "event of the operational log", section="The operational log"
    ),
    _Table("docs/events.md", "event", "event of a trace", section="The trace"),
    _Table("docs/events.md", "field", "field of an event"),
    _Table("README.md", "status", "status"),
    _Table("docs/bounces.md", "category", "category of a bounce"),
    _Table("docs/errors.md", "reply", "reply to a client"),
    _Table("docs/errors.md", "error", "error of a command"),
    _Table("docs/errors.md", "word", "problem of the HTTP API"),
    _Table("docs/commands.md", "", "exit status", section="Exit status", plain=True),
    _Table("docs/doctor.md", "check", "check of the doctor"),
    _Table("docs/doctor.md", "level", "level of the doctor"),
    _Table("docs/metrics.md", "metric", "metric"),
    _Table("docs/glossary.md", "word", "word", plain=True),
)
PAGES = tuple(dict.fromkeys(table.page for table in _TABLES))
"""The pages that have to come with relayd; `pyproject.toml` puts them into a wheel."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row, for one of its names."""

    name: str
    kind: str
    page: str  # with the anchor of its section
    columns: tuple[tuple[str, str], ...]  # title and text, without those that are empty


@cache
def entries() -> tuple[Entry, ...]:
    """Return all rows, in the order of the tables above. Raises RelaydError."""
    return tuple(entry for page in PAGES for entry in _entries(page, shipped(page)))


def _entries(page: str, text: str) -> Iterator[Entry]:
    tables = [table for table in _TABLES if table.page == page]
    for section, titles, cells in _rows(text):
        for table in tables:
            if titles[0] == table.title and table.section in ("", section):
                columns = tuple(
                    (title or "means", _plain(cell))
                    for title, cell in zip(titles[1:], cells[1:], strict=False)
                    if cell
                )
                for name in _names(cells[0], table):
                    yield Entry(
                        f"{table.before}{name}", table.kind, f"{page}#{_slug(section)}", columns
                    )


def _rows(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Give each row of a table with the heading above it and the titles of the columns."""
    section, in_code = "", False
    titles: list[str] = []
    for line in text.splitlines():
        if line.startswith("```"):
            in_code = not in_code
        elif in_code:
            continue
        elif line.startswith("#"):
            section, titles = re.sub(r"<[^>]*>", "", line.lstrip("#")).strip(), []
        elif not line.startswith("|"):
            titles = []
        elif not re.fullmatch(r"[|\s:-]+", line) or (not titles and line.strip("| ") == ""):
            cells = [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]]
            if titles:
                yield section, titles, cells
            else:
                titles = cells


def _names(cell: str, table: _Table) -> list[str]:
    if table.plain:
        return [each.strip() for each in _plain(cell).split(",")]
    return _CODE.findall(cell)


def _plain(text: str) -> str:
    """Return a cell without links and marks."""
    return (
        _LINK.sub(r"\1", re.sub(r"<[^>]+>(?=\s*<|$)", "", text)).replace("`", "").replace("**", "")
    )


def _slug(heading: str) -> str:
    """Return the anchor of a heading, as the site and forges make it."""
    return _SLUG.sub("", heading.replace("`", "").lower()).replace(" ", "-")

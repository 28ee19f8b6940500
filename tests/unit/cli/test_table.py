"""Tables on a terminal: one line for each row, in its width, the important columns first."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from relayd.cli.listing import COLUMNS
from relayd.cli.table import (
    MARK,
    USUAL,
    Column,
    TableOptions,
    beside,
    cells_in,
    chosen,
    coloured,
    cut,
    cut_line,
    folded,
    lay_out,
)
from relayd.mail.text import replaced

ID = "0CNSP4NW60800"
ROWS = (
    f"{ID}|3 min ago|shop@app.example|customer312@mail.example|bounced (block)|1||"
    "554 5.7.1 this message looks like bulk mail, and we do not want it here".split("|"),
    f"{ID}|26 h ago|日本語日本語@例え.example|jose\u0301@x.example|deferred|10|in 12 min|"
    "452 4.2.2 日本語日本語日本語日本語日本語日本語日本語日本語日本語".split("|"),
)
WHERE_NEEDED = ("SUBJECT", "REDIRECTED-TO")
LISTED = [column for _, column in chosen(COLUMNS, USUAL) if column.title not in WHERE_NEEDED]


@pytest.fixture(autouse=True)
def _no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


SHOWN_AT = {
    40: "ID RECIPIENT STATUS",
    80: "ID RECEIVED RECIPIENT STATUS WHY",
    100: "ID RECEIVED FROM RECIPIENT STATUS NEXT WHY",
    140: "ID RECEIVED FROM RECIPIENT STATUS TRIES NEXT WHY",
}


@pytest.mark.parametrize(("space", "titles"), SHOWN_AT.items(), ids=str)
def test_the_least_important_columns_go_first(space: int, titles: str) -> None:
    """And ids and statuses are whole at every width."""
    first, *rows = lay_out(LISTED, ROWS, space=space)
    shown = [title for title in titles.split() if not first.count(title[:7])]
    assert (shown, len(first.split())) == ([], len(titles.split()))
    assert all(cell_len(line) <= space for line in (first, *rows))
    for line, status in zip(rows, ("bounced (block)", "deferred"), strict=True):
        assert ID in line
        assert status in line


def test_what_fits_is_not_cut() -> None:
    lines = list(lay_out(LISTED, ROWS, space=250))
    assert not any(MARK in line for line in lines)
    assert all(cell in line for row, line in zip(ROWS, lines[1:], strict=True) for cell in row)


CUT = {
    "fits": ("abc", 3, "abc"),
    "cut": ("abcd", 3, "ab…"),
    "one cell": ("abcd", 1, "…"),
    "wide fits": ("日本", 4, "日本"),
    "wide": ("日本語", 4, "日…"),
    "never half a wide one": ("日本語", 3, "日…"),
    "wide does not fit": ("日本語", 2, "…"),
    "a mark stays with its letter": ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
    "marks take no cell": ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
}


@pytest.mark.parametrize(("text", "width", "shown"), CUT.values(), ids=CUT)
def test_a_text_is_cut_by_cells(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown
    assert cells_in(shown) <= width


TEXT = st.text(max_size=40).map(replaced)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=4), st.integers(min_value=12, max_value=150))
def test_no_line_is_wider_than_the_screen(rows: list[tuple[str, ...]], space: int) -> None:
    lines = list(lay_out(["RECIPIENT", "WHY", Column(title="N", right=True)], rows, space=space))
    assert len(lines) == 1 + len(rows)
    assert all(cell_len(line) <= space for line in lines)
    assert all(line.isprintable() for line in lines)


def test_numbers_end_under_each_other() -> None:
    lines = list(
        lay_out([Column(title="N", right=True), "X"], [("5", "a"), ("100", "b")], space=80)
    )
    assert lines == ["  N  X", "  5  a", "100  b"]


def test_columns_that_were_asked_for_stay_in_their_order() -> None:
    table = TableOptions(columns=("why", "tag", "id"))
    assert [column.title for _, column in chosen(COLUMNS, table)] == ["WHY", "TAG", "ID"]
    [titles, row] = lay_out(
        [column for _, column in chosen(COLUMNS, table)],
        [("550 no such user", "news", ID)],
        space=30,
    )
    assert (len(titles.split()), row.endswith(ID)) == (3, True)


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_only_where_they_are_wanted(
    environment: dict[str, str],
    coloured: bool,  # noqa: FBT001 -- a case
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    [titles, _] = lay_out(["A"], [("x",)], [("red",)], space=80)
    assert ("\x1b" in titles) == coloured


FOLDED = {
    "fits": ("one two", 7, ["one two"]),
    "between words": ("one two three", 8, ["one two", "three"]),
    "a long word": ("a bcdefgh i", 4, ["a", "bcde", "fgh", "i"]),
    "wide": ("日本語 です", 6, ["日本語", "です"]),
    "half a wide one": ("日本語", 3, ["日", "本", "語"]),
    "nothing": ("", 5, [""]),
}


@pytest.mark.parametrize(("text", "space", "lines"), FOLDED.values(), ids=FOLDED)
def test_a_sentence_is_folded_and_none_of_it_is_lost(
    text: str, space: int, lines: list[str]
) -> None:
    assert folded(text, space) == lines


@settings(max_examples=80, deadline=None)
@given(TEXT, st.integers(min_value=2, max_value=30))
def test_a_folded_text_fits_and_is_whole(text: str, space: int) -> None:
    lines = folded(text, space)
    assert all(cell_len(line) <= space for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_line_with_colours_is_cut_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    line = f"{coloured('bounced', 'red')} {coloured('550 no', 'bold')}"
    assert cut_line(line, 14) == line
    assert cut_line(line, 10) == f"{coloured('bounced', 'red')} \x1b[1m5…\x1b[0m"
    assert cut_line("bounced 550", 8) == "bounced…"


def test_tables_beside_each_other() -> None:
    assert list(beside(["a", "日本"], ["x", "y", "z"], at=6)) == ["a     x", "日本  y", "      z"]

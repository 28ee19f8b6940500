"""Lists of suppressed addresses, as people and other systems write them."""

import csv
from collections.abc import Awaitable
from io import StringIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relayd.answers.suppressions import COLUMNS, Line, csv_cells, foresee, read_list
from relayd.mail.suppression import Suppression, ToSuppress, of_person
from relayd.store.memory.tables import Tables
from relayd.store.memory.view import MemoryView
from tests.support.clock import START


def read(text: str) -> list[Line]:
    return list(read_list(StringIO(text, newline="")))


def a_line(number: int, address: str, sender: str = "", reason: str = "") -> Line:
    wanted = ToSuppress(address=address, scope=sender, reason=reason)
    return Line(number=number, wanted=wanted)


GOOD: dict[str, tuple[str, list[Line]]] = {
    "nothing": ("", []),
    "blank lines": ("\n \r\n", []),
    "one address a line": (
        "\na@x.test\n\n b@x.test \r\n",
        [a_line(2, "a@x.test"), a_line(4, "b@x.test")],
    ),
    "without a newline at the end": ("a@x.test", [a_line(1, "a@x.test")]),
    "no formula, but an address": ("'=a@x.test\n", [a_line(1, "'=a@x.test")]),
    "a header only": ("address\n", []),
    "one column": ("Email\na@x.test\n", [a_line(2, "a@x.test")]),
    "columns of others": (
        "created,E-Mail,reason\n1,a@x.test,gone\n2,b@x.test,\n",
        [a_line(2, "a@x.test", reason="gone"), a_line(3, "b@x.test")],
    ),
    "short records": ("address,sender,reason\na@x.test\n", [a_line(2, "a@x.test")]),
    "a sender": (
        "sender,address\napp@app.test,a@x.test\n",
        [a_line(2, "a@x.test", "app@app.test")],
    ),
    "a reason of two lines": (
        'address,reason\n\na@x.test,"550 one\r\n550 two"\nb@x.test,x\n',
        [a_line(3, "a@x.test", reason="550 one 550 two"), a_line(5, "b@x.test", reason="x")],
    ),
    "formulas": (
        "address,reason\n'=a@x.test,'+1\n''-b@x.test,'quoted'\n",
        [a_line(2, "=a@x.test", reason="+1"), a_line(3, "'-b@x.test", reason="'quoted'")],
    ),
}


@pytest.mark.parametrize(("text", "lines"), GOOD.values(), ids=GOOD)
def test_a_list_is_read(text: str, lines: list[Line]) -> None:
    assert read(text) == lines


BAD: dict[str, tuple[str, list[tuple[int, str]]]] = {
    "no address": ("a@x.test\nx.test\n", [(2, "'x.test' is no address")]),
    "a pattern": ("*@x.test\n", [(1, "'*@x.test' is no address: there are no patterns")]),
    "a name": ("Kim <kim@x.test>\n", [(1, "is no address")]),
    "without a header": ("a@x.test,gone\n", [(1, "'a@x.test,gone' is no address")]),
    "no address in a record": ("address,reason\n,gone\n", [(2, "'' is no address")]),
    "a sender that is none": ("address,sender\na@x.test,app\n", [(2, "'app' is no address")]),
    "too many cells": ("address\na@x.test,gone\nb\n", [(2, "2 cells where 1 have"), (3, "'b'")]),
    "a quote in the middle": ('address\n"a"b@x.test\nb\n', [(2, "not CSV"), (3, "'b'")]),
    "octets that are no UTF-8": ("a\udce4@x.test\n", [(1, "is no address")]),
    "a quote that is not closed": ('address,reason\na@x.test,"x\nb@x.test\n', [(2, "not CSV")]),
    "a cell without an end": ('address\n"' + "x\n" * 5000 + "a@x.test\n", [(2, "not CSV")]),
}


@pytest.mark.parametrize(("text", "mistakes"), BAD.values(), ids=BAD)
def test_mistakes_have_their_line(text: str, mistakes: list[tuple[int, str]]) -> None:
    found = [(line.number, line.mistake) for line in read(text) if line.mistake]
    assert [number for number, _ in found[: len(mistakes)]] == [number for number, _ in mistakes]
    for (_, words), (_, expected) in zip(found, mistakes, strict=False):
        assert expected in words


def as_csv(found: list[Suppression]) -> str:
    text = StringIO()
    csv.writer(text).writerows([COLUMNS, *map(csv_cells, found)])
    return text.getvalue()


LOCALS = st.text("ab'=+-.\"", min_size=1, max_size=5).map(
    lambda text: f'"{text.replace(chr(34), chr(92) + chr(34))}"' if {".", '"'} & set(text) else text
)
REASONS = st.text("ab '=+-@,\"\uff1d\uff20", max_size=6).map(str.strip)


@given(LOCALS, REASONS)
@example("'=a", "'=b")
@example("=a", "@b")
def test_what_is_written_is_read_and_is_no_formula(local: str, reason: str) -> None:
    wanted = ToSuppress(address=f"{local}@x.test", scope="-app@app.test", reason=reason)
    text = as_csv([of_person(wanted, by="=ann", at=START)])
    assert read(text) == [Line(number=2, wanted=wanted)]
    [_, cells] = csv.reader(StringIO(text))
    assert not any(cell.startswith(("=", "+", "-", "@", "\uff1d", "\uff20")) for cell in cells)


class FarView(MemoryView):
    """Of a store behind a network."""

    def is_suppressed(self, address: str, *, sender: str = "") -> Awaitable[bool]:  # type: ignore[override]
        async def told() -> bool:
            return address == "a@x.test" and sender == ""

        return told()


def test_a_store_behind_a_network_is_asked_alike() -> None:
    lines = read("a@x.test\nb@x.test\n")
    assert [each.does for each in foresee(lines, FarView(Tables()))] == ["before", "new"]

"""Suppressed addresses as fields, and as a list to and from other systems.

A list is CSV whose first line names the columns, or one address a line. A cell that a spreadsheet would run as
a formula gets a `'` in CSV, which reading takes off again.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from relayd.mail.address import PathError, parse_address
from relayd.mail.ids import format_id
from relayd.mail.suppression import EVERYBODY, Suppression, ToSuppress
from relayd.mail.text import blanked
from relayd.mail.to_suppress import parse_to_suppress
from relayd.mail.words import format_instant
from relayd.ports.view import QueueView

COLUMNS = ("address", "sender", "since", "by", "queue_id", "reason")
_PAGE = 500  # addresses
_CELL_LIMIT = 8192  # characters: a quote that is never closed spoils few lines
# Names of the columns in the lists of others, without case, blanks and dashes.
_ADDRESS = ("address", "email", "emailaddress", "recipient", "rcpt")
_SENDER = ("sender", "from")
_REASON = ("reason", "error", "suppressionreason")
_FORMULA = re.compile(r"'*[=+\-@\uff1d\uff0b\uff0d\uff20]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a list: what it wants, or what is wrong with it."""

    number: int
    wanted: ToSuppress | None = None
    mistake: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What a line would do: `new`, `before` (suppressed already) or `mistake`."""

    line: Line
    does: str


def suppression_fields(each: Suppression) -> dict[str, str]:
    """Return who suppressed an address, when and why, as far as there is something to say."""
    fields = {
        "from": each.scope,
        "since": format_instant(each.at),
        "by": each.by,
        "queue_id": "" if each.message_id is None else format_id(each.message_id),
        "reason": each.reason,
    }
    return {key: value for key, value in fields.items() if value}


def all_suppressions(view: QueueView) -> Iterator[Suppression]:
    """Yield what suppresses addresses, by domain. May raise StoreUnavailable."""
    after = ""
    while page := view.suppressions(after=after, limit=_PAGE):
        yield from page
        after = page[-1].address


def csv_cells(each: Suppression) -> list[str]:
    """Return the cells of `COLUMNS`, none of which is a formula to a spreadsheet."""
    cells = (
        each.address,
        each.scope,
        format_instant(each.at),
        each.by,
        "" if each.message_id is None else format_id(each.message_id),
        blanked(each.reason),
    )
    return [f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells]


def read_list(lines: Iterable[str], *, reason: str = "") -> Iterator[Line]:
    """Read a list, a `Line` for each line or record that is not blank; `reason` is for those that give none."""
    for line in _read_list(lines):
        wanted = line.wanted
        if reason and wanted is not None and not wanted.reason:
            yield replace(line, wanted=replace(wanted, reason=reason))
        else:
            yield line


def foresee(lines: Iterable[Line], view: QueueView) -> Iterator[Foreseen]:
    """Yield what each line would do, those before it included. May raise StoreUnavailable."""
    seen: set[tuple[str, str]] = set()
    for line in lines:
        if line.wanted is None:
            yield Foreseen(line=line, does="mistake")
            continue
        address, scope = line.wanted.address.lower(), line.wanted.scope.lower()
        is_old = not seen.isdisjoint({(address, scope), (address, EVERYBODY)}) or _is_suppressed(
            view, address, sender=scope
        )
        seen.add((address, scope))
        yield Foreseen(line=line, does="before" if is_old else "new")


def _is_suppressed(view: QueueView, address: str, *, sender: str) -> bool:
    """Ask from code without an event loop, whatever the store."""
    found = view.is_suppressed(address, sender=sender)
    if isinstance(found, bool):
        return found

    import asyncio  # noqa: PLC0415 -- other questions need none of it

    async def told() -> bool:
        return await found

    return asyncio.run(told())


def _read_list(lines: Iterable[str]) -> Iterator[Line]:
    counted = enumerate(lines, start=1)
    filled = ((number, line) for number, line in counted if line.strip())
    for number, line in filled:
        if columns := _columns(line):
            yield from _read_csv((line for _, line in counted), columns, first=number + 1)
        else:
            yield _line(number, line.strip())
        break
    for number, line in filled:
        yield _line(number, line.strip())


def _columns(line: str) -> list[str]:
    """Return what the columns are called, if that is what the line says."""
    try:
        cells = next(csv.reader([line]))
    except csv.Error:
        return []
    names = [re.sub(r"[\s_-]", "", cell).lower() for cell in cells]
    return names if any(name in _ADDRESS for name in names) else []


def _read_csv(lines: Iterable[str], columns: Sequence[str], *, first: int) -> Iterator[Line]:
    csv.field_size_limit(_CELL_LIMIT)
    reader = csv.reader(lines, strict=True)
    while True:
        number = first + reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(number=number, mistake=f"not CSV: {error}")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            yield Line(number=number, mistake=f"{len(cells)} cells where {len(columns)} have names")
            continue
        of = {name: _bare(cell.strip()) for name, cell in zip(columns, cells, strict=False)}
        yield _line(number, _first(of, _ADDRESS), _first(of, _SENDER), _first(of, _REASON))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # octets that were none
        return False
    return True


def _first(cells: dict[str, str], names: Sequence[str]) -> str:
    return next((cells[name] for name in names if name in cells), "")


def _bare(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _line(number: int, address: str, sender: str = "", reason: str = "") -> Line:
    for text, parse in ((address or " ", parse_to_suppress), (sender, parse_address)):
        try:
            if text:
                parse(text)
        except PathError as error:
            return Line(number=number, mistake=f"{text.strip()!r} is no address: {error}")
    if not _is_text(reason):
        return Line(number=number, mistake="its reason is not UTF-8")
    return Line(
        number=number, wanted=ToSuppress(address=address, scope=sender, reason=blanked(reason))
    )

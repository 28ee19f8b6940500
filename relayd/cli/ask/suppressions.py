"""`relayd addresses suppress`, `unsuppress`, `import` and `export`: the suppressed addresses, by hand.

Changes go through the daemon's control socket, in requests of bounded size; the rest is read off the store.
"""

import csv
import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import click

from relayd.answers.suppressions import (
    COLUMNS,
    Line,
    all_suppressions,
    csv_cells,
    foresee,
    read_list,
    suppression_fields,
)
from relayd.cli.asked_daemon import daemon_socket
from relayd.cli.context import F, NoSuch, json_option, open_view, settings_option
from relayd.cli.output import Form, paint, show_fields, show_json, show_table
from relayd.cli.row_options import takes_form
from relayd.cli.table import Column
from relayd.explain.pointer import pointer
from relayd.files import replace
from relayd.mail.address import Address, PathError, parse_address
from relayd.mail.suppression import EVERYBODY, ToSuppress
from relayd.mail.to_suppress import parse_to_suppress
from relayd.ports.view import QueueView

_COLUMNS = (
    Column(title="LINE", whole=True, right=True),
    Column(title="ADDRESS", least=16),
    Column(title="FOR", goes=1),
    Column(title="DOES", least=12),
)
_STANDARD = "-"  # input or output


class AddressType(click.ParamType[str]):
    name = "address"

    def __init__(self, parse: Callable[[str], Address]) -> None:
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(self._parse(str(value)))
        except PathError as error:
            self.fail(f"{value!r} is no address: {error}", param, ctx)


def _addresses(parse: Callable[[str], Address]) -> Callable[[F], F]:
    return click.argument(
        "addresses", metavar="ADDRESS...", nargs=-1, required=True, type=AddressType(parse)
    )


_reason = click.option("--reason", default="", help="Why, for those who look later.")


@click.command()
@_addresses(parse_to_suppress)
@_reason
@json_option
@settings_option()
def suppress(*, addresses: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Suppress addresses, until somebody lifts it.

    Clients can then have them refused: bounces.refuse_suppressed. One that is suppressed already stays as it is.
    """
    from relayd.control import client  # noqa: PLC0415 -- the list needs none of it
    from relayd.control.suppress import batches  # noqa: PLC0415 -- as above

    socket = daemon_socket()
    for batch in batches(ToSuppress(address=each, reason=reason) for each in addresses):
        for each, is_new in zip(batch, client.suppress(socket, batch), strict=True):
            if as_json:
                show_json({"rcpt": each.address, "suppress": True, "new": is_new})
            else:
                click.echo(paint(f"{_done(is_new)} {each.address}"))


def _done(is_new: bool) -> str:  # noqa: FBT001 -- the answer to one question
    return "suppressed" if is_new else "suppressed before:"


@click.command()
@_addresses(parse_address)
@json_option
@settings_option()
def unsuppress(*, addresses: tuple[str, ...], as_json: bool) -> None:
    """Lift suppressions: only bounces from now on count."""
    lift(addresses, as_json=as_json)


def lift(addresses: Sequence[str], *, as_json: bool) -> None:
    """Lift the suppression of each. Raises NoSuch, in the end, if some had none."""
    from relayd.control import client  # noqa: PLC0415 -- as above

    socket = daemon_socket()
    missed = []
    for address in addresses:
        if not client.unsuppress(socket, address):
            missed.append(address)
        elif as_json:
            show_json({"rcpt": address, "suppress": False})
        else:
            click.echo(paint(f"unsuppressed {address}"))
    if missed:
        verb = "is" if len(missed) == 1 else "are"
        raise NoSuch(f"{', '.join(missed)} {verb} not suppressed")


@click.command(name="import")
@click.argument("file", metavar="FILE|-")
@_reason
@click.option("--dry-run", is_flag=True, help="Change nothing; say of each line what it would do.")
@takes_form
@settings_option()
def import_(*, file: str, reason: str, dry_run: bool, form: Form) -> None:
    """Suppress the addresses of a list.

    FILE is CSV whose first line names the columns (address; sender and reason if there are any), or has one
    address a line. Lines that cannot be read are named, with their numbers; all others are imported. The same list
    can be imported again.
    """
    if form is Form.CSV and not dry_run:
        raise click.UsageError("--csv is for the rows of --dry-run.")
    lines = _lines_of(file, reason)
    if dry_run:
        with open_view() as view:
            counts = _tell_each(view, lines, form)
    else:
        counts = _import(file, lines)
    if not dry_run and form is Form.JSON:
        show_json(
            {"suppressed": counts["new"], "before": counts["before"], "mistakes": counts["mistake"]}
        )
    elif form is not Form.JSON:
        will = "would be suppressed" if dry_run else "suppressed"
        told = f"{counts['new']} {will}, {counts['before']} suppressed before"
        told += f", {_lines(counts['mistake'])} cannot be read" if counts["mistake"] else ""
        click.echo(told, err=form is Form.CSV)
    if counts["mistake"]:
        click.get_current_context().exit(os.EX_DATAERR)


def _lines_of(file: str, reason: str) -> Iterator[Line]:
    """Yield the lines of the list; those without a reason of their own get `reason`."""
    try:
        opened = click.open_file(file, encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise NoSuch(f"{file}: {error.strerror}") from error
    with opened as text:
        yield from read_list(text, reason=reason)


def _import(file: str, lines: Iterator[Line]) -> Counter[str]:
    from relayd.control import client  # noqa: PLC0415 -- as above
    from relayd.control.suppress import batches  # noqa: PLC0415 -- as above

    socket = daemon_socket()
    counts: Counter[str] = Counter()

    def good() -> Iterator[ToSuppress]:
        for line in lines:
            if line.wanted is not None:
                yield line.wanted
            else:
                counts["mistake"] += 1
                told = f"relayd: {file}: line {line.number}: {line.mistake}"
                click.echo(paint(f"{told}{pointer(os.EX_DATAERR)}"), err=True)

    for batch in batches(good()):
        new = sum(client.suppress(socket, batch))
        counts["new"] += new
        counts["before"] += len(batch) - new
    return counts


def _tell_each(view: QueueView, lines: Iterator[Line], form: Form) -> Counter[str]:
    """Say what each line would do."""
    counts: Counter[str] = Counter()

    def told() -> Iterator[tuple[Line, str]]:
        for each in foresee(lines, view):
            counts[each.does] += 1
            yield each.line, _DOES[each.does]

    if form is Form.TABLE:
        show_table(_COLUMNS, (_cells(*each) for each in told()))
    else:
        show_fields((_fields(*each) for each in told()), _FIELDS, form)
    return counts


_DOES = {"mistake": "mistake", "before": "nothing: suppressed before", "new": "suppress"}
_FIELDS = ("line", "does", "mistake", "rcpt", "from")


def _fields(line: Line, does: str) -> dict[str, object]:
    fields = {"line": line.number, "does": does, "mistake": line.mistake or None}
    if line.wanted is not None:
        fields["rcpt"], fields["from"] = line.wanted.address, line.wanted.scope or None
    return fields


def _cells(line: Line, does: str) -> tuple[str, ...]:
    if line.wanted is None:
        return str(line.number), "", "", f"{does}: {line.mistake}"
    return str(line.number), line.wanted.address, line.wanted.scope or "all mail", does


@click.command()
@click.argument("file", metavar="[FILE|-]", default=_STANDARD)
@click.option("--plain", is_flag=True, help="One address a line: those suppressed for all mail.")
@json_option
@settings_option()
def export(*, file: str, plain: bool, as_json: bool) -> None:
    """Write all suppressed addresses as CSV: for whose mail, since when, by whom, why.

    `relayd addresses import` reads it. A cell that a spreadsheet would run as a formula begins with a ' there.
    """
    if plain and as_json:
        raise click.UsageError("--plain does not go with --json.")
    with open_view() as view:
        found = all_suppressions(view)
        if as_json:
            if file != _STANDARD:
                raise click.UsageError("--json goes to the standard output.")
            for each in found:
                show_json({"rcpt": each.address, **suppression_fields(each)})
            return
        if plain:
            lines = (f"{each.address}\n" for each in found if each.scope == EVERYBODY)
        else:
            lines = (_csv(cells) for cells in chain([COLUMNS], map(csv_cells, found)))
        if file == _STANDARD:
            for line in lines:
                sys.stdout.write(line)
            sys.stdout.flush()
        else:
            replace(Path(file), "".join(lines), lambda *_: None)


def _csv(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _lines(number: int) -> str:
    return "1 line" if number == 1 else f"{number} lines"

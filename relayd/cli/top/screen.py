"""How `relayd top` looks: sections of rows, as a screen that is drawn anew or as plain text."""

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import click

from relayd.answers import when
from relayd.answers.notices import Notice
from relayd.answers.overview import FLOWS, Overview
from relayd.cli.notices import in_one_line, show_notice
from relayd.cli.output import paint, printable, show_table, table_lines
from relayd.cli.table import Column, beside, coloured, columns_of, cut, has_screen, screen_width
from relayd.ports.view import UNFINISHED

_WIDE = 78  # cells from which on two tables are beside each other
_GAP = 4  # between them
_BEGIN, _END = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # a screen of its own, no cursor
_HOME, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"
_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


@dataclass(frozen=True, slots=True)
class Section:
    titles: Sequence[Column | str]
    rows: Sequence[Sequence[str]]


class Drawing(NamedTuple):
    """What a screen shows, at whatever width, and as plain text."""

    screen: Callable[[int], Iterable[str]]
    headline: str
    notices: Sequence[Notice]
    sections: Sequence[Section]


def drawing_of(overview: Overview) -> Drawing:
    return Drawing(
        partial(screen, overview), headline(overview), overview.notices, sections(overview)
    )


def show(drawing: Drawing) -> None:
    """Print it once: a screen on a terminal, tab-separated text in a pipe."""
    if sys.stdout.isatty():
        for line in drawing.screen(screen_width()):
            click.echo(line)
        return
    for notice in drawing.notices:
        show_notice(notice)
    click.echo(paint(drawing.headline))
    for section in drawing.sections:
        if section.rows:
            click.echo()
            show_table(section.titles, section.rows)


def watch(drawings: Iterator[Drawing], *, rounds: int | None) -> None:
    """Draw each on a screen of its own, `rounds` times or for ever; a dumb terminal gets them in turn."""
    if has_screen():
        click.echo(_BEGIN, nl=False)
    try:
        for round_, drawing in enumerate(drawings, 1):
            width, height = shutil.get_terminal_size()
            lines = list(drawing.screen(width))
            if has_screen():
                drawn = f"{_REST_OF_LINE}\n".join(lines[: height - 1])
                click.echo(f"{_HOME}{drawn}{_REST_OF_LINE}\n{_REST}", nl=False)
            else:
                click.echo("\n".join([*lines, ""]))
            if round_ == rounds:
                return
    finally:
        if has_screen():
            click.echo(_END, nl=False)


def headline(overview: Overview) -> str:
    at = when.shown(overview.at)
    reading = overview.reading
    if reading is None:
        return f"relayd  {at}  NO DAEMON ANSWERS, this is the queue alone: {overview.trouble}"
    workers = int(reading.total("relayd_workers"))
    clients = int(reading.total("relayd_connections", direction="in"))
    servers = int(reading.total("relayd_connections", direction="out"))
    paused = int(reading.total("relayd_deliveries_paused"))
    words = f"relayd  {at}  workers {workers}  connections in {clients}, out {servers}"
    return words + (f"  DELIVERIES PAUSED in {paused}: see the operational log" if paused else "")


def sections(overview: Overview) -> tuple[Section, ...]:
    """Rates, queue, destinations, slow ones, errors."""
    return (
        _flows(overview),
        queue(overview),
        destinations(overview),
        _slowest(overview),
        errors(overview),
    )


def _flows(overview: Overview) -> Section:
    reading = overview.reading
    if reading is None:
        return Section((), ())
    return Section(
        ("RECIPIENTS", number("PER SECOND"), number("SINCE START", goes=1)),
        [
            (
                name,
                f"{overview.rates[name]:.1f}" if name in overview.rates else "-",
                str(int(reading.flow(name))),
            )
            for name in FLOWS
        ],
    )


def queue(overview: Overview) -> Section:
    rows = [(status.value, str(overview.counts.by_status.get(status, 0))) for status in UNFINISHED]
    return Section(("WAITING", number("RECIPIENTS")), [*rows, ("oldest", span(overview.age()))])


def destinations(overview: Overview) -> Section:
    return Section(
        (
            Column(title="DESTINATION", least=14),
            number("RECIPIENTS"),
            Column(title="OLDEST", whole=True, goes=2),
            Column(title="PAUSED", whole=True, goes=1),
        ),
        [
            (name, str(waiting), span(overview.age(name)), span(overview.pause(name)))
            for name, waiting in overview.destinations()
        ],
    )


def _slowest(overview: Overview) -> Section:
    return Section(
        ("SLOWEST, LAST HOUR", number("ATTEMPTS", goes=1), number("SECONDS")),
        [
            (slow.destination, str(slow.attempts), f"{slow.seconds:.3f}")
            for slow in overview.slowest
        ],
    )


def errors(overview: Overview) -> Section:
    return Section(
        (
            Column(title="LAST ERRORS", least=9),
            Column(title="AGO", whole=True, goes=2),
            Column(title="RECIPIENT", goes=1, least=16),
            Column(title="SAYS", least=16),
        ),
        [
            (
                event.kind,
                span((overview.at - event.at).total_seconds()),
                event.address,
                " ".join(
                    str(event.detail[name])
                    for name in ("remote_host", "reply", "reason")
                    if event.detail.get(name)
                    and (name != "reason" or not event.detail.get("reply"))
                ),
            )
            for event in overview.errors
        ],
    )


def number(title: str, *, goes: int = 0) -> Column:
    return Column(title=title, whole=True, right=True, goes=goes)


def span(seconds: float | None) -> str:
    """A length of time in its two greatest units: `3d 4h`, `12m 5s`; empty if there is none."""
    if seconds is None:
        return ""
    left = max(int(seconds), 0)
    parts: list[str] = []
    for unit, size in _UNITS:
        if left >= size or parts:
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join([*parts, f"{left}s"][:2])


def screen(overview: Overview, width: int) -> Iterator[str]:
    """Yield the lines of a screen that is so wide; where it is narrow, one table is below the other."""
    style = "bold" if overview.reading is not None else "red"
    yield coloured(cut(printable(headline(overview)), width), style)
    for notice in overview.notices:
        yield coloured(in_one_line(notice, width), "yellow")
    flows, waiting, longest, slowest, last = sections(overview)
    half = (width - _GAP) * 3 // 5  # the greater one: destinations have long names
    for left, right in ((flows, waiting), (longest, slowest)):
        yield ""
        if width >= _WIDE:
            both = _table(left, half), _table(right, width - _GAP - half)
            yield from beside(*both, at=half + _GAP)
        else:
            yield from _table(left, width)
            yield ""
            yield from _table(right, width)
    yield ""
    yield from _table(last, width)


def _table(section: Section, space: int) -> list[str]:
    if not section.titles:
        return []
    return table_lines(columns_of(section.titles), section.rows, space)

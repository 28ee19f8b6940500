"""How `relayd top` looks: sections of rows, as a screen that is drawn anew or as plain text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from relayd.answers.overview import FLOWS, Overview
from relayd.cli.notices import show_notice
from relayd.cli.output import paint, printable, show_table, style_of
from relayd.mail.words import instant
from relayd.ports.view import UNFINISHED

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

_COLUMN = 32  # characters that a column keeps while the last one still has any
_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


@dataclass(frozen=True, slots=True)
class Section:
    titles: Sequence[str]
    rows: Sequence[Sequence[str]]


def show(overview: Overview) -> None:
    """Print it once: tables on a terminal, tab-separated text in a pipe."""
    for notice in overview.notices:
        show_notice(notice)
    click.echo(paint(headline(overview)))
    for section in sections(overview):
        if section.rows:
            click.echo()
            show_table(section.titles, section.rows)


def watch(overviews: Iterator[Overview], *, rounds: int | None) -> None:
    """Draw each on a screen of its own, `rounds` times or for ever."""
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    console = Console(highlight=False)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for number, overview in enumerate(overviews, 1):
            live.update(_screen(overview), refresh=True)
            if number == rounds:
                return


def headline(overview: Overview) -> str:
    at = instant(overview.at)
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
        _queue(overview),
        _destinations(overview),
        _slowest(overview),
        _errors(overview),
    )


def _flows(overview: Overview) -> Section:
    reading = overview.reading
    if reading is None:
        return Section((), ())
    return Section(
        ("RECIPIENTS", "PER SECOND", "SINCE START"),
        [
            (
                name,
                f"{overview.rates[name]:.1f}" if name in overview.rates else "-",
                str(int(reading.flow(name))),
            )
            for name in FLOWS
        ],
    )


def _queue(overview: Overview) -> Section:
    rows = [(status.value, str(overview.counts.by_status.get(status, 0))) for status in UNFINISHED]
    return Section(("WAITING", "RECIPIENTS"), [*rows, ("oldest", span(overview.age()))])


def _destinations(overview: Overview) -> Section:
    return Section(
        ("DESTINATION", "RECIPIENTS", "OLDEST", "PAUSED"),
        [
            (name, str(number), span(overview.age(name)), span(overview.pause(name)))
            for name, number in overview.destinations()
        ],
    )


def _slowest(overview: Overview) -> Section:
    return Section(
        ("SLOWEST, LAST HOUR", "ATTEMPTS", "SECONDS"),
        [
            (slow.destination, str(slow.attempts), f"{slow.seconds:.3f}")
            for slow in overview.slowest
        ],
    )


def _errors(overview: Overview) -> Section:
    return Section(
        ("LAST ERRORS", "AGO", "RECIPIENT", "SAYS"),
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


def _screen(overview: Overview) -> "Group":
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    flows, queue, destinations, slowest, errors = sections(overview)
    style = "bold" if overview.reading is not None else "bold red"
    return Group(
        Text(printable(headline(overview)), style=style, overflow="ellipsis", no_wrap=True),
        *(Text(printable(str(each)), style="yellow", no_wrap=True) for each in overview.notices),
        Text(),
        _side_by_side(flows, queue),
        Text(),
        _side_by_side(destinations, slowest),
        Text(),
        _table(errors),
    )


def _side_by_side(*both: Section) -> "Table":
    from rich.table import Table  # noqa: PLC0415

    grid = Table.grid(expand=True, padding=(0, 4, 0, 0))
    for _ in both:
        grid.add_column(ratio=1)
    grid.add_row(*(_table(section) for section in both))
    return grid


def _table(section: Section) -> "Table":
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, title in enumerate(section.titles):
        widest = max([len(title), *(len(row[number]) for row in section.rows)])
        is_number = title in {"PER SECOND", "SINCE START", "RECIPIENTS", "ATTEMPTS", "SECONDS"}
        table.add_column(
            title,
            justify="right" if number and is_number else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=min(widest, _COLUMN) if number < len(section.titles) - 1 else len(title),
        )
    for row in section.rows:
        table.add_row(*(Text(printable(cell), style=style_of(cell)) for cell in row))
    return table

"""How `relayd top --all` looks: a row for each machine, then what waits and who has leased it, then errors."""

from collections.abc import Iterator
from functools import partial

from relayd.answers import when
from relayd.answers.machines import Machine, Machines
from relayd.cli.notices import in_one_line
from relayd.cli.output import printable, table_lines
from relayd.cli.table import Column, coloured, columns_of, cut
from relayd.cli.top.screen import Drawing, Section, destinations, errors, number, queue, span

_RATES = ("received", "relayed", "sent", "deferred", "bounced")
_ROOM = {
    "deferred": 4,
    "sent": 3,
    "relayed": 1,
    "bounced": 1,
}  # the greater, the sooner the column goes


def headline(seen: Machines) -> str:
    at, alive = seen.overview.at, [each for each in seen.machines if each.is_alive]
    workers = sum(each.work.node.workers or 0 for each in alive)
    words = f"relayd  {when.shown(at)}  machines {len(alive)}, workers {workers}"
    if not alive:
        return f"{words}  NO MACHINE IS ALIVE, this is the queue alone"
    if seen.counted_at is None:
        return f"{words}  counted now"
    ago = span((at - seen.counted_at).total_seconds())
    return f"{words}  counted {ago} ago by {seen.counted_by}"


def sections(seen: Machines) -> tuple[Section, ...]:
    """Machines, queue, destinations, errors."""
    by = [
        (*row, " ".join(seen.holders.get(row[0], ()))) for row in destinations(seen.overview).rows
    ]
    titles = [*destinations(seen.overview).titles, Column(title="LEASED BY", goes=1)]
    return _machines(seen), queue(seen.overview), Section(titles, by), errors(seen.overview)


def screen(seen: Machines, width: int) -> Iterator[str]:
    """Yield the lines of a screen that is so wide."""
    is_alive = any(each.is_alive for each in seen.machines)
    yield coloured(cut(printable(headline(seen)), width), "bold" if is_alive else "red")
    for notice in seen.overview.notices:
        yield coloured(in_one_line(notice, width), "yellow")
    for section in sections(seen):
        if section.rows:
            yield ""
            yield from table_lines(columns_of(section.titles), section.rows, width)


def drawing_of(seen: Machines) -> Drawing:
    return Drawing(partial(screen, seen), headline(seen), seen.overview.notices, sections(seen))


def _machines(seen: Machines) -> Section:
    return Section(
        (
            Column(title="NODE", least=8),
            Column(title="VERSION", whole=True, goes=2),
            Column(title="SEEN", whole=True),
            number("WORKERS", goes=1),
            *(number(f"{name.upper()}/S", goes=_ROOM.get(name, 0)) for name in _RATES),
            number("LEASED"),
            number("IN", goes=5),
            number("OUT", goes=5),
        ),
        [_row(seen, each) for each in seen.machines],
    )


def _row(seen: Machines, machine: Machine) -> tuple[str, ...]:
    node = machine.work.node
    ago = None if node.seen_at is None else (seen.overview.at - node.seen_at).total_seconds()
    return (
        node.name,
        node.version,
        span(ago),
        str(node.workers) if machine.is_alive else "gone",
        *(f"{machine.rates[name]:.1f}" if machine.rates else "-" for name in _RATES),
        str(machine.work.destinations),
        *(_known(machine.number(name)) for name in ("clients", "servers")),
    )


def _known(value: int | None) -> str:
    return "-" if value is None else str(value)

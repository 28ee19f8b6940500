"""`relayd top`: the relay at work, on one screen.

Reads the store read-only and asks the daemon for its counters. What a screen shows is put together
in `relayd.answers.overview`, how it looks in `relayd.cli.top.screen`. With `--all` both are in the modules `machines` beside them.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

import click

from relayd.answers import overview
from relayd.answers.notices import STOPPED, Notice, of_daemon
from relayd.answers.overview import Overview, Reading, overview_of
from relayd.cli.asked_daemon import daemon_socket
from relayd.cli.context import (
    json_option,
    load_settings,
    named_settings_file,
    now,
    open_view,
    settings_option,
)
from relayd.cli.output import show_json
from relayd.config.peek import find_switches
from relayd.errors import RelaydError
from relayd.ports.view import QueueView

if TYPE_CHECKING:
    from relayd.answers.machines import Machines
    from relayd.settings import Settings

_TIMEOUT = 5.0  # seconds for the daemon's answer


@click.command()
@click.option("--once", is_flag=True, help="Print it once and end, as a pipe and --json do.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1, max=60),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="The time over which rates are measured.",
)
@click.option("--rounds", type=click.IntRange(min=1), hidden=True, help="How many screens.")
@click.option(
    "--all",
    "is_all",
    is_flag=True,
    help="Show all machines that share the queue in PostgreSQL. Their rates are of the last 15 seconds.",
)
@json_option
@settings_option()
@click.pass_context
def top(
    ctx: click.Context,
    *,
    once: bool,
    every: float,
    rounds: int | None,
    is_all: bool,
    as_json: bool,
) -> None:
    """Show rates, the queue, the slowest destinations and the last errors, until ^C.

    Without a running daemon it shows the queue only. With --once the exit status is 69 then, and with --all
    where no machine is alive.
    """
    is_once = as_json or once or not sys.stdout.isatty()
    zone = UTC if as_json else None
    with open_view() as view:
        try:
            if is_all:
                seen = _machines(view, every=every, zone=zone)
                if is_once:
                    ctx.exit(_print_all(next(seen), load_settings() if as_json else None))
                _watch_all(seen, rounds=rounds)
            else:
                overviews = _overviews(view, every=every, zone=zone)
                if is_once:
                    ctx.exit(_print(_settled(overviews), as_json=as_json))
                _watch(overviews, rounds=rounds)
        except KeyboardInterrupt:
            return


def _watch(overviews: Iterator[Overview], *, rounds: int | None) -> None:
    from relayd.cli.top import screen  # noqa: PLC0415 -- rich is for screens only

    screen.watch(map(screen.drawing_of, overviews), rounds=rounds)


def _watch_all(seen: "Iterator[Machines]", *, rounds: int | None) -> None:
    from relayd.cli.top import machines, screen  # noqa: PLC0415 -- as above

    screen.watch(map(machines.drawing_of, seen), rounds=rounds)


def _machines(view: QueueView, *, every: float, zone: tzinfo | None) -> "Iterator[Machines]":
    """Yield one after another. Raises UsageError where one machine has the queue alone."""
    from relayd.answers.machines import machines_of  # noqa: PLC0415

    while True:
        switches = find_switches(named_settings_file())[0]
        seen = machines_of(view, at=now(), switches=switches, zone=zone)
        if seen is None:
            raise click.UsageError(
                "--all is for machines that share a queue in PostgreSQL. This queue is a file: relayd top shows all of it."
            )
        yield seen
        time.sleep(every)


def _print_all(seen: "Machines", settings: "Settings | None") -> int:
    """Print all machines, as JSON where there are settings to compare with; return the exit status."""
    from relayd.answers.machines import machines_fields  # noqa: PLC0415
    from relayd.cli.top import machines, screen  # noqa: PLC0415

    if settings is not None:
        show_json(machines_fields(seen, settings=settings.shared_digest))
    else:
        screen.show(machines.drawing_of(seen))
    return os.EX_OK if any(each.is_alive for each in seen.machines) else os.EX_UNAVAILABLE


def _overviews(view: QueueView, *, every: float, zone: tzinfo | None) -> Iterator[Overview]:
    """Yield one after another, with a pause in between that is no shorter than making one takes."""
    before: Reading | None = None
    while True:
        began = time.monotonic()
        reading, trouble, notices = _read()
        yield overview_of(
            view,
            at=now(),
            reading=reading,
            trouble=trouble,
            before=before,
            switches=find_switches(named_settings_file())[0],
            daemon=notices,
            zone=zone,
        )
        before = reading
        time.sleep(max(every, time.monotonic() - began))


def _read() -> tuple[Reading | None, str, Sequence[Notice]]:
    """Ask the daemon; if it tells nothing, why; and its notices."""
    from relayd.control import client  # noqa: PLC0415

    try:
        metrics = client.metrics(daemon_socket(), timeout=_TIMEOUT)
    except RelaydError as error:
        is_absent = isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError)
        return None, str(error), [STOPPED] if is_absent else []
    return Reading(at=time.monotonic(), metrics=metrics), "", of_daemon(metrics)


def _settled(overviews: Iterator[Overview]) -> Overview:
    """Return the first that has rates, or that found no daemon."""
    first = next(overviews)
    return first if first.reading is None else next(overviews)


def _print(one: Overview, *, as_json: bool) -> int:
    """Print one overview; return the exit status."""
    from relayd.cli.top.screen import drawing_of, show  # noqa: PLC0415

    if as_json:
        show_json(overview.fields(one))
    else:
        show(drawing_of(one))
    return os.EX_UNAVAILABLE if one.reading is None else os.EX_OK

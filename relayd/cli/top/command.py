"""`relayd top`: the relay at work, on one screen.

Reads the store read-only and asks the daemon for its counters. What a screen shows is put together
in `relayd.answers.overview`, how it looks in `relayd.cli.top.screen`.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo

import click

from relayd.answers import overview
from relayd.answers.notices import STOPPED, Notice, of_daemon
from relayd.answers.overview import Overview, Reading, overview_of
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
@json_option
@settings_option()
@click.pass_context
def top(ctx: click.Context, *, once: bool, every: float, rounds: int | None, as_json: bool) -> None:
    """Show rates, the queue, the slowest destinations and the last errors, until ^C.

    Without a running daemon it shows the queue only. With --once the exit status is 69 then.
    """
    socket = load_settings().control_socket
    with open_view() as view:
        overviews = _overviews(view, socket, every=every, zone=UTC if as_json else None)
        try:
            if as_json or once or not sys.stdout.isatty():
                ctx.exit(_print(_settled(overviews), as_json=as_json))
            from relayd.cli.top.screen import watch  # noqa: PLC0415 -- rich is for screens only

            watch(overviews, rounds=rounds)
        except KeyboardInterrupt:
            return


def _overviews(
    view: QueueView, socket: str, *, every: float, zone: tzinfo | None
) -> Iterator[Overview]:
    """Yield one after another, with a pause in between that is no shorter than making one takes."""
    before: Reading | None = None
    while True:
        began = time.monotonic()
        reading, trouble, notices = _read(socket)
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


def _read(socket: str) -> tuple[Reading | None, str, Sequence[Notice]]:
    """Ask the daemon; if it tells nothing, why; and its notices."""
    from relayd.control import client  # noqa: PLC0415

    try:
        metrics = client.metrics(socket, timeout=_TIMEOUT)
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
    from relayd.cli.top.screen import show  # noqa: PLC0415

    if as_json:
        show_json(overview.fields(one))
    else:
        show(one)
    return os.EX_UNAVAILABLE if one.reading is None else os.EX_OK

"""`relayd store copy`: a queue with its history goes from one store to another."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relayd.answers.sizes import megabytes
from relayd.cli.context import json_option, load_settings, settings_option
from relayd.cli.output import paint, show_json
from relayd.cli.progress import Progress, progress
from relayd.cli.tools.offline import a_stopped_daemon, a_stopped_file
from relayd.errors import CopyFailed

if TYPE_CHECKING:
    from relayd.settings import Settings
    from relayd.store.copying.run import Copied
    from relayd.store.copying.side import Tell

_SHOWN_EACH = 0.1  # seconds


@click.command(name="copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option(
    "--undo", is_flag=True, help="Give the copy up: relayd may serve FROM again, and not TO."
)
@json_option
@settings_option()
def copy(*, source: str, target: str, undo: bool, as_json: bool) -> None:
    """Copy a queue with its history to another store, which takes its place.

    FROM and TO are as in `store.url`: a file as sqlite:/var/lib/relayd/queue.db, or a server as
    postgresql://relayd@db.example.org/relayd. A server that asks for a password: add ?password_file=/etc/relayd/store-password,
    if it is not the one of the settings. Stop relayd on all machines first. TO has to be empty, or not there.

    A copy that is cut short goes on with the same command. At the end all rows of both are compared. From the beginning
    no relayd serves FROM, so nothing is sent twice.
    """
    from relayd.store import copy as copy_store  # noqa: PLC0415
    from relayd.store import undo_copy  # noqa: PLC0415
    from relayd.store.url import is_missing, name_of  # noqa: PLC0415

    settings = load_settings()
    source, target = _url(source, settings), _url(target, settings)
    if is_missing(source):
        raise CopyFailed(f"there is no queue at {name_of(source)}")
    with _stopped(settings, source, target) as stopped:
        if undo:
            undo_copy(source, target, mark_of=lambda url: stopped.get(url, ""))
            _say_undone(source, target, as_json=as_json)
            return
        began = time.monotonic()
        try:
            with progress() as line:
                done = copy_store(
                    source, target, _teller(line), mark_of=lambda url: stopped.get(url, "")
                )
        except KeyboardInterrupt:
            click.echo(
                "relayd: stopped; the same command goes on, and with --undo it gives the copy up",
                err=True,
            )
            raise
    _say(done, seconds=time.monotonic() - began, as_json=as_json)


def _url(written: str, settings: "Settings") -> str:
    """Return the URL of a store as the store is given it. Raises click.BadParameter."""
    from relayd.store.postgres_url import SCHEMES, read_url  # noqa: PLC0415
    from relayd.store.url import check_url, shown  # noqa: PLC0415

    try:
        if not written.startswith(SCHEMES):
            return check_url(written)
        read_url(written)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    own = settings.store.url
    return own if shown(own) == shown(written) else written


@contextmanager
def _stopped(settings: "Settings", *urls: str) -> Iterator[Mapping[str, str]]:
    """Keep the daemons of this machine from serving; return the marks of those that have a queue on a server.

    Raises Serving, StartError, StoreForbidden.
    """
    from relayd.store.url import is_file  # noqa: PLC0415
    from relayd.worker.installation import kept_in  # noqa: PLC0415

    with ExitStack() as held:
        marks = {}
        for url in dict.fromkeys(urls):
            if is_file(url):
                held.enter_context(a_stopped_file(url))
            elif url == settings.store.url:
                held.enter_context(a_stopped_daemon(url, settings.store.folder))
                marks[url] = kept_in(Path(settings.store.folder))
        yield marks


def _teller(line: Progress) -> "Tell":
    shown_at = 0.0

    def tell(what: str, done: int, of: int) -> None:
        nonlocal shown_at
        if time.monotonic() >= shown_at + _SHOWN_EACH:
            shown_at = time.monotonic()
            line.show(f"  {what}: {done:,} of {of:,} …")

    return tell


def _say(done: "Copied", *, seconds: float, as_json: bool) -> None:
    if as_json:
        show_json(
            {
                "from": done.source,
                "to": done.target,
                "messages": done.rows["message"],
                "recipients": dict(done.states),
                "octets": done.octets,
                "rows": dict(done.rows),
                "seconds": round(seconds, 3),
            }
        )
        return
    states = ", ".join(f"{count:,} {state}" for state, count in done.states.items())
    rows = sum(done.rows.values())
    click.echo(paint(f"copied {done.source} to {done.target}"))
    click.echo(f"compared, and the same: {rows:,} rows of {len(done.rows)} tables")
    click.echo(f"messages: {done.rows['message']:,}; content: {megabytes(done.octets)}")
    click.echo(f"recipients: {states or 'none'}")
    click.echo(
        paint(f"next: name {done.target} in store.url, and start relayd; the old queue is kept")
    )


def _say_undone(source: str, target: str, *, as_json: bool) -> None:
    from relayd.store.url import shown  # noqa: PLC0415

    if as_json:
        show_json({"from": shown(source), "to": shown(target), "undone": True})
        return
    click.echo(paint(f"given up: relayd may serve {shown(source)} again, and not {shown(target)}"))

"""`relayd store`: what the queue is in, its schema brought up to date, room that the history took given back.

`copy` is in a module of its own.

`compact` is for a queue that is a file. While the daemon works it does that in short steps, and this command asks for
one after the other. Otherwise the command writes a smaller copy of the queue, which takes its place.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from relayd.answers.sizes import megabytes
from relayd.cli.asked_daemon import daemon_socket, store_url
from relayd.cli.context import (
    NotRunning,
    asking,
    json_option,
    load_settings,
    now,
    open_view,
    settings_option,
)
from relayd.cli.group import Group
from relayd.cli.output import paint, show_json
from relayd.cli.progress import Progress, progress
from relayd.cli.tools.offline import a_stopped_queue
from relayd.cli.tools.store_copy import copy
from relayd.errors import DaemonUnreachable
from relayd.mail.words import format_instant

if TYPE_CHECKING:
    from relayd.ports.schema import Migrated, SchemaStep
    from relayd.ports.upkeep import Compacted

_SPARE = 1024 * 1024  # octets that are not worth a step: mail comes and goes
_LOOK_AGAIN = 0.2  # seconds
_LOOKS = 25  # at a file that does not get smaller

Tell = Callable[[int, int], None]


class NeedsStop(click.ClickException):
    """The file can be made smaller only while no daemon serves it."""

    exit_code = os.EX_TEMPFAIL


@click.group(cls=Group)
@settings_option()
def store() -> None:
    """Look at what the queue is in, bring it up to date, copy it elsewhere, make a queue file smaller."""


store.add_command(copy)


@store.command()
@json_option
@settings_option()
def status(*, as_json: bool) -> None:
    """Show where the queue is, the version of its schema, and its size.

    Also, in `moved`, why no relayd may serve it: `store copy` copies it, or did. Of a database also each step of the schema: when it was applied, or which machines it waits for.
    """
    url = store_url()
    facts = _looked_at(url)
    if as_json:
        show_json(facts)
        return
    steps = facts.pop("steps", ())
    for name, value in facts.items():
        if name == "moved" and value is None:
            continue
        click.echo(paint(f"{name:<10} {megabytes(value) if name == 'octets' else value}"))
    for each in steps:
        click.echo(paint(f"{'step':<10} {_told(each)}"))


@store.command()
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@settings_option()
def migrate(*, dry_run: bool) -> None:
    """Bring the schema of a database up to date, before relayd does that at its start.

    For who keeps the right to change tables from the role that relayd works with: run it with settings that name
    another role. A step that an older relayd could not work with waits until none is alive.
    """
    from relayd.store import migrate as bring_up  # noqa: PLC0415
    from relayd.store.url import is_file, name_of  # noqa: PLC0415

    url = load_settings().store.url
    if is_file(url):
        raise click.UsageError("A queue that is a file is brought up to date when relayd starts.")
    if dry_run:
        applied, waiting = _foreseen(url)
    else:
        applied, waiting = bring_up(url)
    name = name_of(url)
    for each in applied:
        done = "would be applied" if dry_run else "applied"
        click.echo(paint(f"{name}: {each.name} ({each.kind.value}) {done}"))
    for each in waiting:
        click.echo(paint(f"{name}: {_told(_fields(each))}"))
    if not applied and not waiting:
        click.echo(paint(f"{name}: nothing to do"))


def _foreseen(url: str) -> "Migrated":
    from relayd.ports.schema import Migrated  # noqa: PLC0415
    from relayd.store import steps_of  # noqa: PLC0415

    missing = [each for each in steps_of(url) if each.applied_at is None]
    return Migrated(
        [each for each in missing if not each.held_by], [each for each in missing if each.held_by]
    )


def _fields(step: "SchemaStep") -> dict[str, Any]:
    return {
        "name": step.name,
        "kind": step.kind.value,
        "applied_at": None if step.applied_at is None else format_instant(step.applied_at),
        "held_by": [*step.held_by],
        "known": step.is_known,
    }


def _told(step: Mapping[str, Any]) -> str:
    named = f"{step['name']} ({step['kind']})"
    if step["held_by"]:
        return f"{named} waits for {', '.join(step['held_by'])}"
    if step["applied_at"] is None:
        return f"{named} is not applied yet"
    return f"{named} applied {step['applied_at']}{'' if step['known'] else ', by a newer relayd'}"


def _looked_at(url: str) -> dict[str, Any]:
    """Return what there is to tell. Raises NotRunning where nothing can be told."""
    from relayd.store import examine, examine_server, steps_of  # noqa: PLC0415
    from relayd.store.url import is_file, name_of  # noqa: PLC0415

    if is_file(url):
        with open_view() as view:
            view.last_event()  # says why a file cannot be read, and what to do
    facts = examine(url)[0] if is_file(url) else examine_server(url)[0]
    name = name_of(url)
    if facts.problem:
        raise NotRunning(f"{name}: {facts.problem}")
    told = {"store": name, "schema": facts.schema, "newest": facts.newest_schema}
    told["octets"] = facts.octets
    told["moved"] = facts.moved or None
    if not is_file(url):
        with asking(url):
            told["steps"] = [_fields(each) for each in steps_of(url)]
    return told


@store.command()
@json_option
@settings_option()
def compact(*, as_json: bool) -> None:
    """Delete history that is too old (`store.history`), and give the room back to the disk.

    The daemon goes on with its work meanwhile. A queue that an older relayd created has to be copied once: stop the
    daemon for that. While it is stopped, the disk needs room for a copy.
    """
    from relayd.store import file_for  # noqa: PLC0415

    queue = file_for("store compact", store_url())
    with progress() as line:
        tell = _teller(line)
        try:
            purged, before, after = _while_it_works(daemon_socket(), tell, queue)
        except DaemonUnreachable:
            purged, before, after = _while_it_is_stopped(tell)
    freed = max(before - after, 0)
    if as_json:
        show_json({"queue": queue, "purged": purged, "freed": freed, "octets": after})
        return
    click.echo(f"deleted the history of {purged:,} message{'s' * (purged != 1)}")
    click.echo(paint(f"freed {megabytes(freed)}: {queue} has {megabytes(after)}"))


def _while_it_works(socket: str, tell: Tell, queue: str) -> tuple[int, int, int]:
    """Have the daemon do it; return how many messages were deleted, and the octets before and after.

    Raises DaemonUnreachable, NeedsStop.
    """
    from relayd.control import client  # noqa: PLC0415

    purged, before, looks = 0, 0, 0
    last: Compacted | None = None
    while True:
        began = time.monotonic()
        done = client.compact(socket)
        purged, before = purged + done.purged, before or done.octets
        if not done.purged and not done.can_shrink and done.unused >= _SPARE:
            raise NeedsStop(
                f"{queue} is of an older relayd, and has to be copied once: systemctl stop relayd,"
                " run this again, systemctl start relayd"
            )
        looks = looks + 1 if done == last else 0
        if not done.purged and (done.unused < _SPARE or looks == _LOOKS):
            return purged, before, done.octets
        last = done
        tell(before - done.octets, before - done.octets + done.unused)
        time.sleep(max(_LOOK_AGAIN if looks else 0, time.monotonic() - began))  # mail has its turn


def _while_it_is_stopped(tell: Tell) -> tuple[int, int, int]:
    from relayd.store import compact as compact_file  # noqa: PLC0415
    from relayd.store.url import queue_file  # noqa: PLC0415

    with a_stopped_queue("store compact") as url:
        before = queue_file(url).stat().st_size
        done = compact_file(url, now() - load_settings().store.history, tell)
    return done.purged, before, done.octets


def _teller(line: Progress) -> Tell:
    """Return what shows how many octets are done, of how many."""

    def tell(done: int, of: int) -> None:
        if of:
            line.show(f"  {megabytes(done)} of {megabytes(of)} …")

    return tell

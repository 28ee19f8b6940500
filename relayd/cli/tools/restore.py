"""`relayd restore` and `relayd move`: a backup in the place of the queue, and a queue for another host."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from relayd.cli.context import json_option, settings_option
from relayd.cli.output import paint, show_json
from relayd.cli.paths import NamedPath
from relayd.cli.tools.offline import a_stopped_queue

if TYPE_CHECKING:
    from relayd.store.replaced import Replaced


@click.command()
@click.argument("folder", type=NamedPath("folder", path_type=Path))
@click.option(
    "--force", is_flag=True, help="Also where mail waits in the queue that is there; it is kept."
)
@json_option
@settings_option()
def restore(*, folder: Path, force: bool, as_json: bool) -> None:
    """Put the backup in FOLDER in the place of the queue.

    Stop the daemon first. The backup is checked, gets the owner of the queue, and takes its place in one
    step. The queue that was there is moved aside, and kept.
    """
    from relayd.store import restore as restore_queue  # noqa: PLC0415

    with a_stopped_queue("restore") as url:
        done = restore_queue(url, folder, force=force)
    if as_json:
        show_json({"queue": done.queue, "from": done.copy, **_counts(done)})
        return
    _say(f"restored {done.queue} from {done.copy}: {_waits(done)}")
    if done.old is not None:
        _say(f"the queue that was there is kept: {done.old}")
    _say("next: systemctl start relayd; what was delivered after the backup is sent again")


@click.command()
@click.argument("folder", type=NamedPath("folder", path_type=Path))
@json_option
@settings_option()
def move(*, folder: Path, as_json: bool) -> None:
    """Copy the queue into FOLDER for another host, and take it out of service here.

    Stop the daemon first. FOLDER must be empty or not exist. On the other host `relayd restore FOLDER` puts it in its
    place. If this command ends with 0, nothing is sent twice: the queue is moved aside here.
    """
    from relayd.store import move as move_queue  # noqa: PLC0415

    with a_stopped_queue("move") as url:
        done = move_queue(url, folder)
    if as_json:
        show_json({"queue": done.queue, "to": done.copy, **_counts(done)})
        return
    _say(f"moved {done.queue} to {done.copy}: {_waits(done)}")
    if done.old is not None:
        _say(f"out of service here, and kept: {done.old}")
    _say(f"next: copy {folder} to the other host, and run relayd restore there")


def _counts(done: "Replaced") -> dict[str, object]:
    return {"waiting": done.waiting, "held": done.held, "old": done.old}


def _waits(done: "Replaced") -> str:
    many = done.waiting != 1
    return f"mail to {done.waiting} recipient{'s' * many} waits, {done.held} are held"


def _say(line: str) -> None:
    click.echo(paint(line))

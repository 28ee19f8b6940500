"""`relayd backup`: a consistent copy of the queue, also while the daemon is at work."""

from pathlib import Path

import click

from relayd.cli.asked_daemon import store_url
from relayd.cli.context import settings_option
from relayd.cli.output import paint
from relayd.cli.paths import NamedPath


@click.command()
@click.argument("folder", type=NamedPath("folder", path_type=Path))
@settings_option()
def backup(*, folder: Path) -> None:
    """Copy the queue with its history into FOLDER, also while the daemon runs.

    FOLDER must be empty or not exist. `relayd restore FOLDER` puts the copy back.
    """
    from relayd.store import back_up  # noqa: PLC0415

    click.echo(paint(str(back_up(store_url(), folder))))

"""`relayd support-bundle`: the command."""

from pathlib import Path

import click

from relayd.cli.context import settings_file, settings_option
from relayd.cli.output import printable
from relayd.cli.paths import NamedPath


@click.command("support-bundle")
@click.argument("folder", type=NamedPath("folder", path_type=Path), required=False, default=Path())
@settings_option()
def support_bundle(*, folder: Path) -> None:
    """Write an archive for somebody who helps into FOLDER, by default the current one.

    It has versions, the settings, what the doctor says, counts, disks, units, and the last 200 lines of each log. Passwords,
    tokens and keys are left out, and the local parts of addresses. Read it before you send it. Only you may read the file.
    """
    from relayd.cli.support.bundle import write_bundle  # noqa: PLC0415 -- brings much

    click.echo(printable(str(write_bundle(folder, settings_file()))))

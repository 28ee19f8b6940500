"""`relayd import`: the settings of another mail program become ours."""

from pathlib import Path

import click

from relayd.cli.context import settings_file, settings_option
from relayd.cli.paths import NamedPath

KINDS = ("postfix", "msmtp", "ssmtp", "nullmailer", "exim-smarthost")


@click.command("import")
@click.argument("kind", type=click.Choice(KINDS), metavar=f"{'|'.join(KINDS)}")
@click.argument("path", type=NamedPath("file or folder", path_type=Path), required=False)
@click.option("--fqdn", metavar="NAME", help="The name of this machine, if they do not say it.")
@click.option("--dry-run", is_flag=True, help="Print the settings, and write nothing.")
@click.option("--force", is_flag=True, help="Replace settings; the old ones are kept as *.old.")
@settings_option()
def import_(*, kind: str, path: Path | None, fqdn: str | None, dry_run: bool, force: bool) -> None:
    """Read the settings of another mail program at PATH, and write ours.

    PATH is where that program has them, if it is left out. Each thing that could not be carried over has a line that says
    what to do. Secrets go into files beside the settings and are never printed. The other program is not changed.
    """
    from relayd.cli.first.importing import carry_over  # noqa: PLC0415 -- brings pydantic

    carry_over(kind, path, settings_file(), fqdn=fqdn, dry_run=dry_run, force=force)

"""Asking before something is done to many recipients.

A terminal is asked, a script has to say `--yes`. The question goes to standard error, so that standard output
has results only.
"""

import sys

import click

MANY = 100
"""Up to so many recipients nobody is asked."""

yes_option = click.option(
    "--yes", is_flag=True, help=f"Do not ask, also where it is more than {MANY} recipients."
)


def recipients(count: int) -> str:
    """Return a number of recipients in words."""
    return f"{count} recipient{'' if count == 1 else 's'}"


def confirm(act: str, count: int, *, yes: bool) -> None:
    """Go on where `act`, such as `hold 120 recipients`, is wanted or small.

    Raises UsageError where nobody can be asked, Abort after a no.
    """
    if yes or count <= MANY:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(
            f"This would {act}: add --yes if you mean it (--dry-run changes nothing)."
        )
    if not click.confirm(f"{act[:1].upper()}{act[1:]}?", err=True):
        click.echo("nothing was changed", err=True)
        raise click.Abort

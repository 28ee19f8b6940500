"""What `relayd --version` and `relayd version` print: all that a report of a fault has to name."""

import platform

import click

import relayd


def version_line() -> str:
    """Return the version, the commit where it is known, and the versions of Python and SQLite that run it."""
    from relayd import built_from  # noqa: PLC0415 -- for those who ask
    from relayd.store import sqlite_version  # noqa: PLC0415 -- as above

    commit = built_from.commit()
    built = f" (commit {commit})" if commit else ""
    beneath = f"Python {platform.python_version()}, SQLite {sqlite_version()}"
    return f"relayd {relayd.__version__}{built}, {beneath}"


def show_version(ctx: click.Context, _: click.Parameter, is_wanted: bool) -> None:  # noqa: FBT001 -- click's form
    """Print the line and end, before anything else is looked at."""
    if is_wanted and not ctx.resilient_parsing:
        click.echo(version_line())
        ctx.exit()

"""`relayd help` and `relayd version`: what `--help` and `--version` say, for those who type a word."""

import click

from relayd.cli.completing import complete_commands
from relayd.cli.version import version_line


@click.command(name="help")
@click.argument("command", nargs=-1, shell_complete=complete_commands)
@click.pass_context
def help_(ctx: click.Context, *, command: tuple[str, ...]) -> None:
    """Explain a COMMAND, such as `relayd help queue hold`, or list all of them."""
    about = ctx.find_root()
    for word in command:
        group = about.command
        below = group.get_command(about, word) if isinstance(group, click.Group) else None
        if below is None:
            raise click.exceptions.NoSuchCommand(word, ctx=about)
        about = click.Context(below, parent=about, info_name=word, **below.context_settings)
    click.echo(about.get_help())


@click.command()
def version() -> None:
    """Show the version."""
    click.echo(version_line())

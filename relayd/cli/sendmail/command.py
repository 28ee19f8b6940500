"""`relayd sendmail`: the program of `relayd.cli.sendmail.program`, called by click."""

import click

from relayd.cli.context import named_settings_file
from relayd.cli.sendmail.program import main


class _Unparsed(click.Command):
    """A command whose arguments click hands on as they are, `--` and `-h` included."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.params["arguments"] = tuple(args)
        return []


@click.command(cls=_Unparsed, add_help_option=False)
@click.pass_context
def sendmail(ctx: click.Context, *, arguments: tuple[str, ...]) -> None:
    """Queue a message from standard input, as sendmail does: -t, -i, -f ADDRESS, addresses."""
    ctx.exit(main(arguments, settings=named_settings_file()))

"""`relayd sendmail`: the program of `relayd.cli.sendmail.program`, called by click."""

import click

from relayd.cli.context import named_settings_file
from relayd.cli.sendmail.program import main


class _Unparsed(click.Command):
    """A command whose arguments click hands on as they are; it reads a lone `--help` only."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args in (["--help"], ["-h"]):
            return super().parse_args(ctx, args)
        ctx.params["arguments"] = tuple(args)
        return []


def _named(letter: str, metavar: str | None, says: str) -> click.Option:
    """An option as the help shows it; `options` reads it."""
    return click.Option([letter, f"_{letter[1:]}"], metavar=metavar, help=says, expose_value=False)


@click.command(
    cls=_Unparsed,
    params=[
        click.Argument(["arguments"], metavar="[ADDRESS]...", nargs=-1),
        _named("-t", "", "Also to everybody in To, Cc and Bcc."),
        _named("-i", "", "A line with a single dot does not end the message."),
        _named("-f", "ADDRESS", "The sender; '<>' for the null reverse-path."),
        _named("-F", "NAME", "The sender's name, in a From field that is added."),
        _named("-N", "WORDS", "Which reports are wanted: never, or success,failure,delay."),
        _named("-R", "WORD", "How much of the message they have: hdrs or full."),
        _named("-V", "ID", "What they call the message."),
        _named("-bs", "", "The caller speaks SMTP."),
        _named(
            "-bp", "", "Show what waits, as `relayd queue list` does; also under the name mailq."
        ),
        _named("-bi", "", "Say where aliases are; also under the name newaliases."),
        _named("-v", "", "Print the daemon's reply; otherwise success is silent."),
    ],
)
@click.pass_context
def sendmail(ctx: click.Context, *, arguments: tuple[str, ...]) -> None:
    """Queue a message from standard input, as sendmail does.

    For example: relayd sendmail -t < message.eml

    Other options of sendmail are accepted, or refused with a reason: see docs/sendmail.md.
    """
    ctx.exit(main(arguments, settings=named_settings_file()))

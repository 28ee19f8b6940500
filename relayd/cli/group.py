"""Commands that belong together, and how the help of a group lists them: each with all that it does."""

from collections.abc import Iterable

import click

_WHOLE = 1000  # characters of a summary, which is one sentence


class Group(click.Group):
    """A group whose help cuts nothing off."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_section(ctx, formatter, "Commands", self.list_commands(ctx))

    def format_section(
        self, ctx: click.Context, formatter: click.HelpFormatter, title: str, names: Iterable[str]
    ) -> None:
        """Write some of the commands under a title, and of each the names below it."""
        widest = max(map(len, self.list_commands(ctx)))
        found = [(name, self.get_command(ctx, name)) for name in names]
        rows = [
            (f"{name:<{widest}}", _in_full(command))
            for name, command in found
            if command is not None and not command.hidden
        ]
        with formatter.section(title):
            formatter.write_dl(rows)


def _in_full(command: click.Command) -> str:
    says = command.get_short_help_str(_WHOLE)
    if not isinstance(command, click.Group):
        return says
    below = [name for name, one in command.commands.items() if not one.hidden]
    return f"{says} Also: {', '.join(below)}."

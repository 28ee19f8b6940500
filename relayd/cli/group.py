"""Commands that belong together: what holds for the options of all, and how the help of a group lists them.

An option with one value is refused when it is given twice, for the last value would count silently. `-c` is
the exception: an alias of a shell may have one already.
"""

from collections.abc import Iterable

import click
from click.core import ParameterSource

_WHOLE = 1000  # characters of a summary, which is one sentence
LAST_COUNTS = "--config"


class Group(click.Group):
    """A group whose help cuts nothing off."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing:
            _refuse_repeated(command, name, ctx, rest)
        return name, command, rest

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


def _refuse_repeated(
    command: click.Command, name: str | None, parent: click.Context, args: Iterable[str]
) -> None:
    """Raise UsageError for an option with one value that has two; other mistakes are for others to tell."""
    ctx = command.context_class(command, info_name=name, parent=parent, **command.context_settings)
    try:
        _, _, given = command.make_parser(ctx).parse_args(args=list(args))
    except click.UsageError:
        return
    if any(each.is_eager for each in given):  # --help
        return
    for each in given:
        if has_one_value(each) and given.count(each) > 1:
            option = max(each.opts, key=len)
            raise click.BadOptionUsage(option, f"{option} is given twice: it has one value.", ctx)


def options_given(ctx: click.Context) -> list[str]:
    """Return the options that were written for this command, and not for one below it; without `-c`."""
    return [
        max(each.opts, key=len)
        for each in ctx.command.params
        if isinstance(each, click.Option)
        and LAST_COUNTS not in each.opts
        and ctx.get_parameter_source(each.name or "") is ParameterSource.COMMANDLINE
    ]


def refuse_fail_empty(ctx: click.Context, option: str) -> None:
    """Raise UsageError if `--fail-empty` is given with an option whose answer has no end."""
    if "--fail-empty" in options_given(ctx):
        raise click.UsageError(f"--fail-empty does not go with {option}, which ends by ^C.")


def has_one_value(param: click.Parameter) -> bool:
    """Tell whether a second value would take the place of the first."""
    if not isinstance(param, click.Option) or param.multiple or param.is_flag or param.count:
        return False
    return LAST_COUNTS not in param.opts

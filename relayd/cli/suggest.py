"""What somebody meant who mistyped a command, an option or one of the values that there are."""

import re
from collections.abc import Iterator, Sequence

import click

from relayd.config.nearest import nearest

_BAD_CHOICE = re.compile(r"'(.*?)' is not one of ", re.DOTALL)  # in the words of click

_TOLD = 4  # commands that have an option
_BY_SYSTEMD = "systemctl"
_KNOWN_ELSEWHERE = {
    "bounces": "addresses",
    "cat": "queue cat",
    "configtest": "check",
    "delete": "queue drop",
    "deliver": "queue expedite",
    "disk": "doctor",
    "find": "status",
    "flush": "queue expedite",
    "freeze": "queue hold",
    "grep": "status",
    "health": "doctor",
    "history": "status",
    "info": "status show",
    "kick": "queue expedite",
    "mailq": "queue list",
    "mailstats": "stats",
    "metrics": "top",
    "postcat": "queue cat",
    "postqueue": "queue list",
    "purge": "queue drop",
    "qshape": "queue list",
    "reputation": "sites",
    "resend": "queue requeue",
    "restart": "systemctl restart relayd",
    "retry": "queue expedite",
    "search": "status",
    "send": "sendmail",
    "start": "systemctl start relayd",
    "stop": "systemctl stop relayd",
    "suspend": "pause",
    "tail": "log",
    "thaw": "queue release",
    "unfreeze": "queue release",
    "unpause": "resume",
    "unsuppress": "addresses",
    "validate": "check",
    "verify": "check",
}
"""Words for it in other mail servers and tools, and the command that does it here."""


def with_suggestion(error: click.UsageError) -> click.UsageError:
    """Return the error with what may have been meant, if anything is near."""
    match error:
        case click.exceptions.NoSuchCommand(ctx=click.Context() as ctx):
            found = list(_commands(error.command_name, ctx))
        case click.NoSuchOption(ctx=click.Context() as ctx):
            if others := _who_has(error.option_name, ctx):
                return click.UsageError(f"{error.message} {others}", ctx)
            found = nearest(error.option_name, _options(ctx))
        case click.BadParameter(param=click.Parameter(type=click.Choice() as choice)):
            given = _BAD_CHOICE.match(error.message)
            found = nearest(given[1], map(str, choice.choices)) if given else []
        case _:
            return error
    says = f"{error.message}{did_you_mean(found)}"
    return (
        click.UsageError(says, error.ctx)
        if not isinstance(error, click.BadParameter)
        else (click.BadParameter(says, error.ctx, error.param))
    )


def did_you_mean(found: Sequence[str]) -> str:
    """Return the question that follows a mistake, after a blank; empty if nothing is near."""
    return f" Did you mean {' or '.join(map(repr, found))}?" if found else ""


def _who_has(option: str, ctx: click.Context) -> str:
    """Say where an option belongs that this command does not have; empty if no command has it."""
    if any(_with_option(option, ctx.command, ctx, ctx.command_path)):
        return f"It comes after the command: {ctx.command_path} COMMAND {option}."
    root = ctx.find_root()
    found = list(_with_option(option, root.command, root, root.command_path))
    more = f" and {len(found) - _TOLD} others" if len(found) > _TOLD else ""
    return f"It is an option of {', '.join(found[:_TOLD])}{more}." if found else ""


def _with_option(
    option: str, command: click.Command, ctx: click.Context, path: str
) -> Iterator[str]:
    """Yield the commands below one that have the option."""
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(ctx):
        below = command.get_command(ctx, name)
        if below is not None and not below.hidden:
            if any(option in each.opts for each in below.params):
                yield f"{path} {name}"
            yield from _with_option(option, below, ctx, f"{path} {name}")


def _commands(given: str, ctx: click.Context) -> Iterator[str]:
    """Yield the command lines that may have been meant: of that name below any other, else near it here."""
    if not isinstance(ctx.command, click.Group):
        return
    root = ctx.find_root()
    if ctx is root and given in _KNOWN_ELSEWHERE:
        known = _KNOWN_ELSEWHERE[given].split()
        if known[0] == _BY_SYSTEMD:
            yield " ".join(known)
            return
        if has_command(root, known):
            yield " ".join(["relayd", *known])
            return
    below = [f"relayd {name} {given}" for name in _names(root) if has_command(root, [name, given])]
    near = nearest(given, ctx.command.list_commands(ctx))
    if ctx is root and below:
        yield from below
    elif near:
        yield from (f"{ctx.command_path} {name}" for name in near)
    else:
        yield from below


def _names(root: click.Context) -> Sequence[str]:
    return root.command.list_commands(root) if isinstance(root.command, click.Group) else ()


def has_command(root: click.Context, words: list[str]) -> bool:
    """Tell whether there is a command of that name, which may be one below another."""
    command: click.Command | None = root.command
    for word in words:
        if not isinstance(command, click.Group):
            return False
        command = command.get_command(root, word)
    return command is not None


def _options(ctx: click.Context) -> list[str]:
    return [
        name
        for each in ctx.command.get_params(ctx)
        if isinstance(each, click.Option) and not each.hidden
        for name in (*each.opts, *each.secondary_opts)
    ]

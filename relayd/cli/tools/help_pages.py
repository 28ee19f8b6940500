"""What the help of each command says, in parts, for those who make a page of it.

Owns the walk through the commands; the form of a page is for `relayd man` and for the site of the
documentation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpPage:
    """The help of one command. Texts are single lines, with `code` between backquotes."""

    name: str  # with all above it: `relayd queue hold`
    summary: str
    usage: str  # what follows the name
    paragraphs: tuple[str, ...]
    options: tuple[tuple[str, str], ...]  # each as it is written, and what it does
    commands: tuple[tuple[str, str], ...]  # those below it: whole name, and what each does
    above: str | None  # the name of the command that it belongs to


def help_pages(root: click.Command) -> Iterator[HelpPage]:
    """Yield a page for `root` and each command below it, but for hidden ones."""
    for context in _contexts(root):
        yield _page(context)


def _contexts(
    command: click.Command, parent: click.Context | None = None, name: str = "relayd"
) -> Iterator[click.Context]:
    context = click.Context(command, parent=parent, info_name=name, **command.context_settings)
    yield context
    for each, below in _below(context):
        yield from _contexts(below, context, each)


def _below(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None and not command.hidden:
                yield name, command


def _page(context: click.Context) -> HelpPage:
    command, name = context.command, context.command_path
    first, *more = (command.help or "").strip().split("\n\n")
    records = [each.get_help_record(context) for each in command.get_params(context)]
    return HelpPage(
        name=name,
        summary=_one_line(first),
        usage=" ".join(command.collect_usage_pieces(context)),
        paragraphs=tuple(map(_one_line, more)),
        options=tuple(record for record in records if record is not None and record[1]),
        commands=tuple(
            (f"{name} {each}", below.get_short_help_str(200)) for each, below in _below(context)
        ),
        above=context.parent.command_path if context.parent else None,
    )


def _one_line(paragraph: str) -> str:
    return " ".join(paragraph.replace("\b", "").split())

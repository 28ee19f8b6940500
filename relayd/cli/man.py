"""`relayd man`: man pages, one for each command, made of the very help that the commands print.

Owns the form of man(7): a line of text never begins a request, and nothing in it is an escape.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import click

import relayd

_SECTION = "1"  # user commands
_MARKUP = re.compile(r"`([^`]+)`")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def man(*, folder: Path) -> None:
    """Write the man pages into FOLDER, as /usr/local/share/man/man1."""
    folder.mkdir(parents=True, exist_ok=True)
    for context in _contexts(click.get_current_context().find_root().command):
        name = context.command_path.replace(" ", "-")
        (folder / f"{name}.{_SECTION}").write_text(page(context), encoding="utf-8")
        click.echo(f"{name}.{_SECTION}")


def _contexts(
    command: click.Command, parent: click.Context | None = None, name: str = "relayd"
) -> Iterator[click.Context]:
    """A command with all below it, but for hidden ones."""
    context = click.Context(command, parent=parent, info_name=name, **command.context_settings)
    yield context
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            if below is not None and not below.hidden:
                yield from _contexts(below, context, each)


def page(context: click.Context) -> str:
    """Return the page of one command."""
    command, name = context.command, context.command_path
    first, *more = (command.help or "").strip().split("\n\n")
    dashed = _text(name.replace(" ", "-"))
    lines = [
        f'.TH "{dashed.upper()}" "{_SECTION}" "" "relayd {relayd.__version__}" "relayd"',
        ".ad l",
        ".SH NAME",
        f"{dashed} \\- {_text(_one_line(first)).rstrip('.')}",
        ".SH SYNOPSIS",
        f"\\fB{_text(name)}\\fR {_text(' '.join(command.collect_usage_pieces(context)))}".rstrip(),
    ]
    if more:
        lines.append(".SH DESCRIPTION")
        for number, paragraph in enumerate(more):
            lines += [".PP"] if number else []
            lines.append(_text(_one_line(paragraph)))
    records = [each.get_help_record(context) for each in command.get_params(context)]
    options = [record for record in records if record is not None and record[1]]
    if options:
        lines.append(".SH OPTIONS")
        for option, says in options:
            lines += [".TP", f"\\fB{_text(option)}\\fR", _text(says)]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            if below is not None and not below.hidden:
                page_name = _text(f"{name} {each}".replace(" ", "-"))
                lines += [
                    ".TP",
                    f"\\fB{page_name}\\fR({_SECTION})",
                    _text(below.get_short_help_str(200)),
                ]
    if context.parent is not None:
        above = _text(context.parent.command_path.replace(" ", "-"))
        lines += [".SH SEE ALSO", f"\\fB{above}\\fR({_SECTION})"]
    return "\n".join(line for line in lines if line) + "\n"


def _one_line(paragraph: str) -> str:
    return " ".join(paragraph.replace("\b", "").split())


def _text(text: str) -> str:
    r"""Escape what is special; `word` becomes bold."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace('"', "\\(dq")
    text = _MARKUP.sub(r"\\fB\1\\fR", text)
    return f"\\&{text}" if text.startswith(".") else text

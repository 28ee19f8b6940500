"""`relayd man`: man pages, one for each command, made from the help that the commands print.

Owns the form of man(7): a line of text never begins a request, and nothing in it is an escape.
"""

import re
from pathlib import Path

import click

import relayd
from relayd.cli.paths import NamedPath
from relayd.cli.tools.help_pages import HelpPage, help_pages

_SECTION = "1"  # user commands
_MARKUP = re.compile(r"`([^`]+)`")


@click.command()
@click.argument("folder", type=NamedPath("folder", file_okay=False, path_type=Path))
def man(*, folder: Path) -> None:
    """Write the man pages into a FOLDER such as /usr/local/share/man/man1."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in help_pages(click.get_current_context().find_root().command):
        name = f"{_dashed(page.name)}.{_SECTION}"
        (folder / name).write_text(_page(page), encoding="utf-8")
        click.echo(name)


def _page(page: HelpPage) -> str:
    """Return the page of one command."""
    dashed = _text(_dashed(page.name))
    lines = [
        f'.TH "{dashed.upper()}" "{_SECTION}" "" "relayd {relayd.__version__}" "relayd"',
        ".ad l",
        ".SH NAME",
        f"{dashed} \\- {_text(page.summary).rstrip('.')}",
        ".SH SYNOPSIS",
        f"\\fB{_text(page.name)}\\fR {_text(page.usage)}".rstrip(),
    ]
    if page.paragraphs:
        lines.append(".SH DESCRIPTION")
        for number, paragraph in enumerate(page.paragraphs):
            lines += [".PP"] if number else []
            lines.append(_text(paragraph))
    if page.options:
        lines.append(".SH OPTIONS")
        for option, says in page.options:
            lines += [".TP", f"\\fB{_text(option)}\\fR", _text(says)]
    if page.commands:
        lines.append(".SH COMMANDS")
        for name, says in page.commands:
            lines += [".TP", f"\\fB{_text(_dashed(name))}\\fR({_SECTION})", _text(says)]
    if page.above is not None:
        lines += [".SH SEE ALSO", f"\\fB{_text(_dashed(page.above))}\\fR({_SECTION})"]
    return "\n".join(line for line in lines if line) + "\n"


def _dashed(name: str) -> str:
    return name.replace(" ", "-")


def _text(text: str) -> str:
    r"""Escape what is special; `word` becomes bold."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace('"', "\\(dq")
    text = _MARKUP.sub(r"\\fB\1\\fR", text)
    text = "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in text)
    return f"\\&{text}" if text.startswith(".") else text

"""`relayd config get|set|unset|diff`: show the settings, change some, show what that did.

A value is TOML where it reads as that, else a text: `true`, `20`, `'["15m", "1h"]'`, `5d`.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relayd.cli.completing import complete_keys
from relayd.cli.context import (
    NoSuch,
    json_option,
    load_settings,
    settings_file,
    settings_option,
)
from relayd.cli.group import Group
from relayd.cli.output import Form, printable, say_empty, show_fields, show_table
from relayd.cli.row_options import takes_form, takes_row_options
from relayd.cli.table import USUAL, Column, TableOptions
from relayd.cli.table_options import takes_columns

if TYPE_CHECKING:
    from relayd.config.change import Edit
    from relayd.settings import Settings

_COLUMNS = (Column(title="KEY", least=16), Column(title="VALUE"), Column(title="FROM", whole=True))
_ORIGIN = Column(title="ORIGIN", whole=True)
# A pattern of `[routes]` may be quoted, and then have any character.
_ASSIGNMENT = re.compile(r"""(?P<key>(?:"[^"]*"|'[^']*'|[^"'=])+)=(?P<value>.*)""", re.DOTALL)


@click.group(cls=Group)
@settings_option()
def config() -> None:
    """Show the settings, change some, or compare them with what the daemon runs with."""


@config.command()
@click.argument("key", required=False, shell_complete=complete_keys)
@takes_row_options
@takes_columns(_COLUMNS)
@click.option(
    "--origin", is_flag=True, help="Also which file or which variable of the environment says so."
)
@settings_option()
def get(key: str | None, *, origin: bool, form: Form, table: TableOptions) -> int:
    """Show the settings: one KEY, the keys of a table, or all, with the defaults.

    KEY is a name such as smarthost.tls, listen.0.address or 'routes."*.example.org"'.
    """
    from relayd.config.values import default_of  # noqa: PLC0415

    found = _named(key, _values())
    if (
        key is not None
        and _is_one(key, found)
        and form is Form.TABLE
        and table == USUAL
        and not origin
    ):
        [text] = found.values()
        click.echo(printable(bare(text)))
        return 1
    settings = load_settings()
    sources = settings.sources
    rows = [(name, text, sources.get(name, "default")) for name, text in found.items()]
    if form is Form.TABLE and origin:
        told = [(*row, origin_of(settings, row[0])) for row in rows]
        show_table((*_COLUMNS, _ORIGIN), told, table=table)
    elif form is Form.TABLE:
        show_table(_COLUMNS, rows, table=table)
    else:
        fields = (
            {
                "key": name,
                "value": json.loads(text),
                "default": (default := default_of(name)) and json.loads(default),
                "from": source,
                "origin": origin_of(settings, name) or None,
            }
            for name, text, source in rows
        )
        show_fields(fields, ("key", "value", "default", "from", "origin"), form)
    if not rows:
        say_empty(f"{settings_file()} has nothing in {key}")
    return len(rows)


_force = click.option(
    "--force", is_flag=True, help="Turn direct mode on even if others will not believe our name."
)
_dry_run = click.option(
    "--dry-run", is_flag=True, help="Check all of it and say what would change; write nothing."
)


@config.command("set", context_settings={"ignore_unknown_options": True})
@click.argument(
    "words",
    nargs=-1,
    required=True,
    type=click.UNPROCESSED,
    metavar="KEY VALUE | KEY=VALUE...",
    shell_complete=complete_keys,
)
@_force
@_dry_run
@settings_option()
@json_option
@click.pass_context
def set_(
    ctx: click.Context, words: tuple[str, ...], *, force: bool, dry_run: bool, as_json: bool
) -> None:
    """Set keys in the settings file, and have the daemon run with them.

    Several keys are one change: relayd config set smarthost.username=app smarthost.password_file=password.
    All of the file is checked before it is written; its comments stay. If the daemon cannot run with
    it, what was there before is put back. A list is written as in the file:
    relayd config set retry.soft_bounce '["15m", "1h"]'; a single value counts as a list of one.
    """
    from relayd.config.keys import parse_key, wants_list  # noqa: PLC0415

    edits = []
    for name, text in _assignments(words):
        key, value = parse_key(name), read_value(text)
        edits.append((key, [value] if wants_list(key) and not isinstance(value, list) else value))
    _change(ctx, edits, force=force, dry_run=dry_run, as_json=as_json)


@config.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...", shell_complete=complete_keys)
@_force
@_dry_run
@settings_option()
@json_option
@click.pass_context
def unset(
    ctx: click.Context, keys: tuple[str, ...], *, force: bool, dry_run: bool, as_json: bool
) -> None:
    """Take keys out of the settings file, so that their defaults count, and have the daemon run with it.

    KEY may be a route, 'routes."*.example.org"', or a whole listener, listen.1. Several keys are one change.
    """
    from relayd.config.change import UNSET  # noqa: PLC0415
    from relayd.config.keys import parse_key  # noqa: PLC0415

    # Of listeners the last goes first, so that the numbers of the others mean what they meant.
    ways = sorted(
        (parse_key(key) for key in keys),
        key=lambda key: key[:2] if key[0] == "listen" else (),
        reverse=True,
    )
    _change(ctx, [(key, UNSET) for key in ways], force=force, dry_run=dry_run, as_json=as_json)


@config.command()
@takes_form
@settings_option()
def diff(*, form: Form) -> None:
    """Show what differs from the defaults, and whether the daemon runs with it."""
    from relayd.cli.config.banner import compare, compared, show_compared  # noqa: PLC0415
    from relayd.config.values import default_of  # noqa: PLC0415

    settings = load_settings()
    rows = [
        (name, default_of(name), text)
        for name, text in _values().items()
        if text != default_of(name)
    ]
    if form is Form.TABLE:
        sources = settings.sources
        show_table(
            ("KEY", "DEFAULT", "VALUE", "FROM"),
            ((name, old or "-", new, sources.get(name, "default")) for name, old, new in rows),
        )
        show_compared(compare(settings), settings)
        return
    fields = (
        {
            "key": name,
            "default": default and json.loads(default),
            "value": json.loads(text),
            "from": settings.sources.get(name, "default"),
        }
        for name, default, text in rows
    )
    names = ("key", "default", "running", "value", "from", "daemon", "reasons")
    show_fields(chain(fields, compared(compare(settings), settings)), names, form)


def origin_of(settings: "Settings", name: str) -> str:
    """Return the file or the variable that a key has its value from; empty for a default."""
    from relayd.config.overlay import overlay_in  # noqa: PLC0415

    match settings.sources.get(name):
        case "environment":
            return settings.variables[name]
        case "console":
            return str(overlay_in(Path(settings.store.folder)))
        case "file":
            return settings.file
        case _:
            return ""


def _assignments(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Read `KEY VALUE`, or any number of `KEY=VALUE`. Raises UsageError."""
    if len(words) == 2 and "=" not in words[0]:
        yield words[0], words[1]
        return
    for word in words:
        found = _ASSIGNMENT.fullmatch(word)
        if found is None:
            raise click.UsageError(
                f"{word!r} is no KEY=VALUE; one key is set by `KEY VALUE` or `KEY=VALUE`, several"
                " by `smarthost.username=app smarthost.password_file=password`"
            )
        yield found["key"], found["value"]


def _change(
    ctx: click.Context, edits: "Sequence[Edit]", *, force: bool, dry_run: bool, as_json: bool
) -> None:
    """Make one change, put it back if the daemon refuses it, and print what became of it."""
    from relayd.cli.checking import check_quickly  # noqa: PLC0415
    from relayd.cli.config.banner import Answer, State, ask_to_reload, show_banner  # noqa: PLC0415
    from relayd.config.change import changing  # noqa: PLC0415

    with changing(settings_file(), edits, force=force, dry_run=dry_run) as changed:
        answer = (
            Answer(state=State.NOT_ASKED)
            if dry_run
            else ask_to_reload(changed.settings, changed.control_socket)
        )
        if put_back := changed.written and answer.state is State.REFUSED:
            changed.put_back()
    findings = check_quickly(changed.settings) if changed.began_direct and not put_back else ()
    show_banner(changed, answer, findings, put_back=put_back, as_json=as_json)
    ctx.exit(answer.exit_status)


def read_value(text: str) -> object:
    """Return what `text` is as a value of TOML, else itself."""
    try:
        read = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return read["value"] if len(read) == 1 else text


def bare(text: str) -> str:
    """A value for a script: a text without its quotes, a flag, number or list as TOML has it."""
    value = json.loads(text)
    return value if isinstance(value, str) else text


def _values() -> Mapping[str, str]:
    """Every key; rule files are none."""
    from relayd.config.values import RULES  # noqa: PLC0415

    values = load_settings().values
    return {name: text for name, text in values if not name.startswith(RULES)}


def _is_one(key: str, found: Mapping[str, str]) -> bool:
    """Tell whether that is one key, and no table that has one: its name belongs to the value."""
    from relayd.config.keys import name_of, parse_key  # noqa: PLC0415

    return [*found] == [name_of(parse_key(key))]


def _named(name: str | None, values: Mapping[str, str]) -> Mapping[str, str]:
    """The key of that name, or all of that table. Raises ConfigError, NoSuch."""
    from relayd.config.keys import check_key, is_table, name_of, parse_key  # noqa: PLC0415
    from relayd.config.values import value_of  # noqa: PLC0415

    if name is None:
        return values
    key = parse_key(name)
    check_key(key, settings_file(), {}, one=False)
    whole = name_of(key)
    found = {each: text for each, text in values.items() if f"{each}.".startswith(f"{whole}.")}
    if not found and (text := value_of(whole, values)) is not None:
        found = {whole: text}
    if not found and not (is_table(key) and len(key) == 1):
        raise NoSuch(f"{settings_file()} has no {whole}")
    return found

"""`relayd config get|set|diff`: show the settings, change one, show what that did.

A value is TOML where it reads as that, else a text: `true`, `20`, `'["15m", "1h"]'`, `5d`.
"""

import json
import tomllib
from collections.abc import Mapping

import click

from relayd.cli.context import (
    NoSuch,
    json_option,
    load_settings,
    settings_file,
    settings_option,
)
from relayd.cli.group import Group
from relayd.cli.output import printable, show_json, show_table


@click.group(cls=Group)
@settings_option()
def config() -> None:
    """Show the settings, change one, or compare them with what the daemon runs with."""


@config.command()
@click.argument("key", required=False)
@settings_option()
@json_option
def get(key: str | None, *, as_json: bool) -> None:
    """Show the settings: one KEY, the keys of a table, or all, with the defaults.

    KEY is a name such as smarthost.tls, listen.0.address or 'routes."*.example.org"'.
    """
    from relayd.config.keys import parse_key  # noqa: PLC0415
    from relayd.config.load import read  # noqa: PLC0415
    from relayd.config.mistakes import lookup  # noqa: PLC0415
    from relayd.config.values import default_of  # noqa: PLC0415

    found = _named(key, _values())
    if key is not None and len(found) == 1 and not as_json:
        [text] = found.values()
        click.echo(printable(bare(text)))
        return
    data = read(settings_file())[1]
    rows = [
        (name, text, "default" if lookup(data, parse_key(name)) is None else "file")
        for name, text in found.items()
    ]
    if not as_json:
        show_table(("KEY", "VALUE", "FROM"), rows)
        return
    for name, text, source in rows:
        default = default_of(name)
        show_json(
            {
                "key": name,
                "value": json.loads(text),
                "default": default and json.loads(default),
                "from": source,
            }
        )


@config.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("key")
@click.argument("value", type=click.UNPROCESSED)
@click.option(
    "--force", is_flag=True, help="Turn direct mode on even if others will not believe our name."
)
@settings_option()
@json_option
@click.pass_context
def set_(ctx: click.Context, key: str, value: str, *, force: bool, as_json: bool) -> None:
    """Set KEY to VALUE in the settings file, and have the daemon run with it.

    All of the file is checked before it is written; its comments stay. A list is written as in
    the file: relayd config set retry.soft_bounce '["15m", "1h"]'.
    """
    from relayd.cli.checking import check_quickly  # noqa: PLC0415
    from relayd.cli.config.banner import ask_to_reload, show_banner  # noqa: PLC0415
    from relayd.config.change import change  # noqa: PLC0415
    from relayd.config.keys import parse_key  # noqa: PLC0415

    changed = change(settings_file(), parse_key(key), read_value(value), force=force)
    answer = ask_to_reload(changed)
    findings = check_quickly(changed.settings) if changed.began_direct else ()
    show_banner(changed, answer, findings, as_json=as_json)
    ctx.exit(answer.exit_status)


@config.command()
@settings_option()
@json_option
def diff(*, as_json: bool) -> None:
    """Show what differs from the defaults, and whether the daemon runs with it."""
    from relayd.cli.config.banner import compare_daemon  # noqa: PLC0415
    from relayd.config.values import default_of  # noqa: PLC0415

    settings = load_settings()
    rows = [
        (name, default_of(name), text)
        for name, text in _values().items()
        if text != default_of(name)
    ]
    if as_json:
        for name, default, text in rows:
            show_json(
                {
                    "key": name,
                    "default": default and json.loads(default),
                    "value": json.loads(text),
                }
            )
    else:
        show_table(
            ("KEY", "DEFAULT", "VALUE"), ((name, old or "-", new) for name, old, new in rows)
        )
    compare_daemon(settings, as_json=as_json)


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


def _named(name: str | None, values: Mapping[str, str]) -> Mapping[str, str]:
    """The key of that name, or all of that table. Raises ConfigError, NoSuch."""
    from relayd.config.keys import check_key, is_table, name_of, parse_key  # noqa: PLC0415

    if name is None:
        return values
    key = parse_key(name)
    check_key(key, settings_file(), {}, one=False)
    whole = name_of(key)
    found = {each: text for each, text in values.items() if f"{each}.".startswith(f"{whole}.")}
    if not found and not (is_table(key) and len(key) == 1):
        raise NoSuch(f"{settings_file()} has no {whole}")
    return found

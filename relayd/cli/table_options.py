"""The options that say how a table looks: `--columns` and `--utc`."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import click

from relayd.cli.output import Form
from relayd.cli.table import Column, TableOptions


class ColumnsType(click.ParamType[tuple[str, ...]]):
    """Names of columns, with commas between them."""

    name = "columns"

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = [each.name for each in columns]

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        wanted = tuple(name.strip().lower() for name in str(value).split(","))
        for name in wanted:
            if name not in self._names:
                self.fail(
                    f"there is no column {name!r}; there are {', '.join(self._names)}", param, ctx
                )
        return tuple(dict.fromkeys(wanted))


def takes_table_options(
    columns: Sequence[Column],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options; it gets them as one `table`."""
    names = ", ".join(each.name for each in columns)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def with_table(*args: Any, chosen: tuple[str, ...] | None, utc: bool, **kwargs: Any) -> Any:
            if chosen is not None and kwargs["form"] is not Form.TABLE:
                raise click.UsageError(
                    "--columns is for tables: --json has every field, and so has --csv."
                )
            return function(*args, table=TableOptions(columns=chosen, utc=utc), **kwargs)

        options = (
            click.option(
                "--columns",
                "chosen",
                type=ColumnsType(columns),
                metavar="A,B",
                help=f"Show these columns, in this order: {names}.",
            ),
            click.option(
                "--utc", is_flag=True, help="Show instants in UTC, not how long ago they were."
            ),
        )
        for option in reversed(options):
            with_table = option(with_table)
        return with_table

    return decorate

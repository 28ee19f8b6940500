"""The options that say how a table looks: `--columns`, and `--utc` where it has instants."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from relayd.cli.output import Form
from relayd.cli.suggest import did_you_mean
from relayd.cli.table import Column, TableOptions
from relayd.config.nearest import nearest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

utc_option = click.option("--utc", is_flag=True, help="Show instants, in UTC.")


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
                found = did_you_mean(nearest(name, self._names))
                there_are = ", ".join(self._names)
                self.fail(f"there is no column {name!r}.{found} There are {there_are}.", param, ctx)
        return tuple(dict.fromkeys(wanted))

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem  # noqa: PLC0415 -- a shell asks for it

        before, comma, last = incomplete.rpartition(",")
        others = [name for name in self._names if name not in before.split(",")]
        return [
            CompletionItem(f"{before}{comma}{name}")
            for name in others
            if name.startswith(last.lower())
        ]


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def takes_columns(columns: Sequence[Column]) -> Decorator:
    """Give a command `--columns`; it gets it in its `table`."""
    names = ", ".join(each.name for each in columns)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def with_table(
            *args: Any, chosen: tuple[str, ...] | None, utc: bool = False, **kwargs: Any
        ) -> Any:
            if chosen is not None and kwargs["form"] is not Form.TABLE:
                raise click.UsageError(
                    "--columns is for tables: --json has every field, and so has --csv."
                )
            return function(*args, table=TableOptions(columns=chosen, utc=utc), **kwargs)

        return click.option(
            "--columns",
            "chosen",
            type=ColumnsType(columns),
            metavar="A,B",
            help=f"Show these columns, in this order: {names}.",
        )(with_table)

    return decorate


def takes_table_options(columns: Sequence[Column]) -> Decorator:
    """Give a command `--columns` and `--utc`; it gets them as one `table`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        return takes_columns(columns)(utc_option(function))

    return decorate

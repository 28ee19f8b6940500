"""The options of every command that answers with rows: `--json`, `--csv`, and `--fail-empty` for scripts."""

import functools
from collections.abc import Callable
from typing import Any

import click

from relayd.cli.context import json_option
from relayd.cli.output import Form

EMPTY = 1  # the exit status of an empty answer with `--fail-empty`

_csv_option = click.option(
    "--csv", "as_csv", is_flag=True, help="CSV (RFC 4180), with the log's field names as header."
)
_fail_empty_option = click.option(
    "--fail-empty", is_flag=True, help="Exit with 1 if there are no rows."
)


def takes_form(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--json` and `--csv`; it gets the `form` of its rows."""

    @functools.wraps(function)
    def with_form(*args: Any, as_json: bool, as_csv: bool, **kwargs: Any) -> Any:
        if as_json and as_csv:
            raise click.UsageError("Either --json or --csv.")
        form = Form.JSON if as_json else Form.CSV if as_csv else Form.TABLE
        return function(*args, form=form, **kwargs)

    return json_option(_csv_option(with_form))


def takes_row_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `takes_form`, and `--fail-empty`: the command returns how many rows there were."""

    @functools.wraps(function)
    def with_rows(*args: Any, fail_empty: bool, **kwargs: Any) -> None:
        count = function(*args, **kwargs)
        if fail_empty and count == 0:
            click.get_current_context().exit(EMPTY)

    return takes_form(_fail_empty_option(with_rows))

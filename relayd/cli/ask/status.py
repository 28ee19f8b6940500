"""`relayd status`: what became of the mail. For one message: `show`.

Reads the store: it answers while the daemon is down, and says so above.
"""

import shutil
import sys
from typing import TYPE_CHECKING

import click

from relayd.answers.tally import PERCENTILES
from relayd.cli.ask.show import show
from relayd.cli.completing import ids
from relayd.cli.context import named_settings_file, open_view, settings_option
from relayd.cli.filters import EVERY_FILTER, limit_option, takes_query
from relayd.cli.group import Group, options_given, refuse_fail_empty
from relayd.cli.listing import COLUMNS, list_recipients, nothing_found
from relayd.cli.notices import show_notices
from relayd.cli.output import Form, say_empty
from relayd.cli.row_options import takes_row_options
from relayd.cli.screen import repeat
from relayd.cli.table import USUAL, TableOptions
from relayd.cli.table_options import takes_table_options
from relayd.mail.ids import parse_id
from relayd.ports.view import Query

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class _StatusGroup(Group):
    """Takes an ID for `show ID`."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        found = super().shell_complete(ctx, incomplete)
        return found if incomplete.startswith("-") else [*found, *ids(ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            if not _is_id(args[0]):
                ctx.fail(
                    f"{args[0]!r} is no queue id and no Message-ID. For one message: relayd status ID"
                )
            args = ["show", *args]
        return super().resolve_command(ctx, args)


def _is_id(text: str) -> bool:
    try:
        parse_id(text)
    except ValueError:
        return "@" in text or text.startswith("<")
    return True


@click.group(cls=_StatusGroup, invoke_without_command=True)
@takes_query(*EVERY_FILTER)
@limit_option
@takes_row_options
@takes_table_options(COLUMNS)
@click.option(
    "--delays",
    "asks_delays",
    is_flag=True,
    help="Show how long each took, and percentiles; `relayd stats` has those of all mail.",
)
@click.option("--watch", is_flag=True, help="Show it again every 2 seconds, until ^C.")
@click.option("--rounds", type=click.IntRange(min=1), hidden=True, help="How often with --watch.")
@settings_option()
@click.pass_context
def status(
    ctx: click.Context,
    *,
    query: Query,
    limit: int | None,
    table: TableOptions,
    asks_delays: bool,
    watch: bool,
    rounds: int | None,
    form: Form,
) -> int:
    """Show what became of mail: one row per recipient, by recipient, sender, tag, status or time.

    Without a filter it is all mail, the newest first; on a terminal the newest is the last line.

    `relayd status ID` shows everything about one message.
    """
    if ctx.invoked_subcommand is not None:
        if not {"--json", "--utc"}.issuperset(options_given(ctx)):
            raise click.UsageError(
                "An ID needs no filter, and no option but --explain, --json and --utc."
            )
        return 1
    if asks_delays and table != USUAL:
        option = "--columns" if table.columns is not None else "--utc"
        raise click.UsageError(f"{option} is for the table without --delays.")
    if watch:
        refuse_fail_empty(ctx, "--watch")
    with open_view() as view:

        def draw() -> int:
            notices = show_notices(view, named_settings_file(), table.zone)
            rows = limit
            if watch and limit is None and sys.stdout.isatty():
                rows = _rows_that_fit(notices + (len(PERCENTILES) if asks_delays else 0))
            if asks_delays:
                from relayd.cli.ask.delays import list_delays  # noqa: PLC0415

                return list_delays(view, query, limit=rows, form=form)
            return list_recipients(view, [query], limit=rows, form=form, table=table)

        if watch:
            repeat(draw, rounds=rounds)
            return 1
        count = draw()
    if not count:
        say_empty(nothing_found(query))
    return count


def _rows_that_fit(others: int) -> int:
    """Return how many rows a screen has beside so many lines, the titles, a hint and an empty line."""
    return max(shutil.get_terminal_size().lines - 3 - others, 1)


status.add_command(show)

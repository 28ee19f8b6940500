"""`relayd console webhook test`, `replay` and `deliveries`: what was sent to applications, and sending it again."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import click

from relayd.answers.webhooks import (
    DELIVERY_FIELDS,
    delivery_fields,
    heard_in_words,
    is_over,
    type_of,
)
from relayd.cli.ages import Times, times_for
from relayd.cli.asked_daemon import daemon_socket
from relayd.cli.completing import complete_webhooks
from relayd.cli.console.asking import ask
from relayd.cli.context import NoSuch, json_option, open_view, settings_option
from relayd.cli.filters import SINCE, UNTIL
from relayd.cli.output import Form, printable, say_empty, show_fields, show_json, show_table
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import Column, TableOptions
from relayd.cli.table_options import takes_table_options
from relayd.control import client
from relayd.control.webhooks import about_to_json, replay_to_json, replayed_from_json
from relayd.mail.ids import format_id
from relayd.ports.outbox import (
    UNFINISHED,
    DeliveryQuery,
    DeliveryRow,
    DeliveryState,
    EndpointId,
    Replay,
    number_in,
)

_WITHIN = 15.0  # seconds that a test is waited for
_LOOK = 0.2
_COLUMNS = (
    Column(title="ID", whole=True, goes=3),
    Column(title="WEBHOOK", whole=True, goes=2),
    Column(title="EVENT", whole=True),
    Column(title="QUEUE ID", whole=True, goes=4),
    Column(title="RECIPIENT", least=10),
    Column(title="WHEN", whole=True, goes=5),
    Column(title="STATE", whole=True),
    Column(title="TRIES", whole=True, goes=1),
    Column(title="HEARD", whole=True),
    Column(title="NEXT", whole=True, goes=6),
)
_which = click.argument("which", metavar="WEBHOOK", type=int, shell_complete=complete_webhooks)


@click.command("test")
@_which
@json_option
@settings_option()
def send_test(which: int, *, as_json: bool) -> None:
    """Send a test, and say what the receiver answers.

    It is sent to a webhook that rests or is disabled too, once. `relayd console` has to run.
    """
    request = about_to_json("endpoint.test", EndpointId(which))
    number = int(ask(request, otherwise=_no_webhook(which))["delivery"])
    row = _heard_of(EndpointId(which), number)
    if row is None:
        raise click.ClickException(
            f"nothing was sent within {_WITHIN:g} s: is `relayd console` running?"
        )
    if as_json:
        show_json(delivery_fields(row))
    else:
        click.echo(printable(f"{row.webhook_id} {row.state}: {heard_in_words(row.last)}"))
    if row.state is not DeliveryState.DONE:
        click.get_current_context().exit(1)


def _heard_of(endpoint: EndpointId, number: int) -> DeliveryRow | None:
    """Return a test once it is finished; None if it is not within a while."""
    ends = time.monotonic() + _WITHIN
    query = DeliveryQuery(endpoint=endpoint, before=number + 1, limit=1)
    with open_view() as view:
        while time.monotonic() < ends:
            for row in view.outbox.deliveries(query):
                if row.number == number and is_over(row):
                    return row
            time.sleep(_LOOK)
    return None


@click.command()
@_which
@click.option("--delivery", metavar="ID", help="One delivery, by its id (evt_…)")
@click.option("--since", type=SINCE, metavar="TIME", help="What happened since then.")
@click.option("--until", type=UNTIL, metavar="TIME", help="What happened before.")
@click.option("--failed", is_flag=True, help="Only what was given up.")
@click.option("--all", "everything", is_flag=True, help="All that the history has.")
@json_option
@settings_option()
def replay(
    which: int,
    *,
    delivery: str | None,
    since: datetime | None,
    until: datetime | None,
    failed: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """Send deliveries again that were done or given up, under the same ids."""
    if not (delivery or since or until or failed or everything):
        raise click.UsageError("Say which: --delivery, --since, --until, --failed or --all.")
    wanted = Replay(
        endpoint=EndpointId(which),
        number=None if delivery is None else _number(delivery),
        since=since,
        until=until,
        only_failed=failed,
    )
    with open_view() as view:
        if which not in {each.id for each in view.outbox.endpoints()}:
            raise NoSuch(_no_webhook(which))
    changed = sum(_parts(wanted))
    if as_json:
        show_json({"webhook": which, "action": "replayed", "changed": changed})
    else:
        click.echo(f"{changed} to be sent again")


def _parts(wanted: Replay) -> Iterator[int]:
    """Yield how many are sent again, a call at a time."""
    more: int | None = 0
    while more is not None:
        part = replay_to_json(replace(wanted, after=more))
        reply = client.ask(daemon_socket(), part)
        replayed = replayed_from_json(reply)
        more = replayed.more
        yield replayed.changed


def _number(webhook_id: str) -> int:
    number = number_in(webhook_id)
    if number is None:
        raise click.BadParameter(
            f"{webhook_id!r} is no id of a delivery: relayd console webhook deliveries",
            param_hint="--delivery",
        )
    return number


@click.command()
@click.argument(
    "which", metavar="[WEBHOOK]", type=int, required=False, shell_complete=complete_webhooks
)
@click.option("--failed", is_flag=True, help="Only what was given up.")
@click.option("--waiting", is_flag=True, help="Only what is not finished.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@takes_row_options
@takes_table_options(_COLUMNS)
@settings_option()
def deliveries(
    which: int | None, *, failed: bool, waiting: bool, limit: int, form: Form, table: TableOptions
) -> int:
    """Show what was sent, or waits to be: the latest events, of one webhook or of all."""
    states = (*([DeliveryState.FAILED] if failed else []), *(UNFINISHED if waiting else ()))
    rows = _rows(which, states, limit)
    if form is Form.TABLE:
        times = times_for(table)
        cells = (_cells(row, times) for row in rows)
        show_table(_COLUMNS, cells, table=table, newest_first=True)
    else:
        show_fields(map(delivery_fields, rows), DELIVERY_FIELDS, form)
    if not rows:
        say_empty()
    return len(rows)


def _rows(which: int | None, states: Sequence[DeliveryState], limit: int) -> list[DeliveryRow]:
    with open_view() as view:
        known = [each.id for each in view.outbox.endpoints()]
        if which is not None and which not in known:
            raise NoSuch(_no_webhook(which))
        found: list[DeliveryRow] = []
        for endpoint in known if which is None else [EndpointId(which)]:
            query = DeliveryQuery(endpoint=endpoint, states=tuple(states), limit=limit)
            found += view.outbox.deliveries(query)
    return sorted(found, key=lambda row: row.at, reverse=True)[:limit]


def _cells(row: DeliveryRow, times: Times) -> tuple[str, ...]:
    event = row.event
    subject = None if event is None else event.subject
    return (
        row.webhook_id,
        str(row.endpoint),
        type_of(row).removeprefix("recipient."),
        "" if event is None else format_id(event.message_id),
        "" if subject is None else subject.address,
        times.past(row.at),
        row.state.value,
        str(row.tries),
        heard_in_words(row.last),
        times.coming(row.next_at),
    )


def _no_webhook(number: int) -> str:
    return f"there is no webhook {number}: relayd console webhook list"

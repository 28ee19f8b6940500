"""`relayd status --delays`: how long each recipient took, and percentiles of all that are shown."""

import sys

from relayd.answers.delays import DELAYS, delays_of, percentiles
from relayd.answers.tally import delay_text
from relayd.cli.listing import rows_wanted, say_stopped, search
from relayd.cli.output import Form, show_fields, show_json, show_table
from relayd.cli.table import USUAL, Column
from relayd.mail.ids import format_id
from relayd.ports.view import Place, Query, QueueView

_COLUMNS = (
    Column(title="ID", whole=True),
    Column(title="RECIPIENT", least=16),
    Column(title="STATUS", whole=True),
    Column(title="DELAY", whole=True, right=True),
    Column(title="QUEUE", whole=True, right=True, goes=3),
    Column(title="CONNECT", whole=True, right=True, goes=2),
    Column(title="TRANSACTION", whole=True, right=True, goes=1),
)


_NAMES = ("queue_id", "rcpt", "status", *DELAYS)


def list_delays(view: QueueView, query: Query, *, limit: int | None, form: Form) -> int:
    """Print the recipients that match with their delays, then percentiles, which CSV leaves out; return how many."""
    wanted = rows_wanted(limit, form)
    stopped: list[Place] = []
    rows = search(view, [query], wanted=wanted, form=form, stopped=stopped)
    found = list(delays_of(view, rows))
    summed = percentiles(found)
    if form is not Form.TABLE:
        told = (
            {
                "queue_id": format_id(one.row.message_id),
                "rcpt": one.row.address,
                "status": one.row.status,
                **one.delays,
            }
            for one in found
        )
        show_fields(told, _NAMES, form)
        if form is Form.JSON:
            for title, delays in summed.items():
                show_json({"by": title, **delays})
        return len(found)
    show_table(
        _COLUMNS,
        (
            [
                format_id(one.row.message_id),
                one.row.address,
                one.row.status.value,
                *(delay_text(one.delays.get(name)) for name in DELAYS),
            ]
            for one in found
        ),
        newest_first=True,
        totals=[
            [title, "", "", *(delay_text(delays.get(name)) for name in DELAYS)]
            for title, delays in summed.items()
        ],
    )
    if wanted and len(found) == wanted:
        print(f"of the newest {wanted}; --limit 0 takes all", file=sys.stderr)
    elif stopped:
        say_stopped(stopped, USUAL)
    return len(found)

"""`relayd queue list --by`: what waits, counted by what it has in common."""

import sys
from collections.abc import Sequence

from relayd.answers.tally import NAMES
from relayd.cli.ages import times_for
from relayd.cli.listing import rows_wanted
from relayd.cli.output import Form, show_fields, show_table
from relayd.cli.table import Column, TableOptions
from relayd.mail.tally import Dimension
from relayd.mail.words import instant
from relayd.ports.view import UNFINISHED, Query, QueueView
from relayd.ports.waiting import By, Waiting

_MOST = 30_000  # recipients of a status and category that are counted for people
_COUNTS = ("RECIPIENTS", *(status.value.upper() for status in UNFINISHED))


def list_groups(
    view: QueueView,
    query: Query,
    by: By,
    *,
    limit: int | None,
    form: Form,
    table: TableOptions,
) -> int:
    """Print a row for each value, and say when there are more of them; return how many are shown."""
    wanted = rows_wanted(limit, form)
    is_bounded = form is Form.TABLE and wanted
    groups, since = view.waiting(query, by, most=_MOST if is_bounded else None)
    shown = groups[:wanted] if wanted else groups
    if form is not Form.TABLE:
        names = ("by", NAMES[Dimension(by)], *map(str.lower, _COUNTS), "oldest", "next_attempt_at")
        return show_fields((fields(one, by) for one in shown), names, form)
    times = times_for(table)
    show_table(
        [
            Column(title=by.value.upper(), least=16),
            *(Column(title=title, whole=True, right=True) for title in _COUNTS),
            Column(title="OLDEST", whole=True, goes=1),
            Column(title="NEXT", whole=True, goes=2),
        ],
        (
            [
                one.value or ("<>" if by is By.SENDER else "(none)"),
                *map(str, _counts(one)),
                times.past(one.oldest),
                times.coming(one.next_attempt_at),
            ]
            for one in shown
        ),
    )
    if since is not None:
        print(
            f"of mail since {instant(since, table.zone)} only; --limit 0 counts all",
            file=sys.stderr,
        )
    if len(shown) < len(groups):
        print(f"the {wanted} of {len(groups)} with most mail; --limit 0 shows all", file=sys.stderr)
    return len(shown)


def fields(one: Waiting, by: By) -> dict[str, object]:
    """Return a row as JSON fields; what has no value is empty."""
    counts = dict(zip(map(str.lower, _COUNTS), _counts(one), strict=True))
    return {
        "by": by.value,
        NAMES[Dimension(by)]: one.value,
        **counts,
        "oldest": one.oldest,
        "next_attempt_at": one.next_attempt_at,
    }


def _counts(one: Waiting) -> Sequence[int]:
    return one.recipients, *(one.by_status.get(status, 0) for status in UNFINISHED)

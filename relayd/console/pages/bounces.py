"""Bounces: how many, why, whose, and what to do about each kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial

from starlette.responses import Response

from relayd.answers.tally import bounced, share
from relayd.console.asked import Asked
from relayd.mail.ids import format_id
from relayd.mail.tally import Dimension
from relayd.mail.words import Category
from relayd.policy.replies.ruleset import rules_from
from relayd.ports.tally import TallyAnswer, TallyQuery, TallyRow
from relayd.ports.view import Query, QueueView, Status

SPANS: Mapping[str, timedelta] = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
_BY = {each.value: each for each in (Dimension.CATEGORY, Dimension.DOMAIN, Dimension.SENDER)}
_MOST = 100
CLASSES = ("hard", "block", "soft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row of the page."""

    row: TallyRow
    bounced: int
    share: float | None
    remedy: str = ""
    example: str = ""  # the last reply of that kind
    example_id: str = ""


async def show(asked: Asked) -> Response:
    """The page itself."""
    span = asked.params.get("since", "7d")
    span = span if span in SPANS else "7d"
    by = _BY.get(asked.params.get("by", ""), Dimension.CATEGORY)
    answer, lines = await asked.ask(partial(_find, by, asked.now - SPANS[span]))
    return asked.page(
        "bounces.html",
        lines=lines,
        total=answer.total,
        bounced=bounced(answer.total),
        classes=[(name, answer.total.counts[name]) for name in CLASSES],
        by=by.value,
        all_by=tuple(_BY),
        span=span,
        spans=tuple(SPANS),
    )


def _find(by: Dimension, since: datetime, view: QueueView) -> tuple[TallyAnswer, list[Line]]:
    answer = view.tally(TallyQuery(by=by, since=since, limit=_MOST, only_bounces=True))
    return answer, [_line(row, by, answer, since, view) for row in answer.rows]


def _line(
    row: TallyRow, by: Dimension, answer: TallyAnswer, since: datetime, view: QueueView
) -> Line:
    count = bounced(row)
    part = share(row, answer.total, Dimension.CATEGORY)
    if by is not Dimension.CATEGORY or row.value not in set(Category):
        return Line(row=row, bounced=count, share=part)
    category = Category(row.value)
    query = Query(category=(category,), status=(Status.BOUNCED,), since=since)
    example = next(iter(view.find(query, limit=1)), None)
    return Line(
        row=row,
        bounced=count,
        share=part,
        remedy=_remedies().get(category, ""),
        example="" if example is None else example.reply or example.reason or "",
        example_id="" if example is None else format_id(example.message_id),
    )


@cache
def _remedies() -> Mapping[Category, str]:
    return rules_from(()).remedies

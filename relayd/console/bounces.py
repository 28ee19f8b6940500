"""Bounces of a time: how many by what, the part of each in all, an example and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from relayd.answers.tally import bounced, share
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
BY = {each.value: each for each in (Dimension.CATEGORY, Dimension.DOMAIN, Dimension.SENDER)}
_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row of the page."""

    row: TallyRow
    bounced: int
    share: float | None
    remedy: str = ""
    example: str = ""  # the last reply of that kind
    example_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounces:
    """What bounced."""

    answer: TallyAnswer
    lines: Sequence[Line]


def find(by: Dimension, since: datetime, view: QueueView) -> Bounces:
    """Return what bounced since then, most first."""
    answer = view.tally(TallyQuery(by=by, since=since, limit=_MOST, only_bounces=True))
    lines = [_line(row, by, answer, since, view) for row in answer.rows]
    return Bounces(answer=answer, lines=lines)


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

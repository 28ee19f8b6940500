"""The overview: what comes and goes, what is wrong, what waits, what became of the mail."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from relayd.answers.overview import Overview
from relayd.answers.tally import bounced, step_for
from relayd.answers.webhooks import heard_in_words
from relayd.console.asked import Asked
from relayd.console.charts import HEIGHT, SERIES, WIDTH, chart_of
from relayd.console.glance import SPANS, LastHour
from relayd.doctor.saved import saved
from relayd.mail.ids import format_id
from relayd.policy.console.problems import (
    HourFacts,
    Problem,
    WebhookFacts,
    doctor_problems,
    problems,
    webhook_problems,
)
from relayd.ports.backlog import AGES
from relayd.ports.outbox import Endpoint
from relayd.ports.tally import TallyAnswer, TallyRow
from relayd.ports.view import UNFINISHED

_NOW = ("received", "relayed", "sent", "deferred", "bounced")
_GRAVE = frozenset({"daemon", "disk", "store", "login"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Destination:
    """One of those with most waiting."""

    name: str
    waiting: int
    age: float | None  # seconds
    pause: float | None  # seconds


async def show(asked: Asked) -> Response:
    """The page itself."""
    span = asked.params.get("since", "24h")
    span = span if span in SPANS else "24h"
    glance = asked.console.glance
    seen = await glance.overview()
    found, backlog = seen.overview, seen.backlog
    outcomes = await glance.outcomes(span)
    length = SPANS[span]
    return asked.page(
        "overview.html",
        found=found,
        flows=_NOW,
        statuses=UNFINISHED,
        backlog=backlog,
        oldest_seconds=backlog.oldest_seconds(found.at),
        ages=list(zip((*AGES, None), backlog.by_age, strict=True)),
        problems=[
            *problems(
                _facts(await glance.last_hour()),
                oldest_seconds=backlog.oldest_seconds(found.at),
                oldest_destination=backlog.oldest.destination if backlog.oldest else "",
            ),
            *await _of_doctor(asked),
            *webhook_problems(_webhook(each, asked.now) for each in await glance.webhooks()),
        ],
        grave=_GRAVE,
        destinations=_destinations(found),
        counted_since=seen.since,
        troubles=[(format_id(each.message_id), each) for each in found.errors],
        span=span,
        spans=tuple(SPANS),
        outcomes=outcomes,
        chart=chart_of(outcomes, step_for(length), since=asked.now - length, until=asked.now),
        series=SERIES,
        size=(WIDTH, HEIGHT),
        with_time=span == "24h",
    )


async def _of_doctor(asked: Asked) -> Sequence[Problem]:
    result = await asyncio.to_thread(saved, asked.console.settings)
    if result is None:
        return ()
    age = (asked.now - result.at).total_seconds()
    return doctor_problems(result.findings, age_seconds=age)


def _destinations(found: Overview) -> list[_Destination]:
    return [
        _Destination(name=name, waiting=number, age=found.age(name), pause=found.pause(name))
        for name, number in found.destinations()
    ]


def _facts(hour: LastHour) -> HourFacts:
    total = hour.by_sender.total
    worst, tag = _worst(hour.by_sender), _worst(hour.by_tag)
    return HourFacts(
        accepted=total.counts["sent"] + total.counts["relayed"],
        bounced=bounced(total),
        sender="" if worst is None else worst.value,
        sender_bounced=0 if worst is None else bounced(worst),
        tag=tag.value if tag is not None and bounced(tag) * 2 > bounced(total) else "",
    )


def _webhook(each: Endpoint, now: datetime) -> WebhookFacts:
    since = each.failing_since
    return WebhookFacts(
        number=each.id,
        off=each.off,
        failing_seconds=None if since is None else (now - since).total_seconds(),
        heard=heard_in_words(each.last),
    )


def _worst(answer: TallyAnswer) -> TallyRow | None:
    return next((row for row in answer.rows if row.value), None)

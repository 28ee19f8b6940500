"""Webhooks: which applications are told what, how each does, and what was sent to it. For admins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response

from relayd.answers.webhooks import heard_in_words, state_of, type_of
from relayd.console.asked import Asked
from relayd.console.paging import Part, page_of
from relayd.control import client
from relayd.control.protocol import Message
from relayd.control.webhooks import about_to_json, put_to_json, replay_to_json
from relayd.mail.account import parse_sender
from relayd.mail.ids import format_id
from relayd.mail.words import EventKind
from relayd.ports.outbox import (
    TOLD,
    UNFINISHED,
    DeliveryQuery,
    DeliveryRow,
    DeliveryState,
    Endpoint,
    EndpointId,
    Replay,
    Subscription,
)
from relayd.ports.view import QueueView

T = TypeVar("T")
_STATES = {"failed": (DeliveryState.FAILED,), "waiting": UNFINISHED}
_PAGE = 50
_COUNTED = 10_000  # deliveries that wait, or that failed: 2 ms
_LARGEST = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What the page tells of a delivery."""

    row: DeliveryRow
    type: str
    message: str | None
    rcpt: str | None
    heard: str
    again: bool  # it can be sent again


async def show(asked: Asked) -> Response:
    """List the webhooks."""
    found = await asked.ask(lambda view: view.outbox.endpoints(most=_COUNTED))
    return asked.page(
        "webhooks.html",
        webhooks=[(each, state_of(each, asked.now)) for each in found],
        kinds=TOLD,
        most=_COUNTED,
    )


async def show_one(asked: Asked) -> Response:
    """One webhook: its settings, how it does, and its deliveries."""
    number = _number(asked)
    shown = asked.params.get("show", "")
    query = DeliveryQuery(endpoint=number, states=_STATES.get(shown, ()), limit=_PAGE + 1)
    before, after = asked.number("before"), asked.number("after")

    def find(view: QueueView) -> tuple[Endpoint | None, Part[DeliveryRow, int]]:
        def ask(*, before: int | None = None, after: int | None = None) -> Sequence[DeliveryRow]:
            return view.outbox.deliveries(replace(query, before=before, after=after))

        one = next(
            (each for each in view.outbox.endpoints(most=_COUNTED) if each.id == number), None
        )
        return one, page_of(ask, _PAGE, lambda row: row.number, before=before, after=after)

    webhook, part = await asked.ask(find)
    if webhook is None:
        raise HTTPException(404, _none(number))
    return asked.page(
        "webhook.html",
        webhook=webhook,
        state=state_of(webhook, asked.now),
        kinds=TOLD,
        most=_COUNTED,
        rows=[_row(each) for each in part.rows],
        part=part,
        shown=shown if shown in _STATES else "",
    )


async def add(asked: Asked) -> Response:
    """Add a webhook, and show its secret."""
    answer = await _ask(asked, put_to_json(_wanted(asked, is_on=True)), "it was not added")
    return _with_secret(asked, EndpointId(answer["endpoint"]), answer["secret"])


async def change(asked: Asked) -> Response:
    number = _number(asked)
    wanted = _wanted(asked, is_on=not asked.text("disabled"))
    await _ask(asked, put_to_json(wanted, number), _none(number))
    return _back(asked, number, "webhook_changed")


async def rotate(asked: Asked) -> Response:
    """Make a new secret, and show it."""
    number = _number(asked)
    answer = await _ask(asked, about_to_json("endpoint.rotate", number), _none(number))
    return _with_secret(asked, number, answer["secret"])


async def send_test(asked: Asked) -> Response:
    number = _number(asked)
    await _ask(asked, about_to_json("endpoint.test", number), _none(number))
    return _back(asked, number, "webhook_tested")


async def replay(asked: Asked) -> Response:
    """Send one delivery again, or what was given up: a batch, and the page says how much."""
    number = _number(asked)
    one = asked.text("delivery")
    if one and not (one.isdecimal() and len(one) < 18 and int(one)):
        raise HTTPException(400, "a test cannot be sent again: send another one")
    wanted = Replay(endpoint=number, number=int(one) if one else None, only_failed=not one)
    answer = await asked.change(partial(client.ask, request=replay_to_json(wanted)))
    return _back(asked, number, "webhook_replayed", int(answer["changed"]))


async def remove(asked: Asked) -> Response:
    number = _number(asked)
    await _ask(asked, about_to_json("endpoint.drop", number), _none(number))
    return asked.done("/webhooks", QueryParams(), "webhook_removed")


def _row(each: DeliveryRow) -> _Row:
    event = each.event
    subject = None if event is None else event.subject
    return _Row(
        row=each,
        type=type_of(each).removeprefix("recipient."),
        message=None if event is None else format_id(event.message_id),
        rcpt=None if subject is None else subject.address,
        heard=heard_in_words(each.last),
        again=each.number > 0 and each.state in (DeliveryState.DONE, DeliveryState.FAILED),
    )


def _wanted(asked: Asked, *, is_on: bool) -> Subscription:
    kinds = _read(lambda: tuple(map(EventKind, asked.texts("events"))))
    if not kinds:
        raise HTTPException(400, "choose one event at least")
    return Subscription(
        url=asked.needed("url", "the URL"),
        kinds=kinds,
        senders=_read(lambda: tuple(map(parse_sender, _words(asked, "senders")))),
        tags=tuple(_words(asked, "tags")),
        is_on=is_on,
    )


def _words(asked: Asked, name: str) -> list[str]:
    return [each.strip() for each in asked.text(name).split(",") if each.strip()]


def _read(read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueError as wrong:
        raise HTTPException(400, str(wrong)) from wrong


def _number(asked: Asked) -> EndpointId:
    number = EndpointId(asked.request.path_params["number"])
    if number > _LARGEST:
        raise HTTPException(404, _none(number))
    return number


async def _ask(asked: Asked, request: Message, otherwise: str) -> dict[str, Any]:
    answer = await asked.change(partial(client.ask, request=request))
    if answer.get("done") is not True:
        raise HTTPException(409, otherwise)
    return answer


def _with_secret(asked: Asked, number: EndpointId, secret: str) -> Response:
    return asked.page("webhook_secret.html", number=number, secret=secret)


def _back(asked: Asked, number: EndpointId, what: str, count: int = 1) -> Response:
    return asked.done(f"/webhooks/{number}", QueryParams(), what, count)


def _none(number: EndpointId) -> str:
    return f"There is no webhook {number}."

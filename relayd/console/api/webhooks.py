"""Webhooks: which applications are told what, how each does, and what was sent to it. For admins."""

from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from starlette.responses import Response

from relayd.answers.webhooks import delivery_fields, endpoint_fields
from relayd.console.api.answers import Paged, answer, page_of_keys, place_in, seal, unseal
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.filters import Text, instant
from relayd.console.api.problems import Problem, wrong
from relayd.console.api.resource import resources
from relayd.console.api.shapes import webhooks as shapes
from relayd.console.paging import part_of
from relayd.control import client
from relayd.control.protocol import Message
from relayd.control.webhooks import (
    about_to_json,
    change_to_json,
    put_to_json,
    replay_to_json,
    replayed_from_json,
)
from relayd.mail.account import parse_sender
from relayd.mail.words import EventKind
from relayd.policy.console.roles import Scope
from relayd.ports.outbox import (
    TOLD,
    DeliveryQuery,
    DeliveryRow,
    DeliveryState,
    Endpoint,
    EndpointId,
    Replay,
    Subscription,
    SubscriptionChange,
    number_in,
)

router = resources("webhooks")
_Admin = Annotated[Caller, Depends(Needs(Scope.ADMIN))]
_Id = Annotated[int, Path(ge=1, le=2**53)]


def _told(kind: EventKind) -> EventKind:
    if kind not in TOLD:
        raise ValueError(f"{kind} is no event for webhooks: {', '.join(TOLD)}")
    return kind


_Kind = Annotated[
    EventKind,
    AfterValidator(_told),
    WithJsonSchema({"type": "string", "enum": [each.value for each in TOLD]}),
]
_Kinds = Annotated[list[_Kind], Field(min_length=1, max_length=len(TOLD))]
_Senders = Annotated[
    list[Annotated[Text, AfterValidator(parse_sender)]],
    Field(max_length=50, description="addresses, or `@domain`; none: whatever sender"),
]
_Tags = Annotated[
    list[Annotated[Text, Field(max_length=200)]],
    Field(max_length=50, description="none: whatever tag"),
]


class NewWebhook(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: Text
    events: Annotated[_Kinds, Field(description="left out: all of these")] = list(TOLD)
    senders: _Senders = []
    tags: _Tags = []
    disabled: bool = False


class WebhookChange(BaseModel):
    """What is not named stays."""

    model_config = ConfigDict(extra="forbid")

    url: Text | None = None
    events: _Kinds | None = None
    senders: _Senders | None = None
    tags: _Tags | None = None
    disabled: bool | None = None


class Params(Paged):
    state: Annotated[list[DeliveryState] | None, Field(max_length=5)] = None


class WebhookReplay(BaseModel):
    model_config = ConfigDict(extra="forbid")

    delivery: Annotated[Text | None, Field(description="one, by its `id`")] = None
    since: Annotated[Text | None, Field(description="events at or after")] = None
    until: Annotated[Text | None, Field(description="events before")] = None
    only_failed: bool = False
    cursor: Annotated[str, Field(max_length=500, description="`next` of the last answer")] = ""


@router.get("/webhooks", response_model=shapes.Webhooks)
async def show_all(caller: _Admin) -> Response:
    """List the webhooks, the oldest first; no secret is told."""
    found = await caller.ask(lambda view: view.outbox.endpoints())
    return answer({"webhooks": [endpoint_fields(each) for each in found]})


@router.post("/webhooks", response_model=shapes.WebhookSecret, status_code=201)
async def add(wanted: NewWebhook, caller: _Admin) -> Response:
    """Add a webhook, and tell its secret. It is told what happens from now on."""
    subscription = Subscription(
        url=wanted.url,
        kinds=tuple(wanted.events),
        senders=tuple(wanted.senders),
        tags=tuple(wanted.tags),
        is_on=not wanted.disabled,
    )
    reply = await _ask(caller, put_to_json(subscription))
    return answer({"webhook": reply["endpoint"], "secret": reply["secret"]}, status=201)


@router.get("/webhooks/{webhook}", response_model=shapes.Webhook)
async def show(webhook: _Id, caller: _Admin) -> Response:
    """Tell what a webhook is for, and how it does."""
    return answer(endpoint_fields(await _find(caller, webhook)))


@router.patch("/webhooks/{webhook}", response_model=shapes.Webhook)
async def change(webhook: _Id, wanted: WebhookChange, caller: _Admin) -> Response:
    """Change a webhook; what is not named stays. One that is enabled again begins as a new one."""
    change = SubscriptionChange(
        url=wanted.url,
        kinds=None if wanted.events is None else tuple(wanted.events),
        senders=None if wanted.senders is None else tuple(wanted.senders),
        tags=None if wanted.tags is None else tuple(wanted.tags),
        is_on=None if wanted.disabled is None else not wanted.disabled,
    )
    await _ask(caller, change_to_json(change, EndpointId(webhook)))
    return answer(endpoint_fields(await _find(caller, webhook)))


@router.delete("/webhooks/{webhook}", response_model=shapes.WebhookGone)
async def remove(webhook: _Id, caller: _Admin) -> Response:
    """Forget a webhook, with all that waits for it."""
    await _ask(caller, about_to_json("endpoint.drop", EndpointId(webhook)))
    return answer({"webhook": webhook, "changed": True})


@router.post("/webhooks/{webhook}/rotate", response_model=shapes.WebhookSecret)
async def rotate(webhook: _Id, caller: _Admin) -> Response:
    """Make a new secret. The last three before sign too, for 24 hours."""
    reply = await _ask(caller, about_to_json("endpoint.rotate", EndpointId(webhook)))
    return answer({"webhook": webhook, "secret": reply["secret"]})


@router.post("/webhooks/{webhook}/test", response_model=shapes.WebhookTested)
async def send_test(webhook: _Id, caller: _Admin) -> Response:
    """Send `relayd.test`, ahead of all else; the deliveries tell what became of it."""
    await _ask(caller, about_to_json("endpoint.test", EndpointId(webhook)))
    return answer({"webhook": webhook, "type": "relayd.test"})


@router.post("/webhooks/{webhook}/replay", response_model=shapes.WebhookReplayed)
async def replay(webhook: _Id, wanted: WebhookReplay, caller: _Admin) -> Response:
    """Send finished deliveries again, at most 10,000 at once; `next` says where to go on."""
    if not (wanted.delivery or wanted.since or wanted.until or wanted.only_failed):
        raise wrong("body", "it does not say which", "delivery, since, until or only_failed")
    found = await _find(caller, webhook)
    about = f"replay {webhook} {wanted.model_dump_json(exclude={'cursor'})}"
    after = int(unseal(caller, wanted.cursor, about=about)[0]) if wanted.cursor else 0
    request = Replay(
        endpoint=found.id,
        number=None if wanted.delivery is None else _number(wanted.delivery),
        since=instant("since", wanted.since, caller.now),
        until=instant("until", wanted.until, caller.now, is_end=True),
        only_failed=wanted.only_failed,
        after=after,
    )
    reply = await caller.change(partial(client.ask, request=replay_to_json(request)))
    replayed = replayed_from_json(reply)
    more = replayed.more
    goes_on = None if more is None else seal(caller, [more], about=about)
    return answer({"changed": replayed.changed, "next": goes_on})


@router.get("/webhooks/{webhook}/deliveries", response_model=shapes.Deliveries)
async def deliveries(webhook: _Id, params: Annotated[Params, Query()], caller: _Admin) -> Response:
    """List what was sent to a webhook or waits for it, the latest events first."""
    found = await _find(caller, webhook)
    key, is_back = place_in(caller, params.cursor)
    where = {"after" if is_back else "before": None if key is None else int(key[0])}
    query = DeliveryQuery(
        endpoint=found.id, states=tuple(params.state or ()), limit=params.limit + 1, **where
    )
    rows = await caller.ask(lambda view: view.outbox.deliveries(query))
    part = part_of(rows, params.limit, _number_of, is_first=key is None, is_back=is_back)
    return page_of_keys(caller, "deliveries", [delivery_fields(each) for each in part.rows], part)


def _number_of(row: DeliveryRow) -> int:
    return row.number


async def _find(caller: Caller, number: int) -> Endpoint:
    found = await caller.ask(lambda view: view.outbox.endpoints())
    for each in found:
        if each.id == number:
            return each
    raise _none()


async def _ask(caller: Caller, request: Message) -> dict[str, Any]:
    reply: dict[str, Any] = await caller.change(partial(client.ask, request=request))
    if reply.get("done") is not True:
        raise _none()
    return reply


def _number(webhook_id: str) -> int:
    number = number_in(webhook_id)
    if number is None:
        raise wrong("delivery", "it is no id of a delivery", "`id` of /deliveries; a test has none")
    return number


def _none() -> Problem:
    return Problem(404, "there is no such webhook")

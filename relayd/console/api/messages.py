"""One message: every recipient, what each waits for, and its history; sent anew, and its source."""

from dataclasses import asdict
from functools import partial
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from relayd.answers.recipients import fields, message_of, waits_for
from relayd.answers.status_line import status_line
from relayd.console.api.answers import answer
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.problems import Problem
from relayd.console.api.resource import resources
from relayd.console.api.shapes import messages as shapes
from relayd.control import client
from relayd.control.content import ContentRequest
from relayd.control.requeue import RequeueRequest
from relayd.mail.ids import MessageId, format_id, parse_id
from relayd.policy.console.roles import Scope
from relayd.ports import view as asked

router = resources("messages")
_Reader = Annotated[Caller, Depends(Needs(Scope.READ, own=True))]
_Operator = Annotated[Caller, Depends(Needs(Scope.OPERATE, own=True))]
_ContentReader = Annotated[Caller, Depends(Needs(Scope.CONTENT, own=True))]
SOURCE_LIMIT = 25 * 10**6  # octets


@router.get("/messages/{queue_id}", response_model=shapes.Message)
async def show(queue_id: str, caller: _Reader) -> Response:
    """Tell all about one message, as `relayd status show --json` does."""
    message_id = id_of(queue_id)
    rows, history = await caller.ask(partial(message_of, message_id=message_id))
    if not rows or not caller.sees(rows[0].auth_user):
        raise Problem(404, f"there is no message {format_id(message_id)}, or no longer")
    told = []
    for row in rows:
        own = [entry for entry in history if entry.recipient == row.recipient]
        lines = [status_line(entry, row.message_id, row, row.address) for entry in own]
        told.append({**fields(row), "waits_for": waits_for(row, own, caller.now), "history": lines})
    return answer({"queue_id": format_id(message_id), "recipients": told})


def id_of(queue_id: str) -> MessageId:
    """Read a queue id. Raises Problem."""
    try:
        return parse_id(queue_id)
    except ValueError as error:
        raise Problem(404, "that is no queue id") from error


class Again(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=1000, description="for the history")] = ""
    again: Annotated[bool, Field(description="also what was requeued before")] = False


class Source(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=1000, description="for the audit")]


@router.post("/messages/{queue_id}/requeue", response_model=shapes.Requeued)
async def requeue(queue_id: str, wanted: Again, caller: _Operator) -> Response:
    """Make new messages of the recipients that bounced, as `relayd queue requeue` does."""
    request = RequeueRequest(
        query=asked.Query(message_id=id_of(queue_id)), reason=wanted.reason, again=wanted.again
    )
    done = await caller.change(partial(client.requeue, request=request))
    if not done.counts.matched:
        raise Problem(404, "there is no such message, or no recipient of it has bounced")
    made = {str(each.detail["requeued_as"]) for each in done.events if "requeued_as" in each.detail}
    return answer({**asdict(done.counts), "queue_ids": sorted(made)})


@router.get(
    "/messages/{queue_id}/source",
    response_class=Response,
    responses={200: {"description": "as received", "content": {"message/rfc822": {}}}},
)
async def source(
    queue_id: str, params: Annotated[Source, Query()], caller: _ContentReader
) -> Response:
    """Give the message as it was received, up to 25 MB. That is on record first."""
    message_id = id_of(queue_id)
    request = ContentRequest(message_id=message_id, reason=params.reason)
    parts: list[bytes] = []
    if not await caller.change(
        partial(client.content, request=request, write=partial(_keep, parts))
    ):
        raise Problem(404, "there is no such message, or its content is no longer kept")
    return Response(b"".join(parts), media_type="message/rfc822")


def _keep(parts: list[bytes], part: bytes) -> None:
    parts.append(part)
    if sum(map(len, parts)) > SOURCE_LIMIT:
        raise Problem(413, "the message is larger than 25 MB: relayd queue cat gives it")

"""One message: every recipient, what each waits for, and its history."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import Depends
from starlette.responses import Response

from relayd.answers.recipients import fields, recipients_of, waits_for
from relayd.answers.status_line import status_line
from relayd.console.api import shapes
from relayd.console.api.answers import answer
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.problems import Problem
from relayd.console.api.resource import resources
from relayd.mail.ids import MessageId, format_id, parse_id
from relayd.policy.console.roles import Scope
from relayd.ports.view import HistoryEntry, QueueView, RecipientRow

router = resources("messages")
_Reader = Annotated[Caller, Depends(Needs(Scope.READ, own=True))]


@router.get("/messages/{queue_id}", response_model=shapes.Message)
async def show(queue_id: str, caller: _Reader) -> Response:
    """Tell all about one message, as `relayd status show --json` does."""
    message_id = id_of(queue_id)
    rows, history = await caller.ask(partial(_read, message_id))
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


def _read(
    message_id: MessageId, view: QueueView
) -> tuple[Sequence[RecipientRow], Sequence[HistoryEntry]]:
    return recipients_of(view, message_id), view.history(message_id)

"""One message: every recipient, what each waits for, its history, and what can be done about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response

from relayd.answers.recipients import message_of, waits_for
from relayd.console.asked import Asked
from relayd.control import client
from relayd.control.content import ContentRequest
from relayd.control.requeue import RequeueRequest
from relayd.mail.ids import MessageId, format_id, parse_id
from relayd.mail.operator import ACTS, Action
from relayd.mail.outcome import RecipientState
from relayd.ports.view import UNFINISHED, HistoryEntry, Query, RecipientRow, Status

_STATES = {
    Status.QUEUED: RecipientState.QUEUED,
    Status.DEFERRED: RecipientState.QUEUED,
    Status.HELD: RecipientState.HELD,
}
SOURCE_LIMIT = 25 * 10**6  # octets


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the page tells of one recipient."""

    row: RecipientRow
    waits_for: str
    history: Sequence[HistoryEntry]
    actions: Sequence[Action]  # that apply to it now

    @property
    def is_final(self) -> bool:
        return self.row.status not in UNFINISHED

    @property
    def key(self) -> str:
        return f"{format_id(self.row.message_id)}.{self.row.recipient}"


async def show(asked: Asked) -> Response:
    """The page itself."""
    message_id = _message_id(asked)
    rows, history = await asked.ask(partial(message_of, message_id=message_id))
    if not rows:
        raise HTTPException(404, f"There is no message {format_id(message_id)}, or no longer.")
    told = []
    for row in rows:
        own = [entry for entry in history if entry.recipient == row.recipient]
        told.append(
            Told(
                row=row,
                waits_for=waits_for(row, own, asked.now),
                history=own,
                actions=_actions(row),
            )
        )
    return asked.page(
        "message.html",
        id=format_id(message_id),
        first=rows[0],
        told=told,
        has_bounced=any(row.status is Status.BOUNCED for row in rows),
        keeps_bounced=bool(asked.console.settings.store.keep_bounced),
    )


async def requeue(asked: Asked) -> Response:
    """Make new messages of the recipients that bounced."""
    message_id = _message_id(asked)
    request = RequeueRequest(
        query=Query(message_id=message_id), reason=asked.needed("reason", "a reason")
    )
    answer = await asked.change(partial(client.requeue, request=request))
    if not answer.counts.changed:
        raise HTTPException(
            409,
            "Nothing was requeued: the content is no longer kept, the address is suppressed, or it was requeued before.",
        )
    here = f"/messages/{format_id(message_id)}"
    return asked.done(here, QueryParams(), "requeue", answer.counts.changed)


async def source(asked: Asked) -> Response:
    """The message as it was received, for those who may read content; that is on record first."""
    message_id = _message_id(asked)
    request = ContentRequest(message_id=message_id, reason=asked.needed("reason", "a reason"))
    parts: list[bytes] = []
    is_there = await asked.change(
        partial(client.content, request=request, write=partial(_keep, parts))
    )
    if not is_there:
        raise HTTPException(404, "The content is no longer kept.")
    name = f"{format_id(message_id)}.eml"
    return Response(
        b"".join(parts),
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
        media_type="application/octet-stream",
    )


def _keep(parts: list[bytes], part: bytes) -> None:
    parts.append(part)
    if sum(map(len, parts)) > SOURCE_LIMIT:
        raise HTTPException(413, "The message is larger than 25 MB: relayd queue cat gives it.")


def _message_id(asked: Asked) -> MessageId:
    try:
        return parse_id(str(asked.request.path_params["queue_id"]))
    except ValueError as wrong:
        raise HTTPException(404, "That is no queue id.") from wrong


def _actions(row: RecipientRow) -> Sequence[Action]:
    state = _STATES.get(row.status)
    return [
        action
        for action, act in ACTS.items()
        if state in act.applies_to and not (act.spares_leased and row.leased)
    ]

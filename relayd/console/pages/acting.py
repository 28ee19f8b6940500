"""Hold, release, try now, bounce and drop: on what is selected, and on all that match.

The daemon does it, for the account that asks. Nothing happens to all that match before somebody has seen how
many those are. What cannot be undone needs a reason.
"""

from dataclasses import replace
from functools import partial

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response

from relayd.console.asked import Asked
from relayd.console.filters import read_count, read_filters, read_place
from relayd.control import client
from relayd.control.acts import ActAnswer, ActRequest
from relayd.mail.ids import format_id
from relayd.mail.operator import Action
from relayd.ports.view import Place, Query

AT_ONCE = 10_000
_FINAL = frozenset({Action.BOUNCE, Action.DROP})


async def act(asked: Asked) -> Response:
    """Act on the selected rows, or lead to the page that asks whether all are meant."""
    action, back = _action(asked), asked.text("back")
    if asked.text("all"):
        return await _confirm(asked, action, back)
    reason = _reason(asked, action)
    rows = asked.texts("row")
    if not rows:
        raise HTTPException(400, "nothing is selected")
    queries = [await _query_of(asked, row) for row in rows]
    changed = 0
    for query in queries:
        answer = await _ask(asked, ActRequest(query=query, action=action, reason=reason))
        changed += answer.changed
    path, params = "/messages", QueryParams(back.lstrip("?"))
    if asked.text("single"):  # from the page of its message
        path, params = f"/messages/{rows[0].partition('.')[0]}", QueryParams()
    return asked.done(path, params, action.value, changed)


async def act_on_all(asked: Asked) -> Response:
    """Act on a batch of all that match; where there are more, ask to go on."""
    action, back = _action(asked), asked.text("back")
    reason = asked.needed("reason", "a reason")
    query, is_all = _matching(asked, back)
    before = read_place(asked.text("before")) if asked.text("before") else None
    answer = await _ask(
        asked,
        ActRequest(
            query=query,
            action=action,
            reason=reason,
            everything=is_all,
            limit=AT_ONCE,
            before=before,
        ),
    )
    changed = read_count(asked.text("changed")) + answer.changed
    if answer.more is None:
        return asked.done("/messages", QueryParams(back.lstrip("?")), action.value, changed)
    return asked.page(
        "act_more.html",
        action=action,
        back=back,
        reason=reason,
        changed=changed,
        more=_written(answer.more),
    )


async def _confirm(asked: Asked, action: Action, back: str) -> Response:
    query, is_all = _matching(asked, back)
    foreseen = await _ask(
        asked, ActRequest(query=query, action=action, everything=is_all, dry_run=True)
    )
    return asked.page(
        "act_all.html",
        action=action,
        back=back,
        reason=asked.text("reason"),
        foreseen=foreseen,
        filters=read_filters(QueryParams(back.lstrip("?")), asked.now),
        is_final=action in _FINAL,
    )


def _action(asked: Asked) -> Action:
    try:
        return Action(asked.text("action"))
    except ValueError as unknown:
        raise HTTPException(400, "there is no such action") from unknown


def _reason(asked: Asked, action: Action) -> str:
    return asked.needed("reason", "a reason") if action in _FINAL else asked.text("reason")


def _matching(asked: Asked, back: str) -> tuple[Query, bool]:
    """Return the query of a page, for what still waits, and whether that is all mail."""
    filters = read_filters(QueryParams(back.lstrip("?")), asked.now)
    if filters.mistakes:
        raise HTTPException(400, "; ".join(filters.mistakes))
    return replace(filters.query, unfinished=True), filters.query == Query()


async def _query_of(asked: Asked, row: str) -> Query:
    """Return what selects one row of a page: a message's recipient by its address."""
    place = read_place(row)
    if place is None:
        raise HTTPException(400, f"{row!r} names no recipient")
    message_id, number = place
    of_message = Query(message_id=message_id)
    rows = await asked.ask(lambda view: view.find(of_message, limit=1, back_from=place))
    if not rows or rows[0].recipient != number:
        raise HTTPException(404, f"there is no recipient {row}")
    return replace(of_message, recipient=(rows[0].address,))


async def _ask(asked: Asked, request: ActRequest) -> ActAnswer:
    return await asked.change(partial(client.act, request=request))


def _written(place: Place) -> str:
    return f"{format_id(place[0])}.{place[1]}"

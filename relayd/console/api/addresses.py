"""Recipient addresses: what became of mail to them, and which are suppressed."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field
from starlette.responses import Response

from relayd.answers.addresses import fields
from relayd.console.api.answers import Paged, Place, answer, page_of_keys, place_in
from relayd.console.api.caller import Caller, Needs
from relayd.console.api.filters import Text, Texts, bare_address
from relayd.console.api.problems import Problem, wrong
from relayd.console.api.resource import resources
from relayd.console.api.shapes import addresses as shapes
from relayd.console.paging import Part, part_of
from relayd.policy.console.roles import Scope
from relayd.ports import view as asked
from relayd.ports.view import AddressRow, QueueView, Status

router = resources("addresses")
_Reader = Annotated[Caller, Depends(Needs(Scope.READ))]


class Params(Paged):
    rcpt: Texts = None
    domain: Texts = None
    status: Annotated[list[Status] | None, Field(min_length=1, max_length=20)] = None
    suppressed: Annotated[
        bool, Field(description="all that are suppressed, page by page; takes no other filter")
    ] = False


@router.get("/addresses", response_model=shapes.Addresses)
async def find(params: Annotated[Params, Query()], caller: _Reader) -> Response:
    """List addresses with mail that matches, the newest first; or all that are suppressed, by domain.

    Without `suppressed` it is one page: `since` says how far back mail was looked at.
    """
    if params.suppressed:
        return await _suppressed(params, caller)
    if params.cursor:
        raise wrong("cursor", "is for suppressed=true only")
    query = asked.Query(
        recipient=tuple(map(bare_address, params.rcpt or ())),
        domain=tuple(each.removeprefix("@") for each in params.domain or ()),
        status=tuple(params.status or ()),
    )
    found = await caller.ask(lambda view: view.recent_addresses(query, limit=params.limit))
    told = [fields(row) for row in found.rows]
    return answer({"addresses": told, "since": found.since, "prev": None, "next": None})


@router.get("/addresses/{rcpt:address}", response_model=shapes.Address)
async def show(rcpt: Text, caller: _Reader) -> Response:
    """Tell what became of mail to one address; what it was is in /recipients."""
    query = asked.Query(recipient=(bare_address(rcpt),))
    rows = await caller.ask(lambda view: view.addresses(query, limit=1))
    if not rows:
        raise Problem(404, "no mail of the history went there, and it is not suppressed")
    return answer(fields(rows[0]))


async def _suppressed(params: Params, caller: Caller) -> Response:
    if params.rcpt or params.domain or params.status:
        raise wrong("suppressed", "takes no other filter")
    place = place_in(caller, params.cursor)
    part, rows = await caller.ask(partial(_page_of_suppressed, place, params.limit))
    return page_of_keys(caller, "addresses", [fields(row) for row in rows], part)


def _page_of_suppressed(
    place: Place, limit: int, view: QueueView
) -> tuple[Part[str, str], Sequence[AddressRow]]:
    known = "" if place.key is None else str(place.key[0])
    addresses = _suppressed_addresses(view, known, limit + 1, is_back=place.is_back)
    part = part_of(addresses, limit, str, is_first=place.key is None, is_back=place.is_back)
    rows = view.addresses(asked.Query(recipient=tuple(part.rows)), limit=limit) if part.rows else ()
    return part, rows


def _suppressed_addresses(
    view: QueueView, known: str, limit: int, *, is_back: bool
) -> Sequence[str]:
    """Return the suppressed addresses beside one, at least `limit` of them if there are as many."""
    addresses: list[str] = []
    while len(addresses) < limit:
        where = {"ahead_of" if is_back else "after": known}
        found = [each.address for each in view.suppressions(limit=limit, **where)]
        if not found:
            break
        known = found[0 if is_back else -1]
        more = list(dict.fromkeys(found))
        addresses = more + addresses if is_back else addresses + more
    return addresses

"""Addresses: what bounced lately, who is suppressed and why; one address and all its mail."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from relayd.answers.csv_lines import csv_line
from relayd.answers.suppressions import COLUMNS, csv_cells
from relayd.console.asked import Asked
from relayd.console.filters import read_count
from relayd.console.pages.messages import Row
from relayd.console.suppression_lists import all_suppressions
from relayd.control import client
from relayd.mail.address import PathError, parse_address
from relayd.mail.ids import format_id
from relayd.mail.suppression import ToSuppress
from relayd.ports.view import AddressRow, Query, QueueView, RecipientRow, Status

_PAGE = 50
_MOST = 200
_MESSAGES = 50  # of one address
_SHOWN = ("bounced", "all", "suppressed")


@dataclass(frozen=True, slots=True, kw_only=True)
class OneAddress:
    """What the store knows of one."""

    row: AddressRow
    messages: Sequence[RecipientRow]


async def show(asked: Asked) -> Response:
    """List addresses: without a filter, those whose mail bounced last."""
    text = asked.params.get("q", "").strip()
    wanted = asked.params.get("show", "all" if text else _SHOWN[0])
    limit = min(read_count(asked.params.get("limit", "")) or _PAGE, _MOST)
    after = asked.params.get("after", "")
    if wanted == "suppressed" and not text:
        rows, following = await asked.ask(partial(_suppressed, after, _PAGE))
        since = None
    else:
        status = (Status.BOUNCED,) if wanted == "bounced" else ()
        found, since = await asked.ask(
            lambda view: view.recent_addresses(_query_of(text, status), limit=limit + 1)
        )
        rows, following = found[:limit], ""
        if wanted == "suppressed":
            rows = [row for row in rows if row.suppress]
        if len(found) > limit and limit < _MOST:
            following = "more"
    return asked.page(
        "addresses.html",
        rows=rows,
        text=text,
        wanted=wanted,
        shown=_SHOWN,
        following=following,
        since=since,
        limit=_MOST,
    )


async def show_one(asked: Asked) -> Response:
    """Everything about one address."""
    address = asked.request.path_params["rcpt"]
    found = await asked.ask(_one(address))
    return asked.page(
        "address.html",
        address=address,
        row=found.row if found is not None else None,
        messages=[Row(format_id(row.message_id), row) for row in found.messages] if found else [],
        by_bounce=lambda each: "" if each.message_id is None else format_id(each.message_id),
    )


async def suppress(asked: Asked) -> Response:
    """Suppress an address, for all mail or for that of one sender."""
    address, sender = _address(asked.needed("rcpt", "the address")), asked.text("sender")
    wanted = ToSuppress(
        address=address,
        scope=_address(sender) if sender else "",
        reason=asked.needed("reason", "a reason"),
    )
    new = await asked.change(partial(client.suppress, wanted=[wanted]))
    return asked.done(f"/addresses/{address}", QueryParams(), "suppress", sum(new))


async def unsuppress(asked: Asked) -> Response:
    """Forget what speaks against an address."""
    address = _address(asked.needed("rcpt", "the address"))
    changed = await asked.change(partial(client.unsuppress, address=address))
    return asked.done(f"/addresses/{address}", QueryParams(), "unsuppress", int(changed))


async def export(asked: Asked) -> Response:
    """All suppressed addresses, as `relayd addresses export` gives them."""
    headers = {"Content-Disposition": 'attachment; filename="suppressed.csv"'}
    return StreamingResponse(_lines(asked), 200, headers, "text/csv; charset=utf-8")


async def _lines(asked: Asked) -> AsyncIterator[str]:
    yield csv_line(COLUMNS)
    async for found in all_suppressions(asked.ask):
        yield "".join(csv_line(csv_cells(each)) for each in found)


def _suppressed(after: str, limit: int, view: QueueView) -> tuple[Sequence[AddressRow], str]:
    """Return suppressed addresses by domain, and where the next page begins; empty: nowhere."""
    page = view.suppressions(after=after, limit=limit)
    addresses = tuple(dict.fromkeys(each.address for each in page))
    if not addresses:
        return (), ""
    rows = view.addresses(Query(recipient=addresses), limit=len(addresses))
    return rows, addresses[-1] if len(page) >= limit else ""


def _one(address: str) -> Callable[[QueueView], OneAddress | None]:
    query = Query(recipient=(address,))

    def ask(view: QueueView) -> OneAddress | None:
        rows = view.addresses(query, limit=1)
        if not rows:
            return None
        return OneAddress(row=rows[0], messages=view.find(query, limit=_MESSAGES))

    return ask


def _query_of(text: str, status: tuple[Status, ...]) -> Query:
    if not text:
        return Query(status=status)
    if "@" in text[1:]:
        return Query(recipient=(text,), status=status)
    return Query(domain=(text.removeprefix("@"),), status=status)


def _address(text: str) -> str:
    try:
        return str(parse_address(text))
    except PathError as error:
        raise HTTPException(400, f"{text!r} is no address: {error}") from error

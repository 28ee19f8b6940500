"""The audit: who did what by the console, from where, on what, and why."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial

from starlette.datastructures import QueryParams
from starlette.responses import Response, StreamingResponse

from relayd.answers import when
from relayd.answers.csv_lines import csv_line
from relayd.answers.people import AUDIT_FIELDS, audit_fields
from relayd.console.asked import Asked
from relayd.console.paging import Part, page_of
from relayd.ports.people import AuditEntry, AuditQuery
from relayd.ports.view import QueueView

_PAGE = 50
_EXPORTED = 500
_TEXTS = ("by", "action", "target")


async def show(asked: Asked) -> Response:
    """The page itself."""
    query, mistakes = _query(asked)
    part: Part[AuditEntry, int] = Part((), None, None)
    if not mistakes:
        part = await asked.ask(partial(_part, query, asked.number("before"), asked.number("after")))
    return asked.page("audit.html", part=part, mistakes=mistakes, given=_given(asked.params))


def _part(
    query: AuditQuery, before: int | None, after: int | None, view: QueueView
) -> Part[AuditEntry, int]:
    ask = partial(view.people.audit, query, limit=_PAGE + 1)
    return page_of(ask, _PAGE, lambda entry: entry.number, before=before, after=after)


async def export(asked: Asked) -> Response:
    """All rows that match, as CSV."""
    query, mistakes = _query(asked)
    if mistakes:
        return asked.see("/audit", asked.params)
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    return StreamingResponse(_lines(asked, query), 200, headers, "text/csv; charset=utf-8")


async def _lines(asked: Asked, query: AuditQuery) -> AsyncIterator[str]:
    yield csv_line(AUDIT_FIELDS)
    before: int | None = None
    while True:
        page = await asked.ask(partial(_page, query, before))
        yield "".join(csv_line(audit_fields(each).values()) for each in page)
        if len(page) < _EXPORTED:
            return
        before = page[-1].number


def _page(query: AuditQuery, before: int | None, view: QueueView) -> Sequence[AuditEntry]:
    return view.people.audit(query, limit=_EXPORTED, before=before)


def _given(params: QueryParams) -> dict[str, str]:
    names = (*_TEXTS, "since", "until")
    return {name: params[name].strip() for name in names if params.get(name, "").strip()}


def _query(asked: Asked) -> tuple[AuditQuery, list[str]]:
    """Return what is asked for, and what of it cannot be read."""
    given, mistakes = _given(asked.params), []
    instants: dict[str, datetime | None] = {"since": None, "until": None}
    for name in instants:
        if name in given:
            try:
                instants[name] = when.parse_instant(
                    given[name], asked.now, zone=UTC, is_end=name == "until"
                )
            except (ValueError, OverflowError):
                mistakes.append(f"{name}: {given[name]!r} is none of {when.FORMS}")
    texts = {name: given.get(name, "") for name in _TEXTS}
    return AuditQuery(**texts, since=instants["since"], until=instants["until"]), mistakes

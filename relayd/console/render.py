"""Pages from templates: escaped always, with the words and numbers of `relayd.console.text`.

A template gets what its page tells, and from here what all pages have: who asks, the token of forms, where we
are, the notices above, light or dark. What rows repeat is in `relayd.console.marks`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse

import relayd
from relayd.answers.recipients import why
from relayd.console import guard, marks, text
from relayd.console.changed import remembered
from relayd.console.links import links
from relayd.console.templating import templates_in
from relayd.console.visitor import Visitor

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "relayd_theme"
DONE: Mapping[str, str] = {
    "hold": "Held: {count}.",
    "release": "Released: {count}.",
    "expedite": "To be tried now: {count}.",
    "bounce": "Bounced: {count}.",
    "drop": "Dropped: {count}.",
    "requeue": "Requeued as new messages: {count} recipients.",
    "suppress": "Suppressed: {count}.",
    "unsuppress": "No longer suppressed: {count}.",
    "user_added": "Users added: {count}.",
    "user_changed": "Changed. Sessions of this account have ended.",
    "password_changed": "Your password is changed. Your other sessions have ended.",
    "user_removed": "Users removed: {count}.",
    "key_changed": "The key is changed.",
    "key_removed": "Keys removed: {count}.",
    "webhook_changed": "Changed.",
    "webhook_tested": "A test is on its way: this page shows what the receiver answers.",
    "webhook_replayed": "To be sent again: {count}.",
    "webhook_removed": "Webhooks removed: {count}.",
    "test_mail": "Sent. This page shows what becomes of it.",
    "signed_out": "Signed out everywhere.",
}
"""What a page says after a form has done something; the address of a page has the word and the number only."""
_HERE = Path(__file__).parent
STATIC = _HERE / "static"


class Renderer:
    """Writes pages."""

    def __init__(self, *, fqdn: Callable[[], str], now: Callable[[], datetime]) -> None:
        self._now = now
        self._fqdn = fqdn
        self._templates = templates_in(_HERE / "templates")
        self._templates.globals |= {
            "_": text.translated,
            "links": links,
            "version": relayd.__version__,
            "with_query": with_query,
        }
        times = marks.Times(now)
        filters: dict[str, Callable[..., str]] = {
            "instant": text.instant,
            "written": text.written,
            "iso": text.iso,
            "ago": times.ago,
            "time": times.time,
            "since": times.since,
            "status": marks.status,
            "address": marks.address,
            "act_on": marks.act_on,
            "quoted": marks.quoted,
            "cell": marks.cell,
            "length": text.length,
            "number": text.number,
            "octets": text.octets,
            "percent": text.percent,
            "shown": text.shown,
            "why": lambda row: text.shown(why(row)),
            "command": text.command,
        }
        self._templates.filters |= filters

    def page(
        self,
        request: Request,
        template: str,
        visitor: Visitor | None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> HTMLResponse:
        """Return a page; `values` are what its template is about."""
        theme = request.cookies.get(THEME_COOKIE, "")
        written = self._templates.get_template(template).render(
            visitor=visitor,
            token=_field_of(visitor),
            fqdn=self._fqdn(),
            here=request.url.path,
            query=request.query_params,
            theme=theme if theme in THEMES else "auto",
            now=self._now(),
            done=_done(request.query_params),
            updated=remembered(request),
            **values,
        )
        return HTMLResponse(written, status, headers)


def _field_of(visitor: Visitor | None) -> Markup:
    """Return what each form carries of its session; nothing where nobody is logged in."""
    if visitor is None:
        return Markup()
    return marks.field(guard.TOKEN_FIELD, visitor.token)


def _done(query: QueryParams) -> str:
    sentence, count = DONE.get(query.get("done", "")), query.get("count", "")
    if sentence is None or not count.isdecimal():
        return ""
    return text.translated(sentence).format(count=text.number(int(count[:9])))


def with_query(query: QueryParams, **changes: object) -> str:
    """Return a query string with some of its values changed; None takes one out."""
    kept = [
        (name, value)
        for name, value in query.multi_items()
        if name not in {*changes, "done", "count"}
    ]
    added = [(name, str(value)) for name, value in changes.items() if value is not None]
    return "?" + urlencode(kept + added)

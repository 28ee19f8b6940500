"""Logging in and out, the colours, and whether the console is well."""

from urllib.parse import urlencode

from starlette.responses import JSONResponse, RedirectResponse, Response

from relayd.console import guard, oidc
from relayd.console.asked import Asked
from relayd.console.render import THEME_COOKIE, THEMES
from relayd.console.sessions import NotLoggedIn

LANDED = "landed"  # in the query: a session has just begun
LEFT = "left"  # in the query: somebody has just logged out
_YEAR = 365 * 24 * 3600
_NO_COOKIE = (
    "Your browser did not keep the cookie of the session. It does by HTTPS, or as http://localhost."
)


async def health(asked: Asked) -> Response:  # noqa: ARG001 -- as all pages
    """Say that the console answers; of the relay it tells nobody anything."""
    return JSONResponse({"status": "ok"})


async def show_login(asked: Asked) -> Response:
    """Show the form; or let in at once whom the proxy names, unless somebody has just left."""
    wanted = asked.params.get("next", "")
    if asked.visitor is not None:
        return RedirectResponse(own_path(wanted), 303)
    if LANDED in asked.params:
        return login_page(asked, wanted=wanted, problem=_NO_COOKIE, status=403)
    name = asked.console.proxy.name_told(asked.request)
    if name is None or LEFT in asked.params:
        return login_page(asked, wanted=wanted, known=name or "")
    try:
        token = await asked.console.sessions.let_in(name, asked.client)
    except NotLoggedIn as refused:
        return login_page(asked, wanted=wanted, problem=str(refused), status=403)
    return landed(asked, wanted, token)


async def log_in(asked: Asked) -> Response:
    """Open a session, in a cookie that no script and no other site can use."""
    name, password = asked.text("name"), str(asked.form.get("password", ""))
    wanted = asked.text("next")
    try:
        token = await asked.console.sessions.log_in(name, password, asked.client)
    except NotLoggedIn as refused:
        return login_page(asked, wanted=wanted, name=name, problem=str(refused), status=403)
    answer = RedirectResponse(own_path(wanted), 303)
    asked.console.sessions.set_cookie(answer, asked.request, token)
    return answer


async def log_out(asked: Asked) -> Response:
    await asked.console.sessions.log_out(asked.who, asked.client)
    answer = RedirectResponse(f"/login?{LEFT}=1", 303)
    asked.console.sessions.delete_cookie(answer, asked.request)
    return answer


async def set_theme(asked: Asked) -> Response:
    """Remember light, dark, or as the system."""
    answer = RedirectResponse(own_path(asked.text("back")), 303)
    theme = asked.text("theme")
    answer.set_cookie(
        THEME_COOKIE,
        theme if theme in THEMES else THEMES[0],
        max_age=_YEAR,
        secure=not guard.is_plain(asked.request),
        httponly=True,
        samesite="strict",
    )
    return answer


def landed(asked: Asked, wanted: str, token: str) -> Response:
    """Give the cookie of a new session, with a page of ours that leads on.

    A redirect would not do: after a link on another site, the browser sends a cookie of `SameSite=Strict`
    only with what a page of ours asks for. If it kept no cookie, the next page says so, and nothing goes round.
    """
    on = f"/login?{urlencode({LANDED: 1, 'next': own_path(wanted)})}"
    answer = asked.page("landed.html", on=on)
    asked.console.sessions.set_cookie(answer, asked.request, token)
    return answer


def login_page(
    asked: Asked,
    *,
    wanted: str,
    name: str = "",
    problem: str = "",
    known: str = "",
    status: int = 200,
) -> Response:
    """Return the form; `known` is whom the proxy names."""
    return asked.page(
        "login.html",
        status=status,
        next=own_path(wanted),
        name=name,
        problem=problem,
        known=known,
        issuer=oidc.issuer_of(asked.console.settings.console),
    )


def own_path(path: str) -> str:
    """Return a path of ours, whatever a link says: never another site's."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own and "\\" not in path else "/"

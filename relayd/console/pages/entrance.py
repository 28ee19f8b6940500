"""Logging in and out, the colours, and whether the console is well."""

from starlette.responses import JSONResponse, RedirectResponse, Response

from relayd.console import guard
from relayd.console.asked import Asked
from relayd.console.render import THEME_COOKIE, THEMES
from relayd.console.sessions import NotLoggedIn

_YEAR = 365 * 24 * 3600


async def health(asked: Asked) -> Response:  # noqa: ARG001 -- as all pages
    """Say that the console answers; of the relay it tells nobody anything."""
    return JSONResponse({"status": "ok"})


async def show_login(asked: Asked) -> Response:
    if asked.visitor is not None:
        return asked.see("/")
    return _login_page(asked, wanted=asked.params.get("next", ""))


async def log_in(asked: Asked) -> Response:
    """Open a session, in a cookie that no script and no other site can use."""
    name, password = asked.text("name"), str(asked.form.get("password", ""))
    wanted = asked.text("next")
    try:
        token = await asked.console.sessions.log_in(name, password, asked.client)
    except NotLoggedIn as refused:
        return _login_page(asked, wanted=wanted, name=name, problem=str(refused), status=403)
    answer = RedirectResponse(own_path(wanted), 303)
    asked.console.sessions.set_cookie(answer, asked.request, token)
    return answer


async def log_out(asked: Asked) -> Response:
    await asked.console.sessions.log_out(asked.who, asked.client)
    answer = RedirectResponse("/login", 303)
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


def _login_page(
    asked: Asked, *, wanted: str, name: str = "", problem: str = "", status: int = 200
) -> Response:
    return asked.page(
        "login.html", status=status, next=own_path(wanted), name=name, problem=problem
    )


def own_path(path: str) -> str:
    """Return a path of ours, whatever a link says: never another site's."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own and "\\" not in path else "/"

"""The password of one's own account, changed by those who know the old one.

All sessions of the account end with the old password. This browser gets a new one.
"""

from functools import partial

from starlette.datastructures import QueryParams
from starlette.responses import Response

from relayd.console.asked import Asked
from relayd.console.pages.users import new_hash, new_password
from relayd.console.sessions import NotLoggedIn
from relayd.control import client
from relayd.control.people import set_password_to_json


async def show(asked: Asked) -> Response:
    return asked.page("password.html", problem="")


async def change(asked: Asked) -> Response:
    """Check the old password, set the new one, and log in with that."""
    name, password, sessions = asked.who.name, new_password(asked), asked.console.sessions
    try:
        await sessions.check(name, str(asked.form.get("old", "")), asked.client)
    except NotLoggedIn as refused:
        return asked.page("password.html", status=403, problem=str(refused))
    hashed = await new_hash(asked)  # not before: it takes as long as a check, and that is bounded
    await asked.change(partial(client.ask, request=set_password_to_json(hashed)))
    try:
        token = await sessions.log_in(name, password, asked.client)
    except NotLoggedIn:
        return asked.see("/login")
    answer = asked.done("/password", QueryParams(), "password_changed")
    sessions.set_cookie(answer, asked.request, token)
    return answer

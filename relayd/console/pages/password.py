"""The password of one's own account, changed by those who know the old one.

All sessions of the account end with the old password. This browser gets a new one.
"""

from functools import partial

from starlette.datastructures import QueryParams
from starlette.responses import Response

from relayd.console.asked import Asked
from relayd.console.pages.users import new_password
from relayd.console.sessions import NotLoggedIn
from relayd.control import client
from relayd.control.log_ins import WRONG
from relayd.control.people import PASSWORD_LIMIT, NewPassword, set_password_to_json


async def show(asked: Asked) -> Response:
    return asked.page("password.html", problem="")


async def change(asked: Asked) -> Response:
    """Have the daemon check the old password and set the new one, and log in with that."""
    sessions, new = asked.console.sessions, new_password(asked)
    old = str(asked.form.get("old", ""))
    if len(old) > PASSWORD_LIMIT:
        return asked.page("password.html", status=403, problem=WRONG)
    request = set_password_to_json(NewPassword(old=old, new=new))
    found = await asked.change(partial(client.ask, request=request))
    if found.get("done") is not True:
        problem = str(found.get("why", "Your account is no longer there."))
        return asked.page("password.html", status=403, problem=problem)
    try:
        token = await sessions.log_in(asked.who.name, new, asked.client)
    except NotLoggedIn:
        return asked.see("/login")
    answer = asked.done("/password", QueryParams(), "password_changed")
    sessions.set_cookie(answer, asked.request, token)
    return answer

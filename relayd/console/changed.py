"""What this browser changed in the settings, kept in a cookie until its banner is dismissed.

Shown only, never believed: [Put back] is a change like any other, which the daemon judges.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

from starlette.requests import Request
from starlette.responses import Response

from relayd.console.guard import is_plain
from relayd.control.set_keys import KeyChanges, set_from_json, set_to_json

_COOKIE = "relayd_changed"
_LIMIT = 2048  # characters
_DAY = 86_400  # seconds


def remember(answer: Response, request: Request, changes: KeyChanges) -> None:
    """Have the browser show what was changed."""
    text = urlsafe_b64encode(json.dumps(set_to_json(changes)).encode()).decode()
    answer.set_cookie(
        _COOKIE,
        text,
        max_age=_DAY,
        secure=not is_plain(request),
        httponly=True,
        samesite="strict",
    )


def forget(answer: Response) -> None:
    answer.delete_cookie(_COOKIE)


def remembered(request: Request) -> KeyChanges:
    """Return what is to be shown; empty if nothing is."""
    try:
        text = request.cookies.get(_COOKIE, "")[:_LIMIT]
        return set_from_json(json.loads(urlsafe_b64decode(text.encode()))) if text else {}
    except (ValueError, RecursionError, AttributeError, TypeError):
        return {}

"""The links to all pages, which the head of each has: those that its visitor may see.

They are the same for all who have a role, so they are written once.
"""

from functools import cache

from markupsafe import Markup

from relayd.console.escaping import escaped, made
from relayd.console.text import translated
from relayd.policy.console.roles import Role, Scope, may, scopes_of

_PAGES = (  # path, word, who may see it, key after g
    ("/", "Overview", Scope.READ, "o"),
    ("/messages", "Messages", Scope.READ, "m"),
    ("/addresses", "Addresses", Scope.READ, "a"),
    ("/destinations", "Destinations", Scope.READ, "d"),
    ("/bounces", "Bounces", Scope.READ, "b"),
    ("/settings", "Settings", Scope.ADMIN, "s"),
    ("/doctor", "Doctor", Scope.READ, "h"),
    ("/test-mail", "Test mail", Scope.OPERATE, "t"),
    ("/users", "Users", Scope.ADMIN, "u"),
    ("/keys", "Keys", Scope.ADMIN, "k"),
    ("/webhooks", "Webhooks", Scope.ADMIN, "w"),
    ("/audit", "Audit", Scope.ADMIN, "l"),
)
_PATHS = frozenset(path for path, *_ in _PAGES)


def links(role: Role, here: str) -> Markup:
    """Return the items of the list, with that of the page at the path `here` marked."""
    current = f"/{here.split('/', 2)[1]}" if here.startswith("/") else ""
    return _links(role, current if current in _PATHS else "")


@cache
def _links(role: Role, current: str) -> Markup:
    held = scopes_of(role, reads_content=False)
    apart = {"/settings", "/users"} if may(held, Scope.ADMIN) else {"/doctor"}
    items = []
    for path, word, needs, key in _PAGES:
        if may(held, needs):
            kind = ' class="apart"' if path in apart else ""
            mark = ' aria-current="page"' if path == current else ""
            link = f'<a href="{path}" data-key="{key}"{mark}>{escaped(translated(word))}</a>'
            items.append(f"<li{kind}>{link}</li>\n")
    return made("".join(items))

"""Whether a request is meant for this console, and whether one of its own pages sent it.

A name that is not ours is refused (421): else a page elsewhere could have its name point here (DNS
rebinding). What changes something has to come from a page of ours, by the browser's word (Sec-Fetch-Site,
or Origin from older ones) and by a token that only our pages know.
"""

import hashlib
import hmac
from collections.abc import Collection

from starlette.exceptions import HTTPException
from starlette.requests import Request

from relayd.policy.intake.admit import address_of

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
TOKEN_FIELD = "token"  # noqa: S105 -- its name
SAFE = frozenset({"GET", "HEAD"})
_MISDIRECTED = 421


def check(request: Request, names: Collection[str]) -> None:
    """Raise HTTPException unless a request is well framed, for us, and of our own pages where it changes something.

    `names` as for `check_address`.
    """
    check_address(request, names)
    if request.method not in SAFE and not _is_of_our_page(request, request.headers["host"]):
        raise HTTPException(403, "this did not come from a page of the console")


def check_address(request: Request, names: Collection[str]) -> None:
    """Raise HTTPException unless a request is well framed and for us.

    `names`: the hosts that the console is known by, in lower case, besides loopback.
    """
    headers = request.headers
    if "content-length" in headers and "transfer-encoding" in headers:
        raise HTTPException(400, "the request has two lengths", {"Connection": "close"})
    hosts = headers.getlist("host")
    if len(hosts) != 1 or host_of(hosts[0]) not in LOOPBACK_NAMES | set(names):
        raise HTTPException(
            _MISDIRECTED, "the console is not known by this name: console.names has those it has"
        )


def host_of(header: str) -> str:
    """Return the host of a Host header, without its port, in lower case."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def is_plain(request: Request) -> bool:
    """Whether the browser is on this machine and speaks without TLS, as far as the name tells."""
    return host_of(request.headers.get("host", "")) in LOOPBACK_NAMES


def is_unix(request: Request) -> bool:
    """Tell by our own end, which is known for certain: a peer that has gone has no address either."""
    server = request.scope.get("server")
    return server is not None and server[1] is None


def client_of(request: Request) -> str:
    """Return the client's address; through a proxy's unix socket, the one that the proxy names.

    Empty if it is not known: of a peer on TCP that has gone, or where the proxy names none.
    """
    if not is_unix(request):
        return "" if request.client is None else request.client.host
    # Some proxies add a field of their own after those that the client wrote.
    named = ",".join(request.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
    try:
        return str(address_of(named))
    except ValueError:
        return ""


def token_of(secret: str) -> str:
    """Return the token of the forms that are shown to the holder of a session's secret."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()


def check_token(secret: str, given: str) -> None:
    """Raise HTTPException unless a form has the token of its session."""
    if not hmac.compare_digest(token_of(secret).encode(), given.encode("utf-8", "replace")):
        raise HTTPException(403, "the form is of another session: load the page again")


def _is_of_our_page(request: Request, host: str) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    _, _, origin = request.headers.get("origin", "").partition("://")
    return origin.lower() == host.strip().lower()

"""The headers that every answer has: what a browser may do with it.

No script, style or picture but our own files, no form to another place, no frame, nothing kept on a disk.
"""

from starlette.types import Message, Send

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


_FIELDS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


def with_headers(send: Send) -> Send:
    """Return a `send` that adds the headers to each answer, but for those that it has."""

    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))
            names = {name for name, _ in given}
            message["headers"] = given + [each for each in _FIELDS if each[0] not in names]
        await send(message)

    return add

"""For whom the console asks: what it adds to a request.

    {"verb": "act", ..., "as": {"session": "TOKEN", "client": "192.0.2.7"}}
    {"verb": "act", ..., "as": {"key": "rk_ID_SECRET", "client": "192.0.2.7"}}

`client` is the address of the browser or program, for the audit; it may be left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from relayd.control.protocol import BadMessage, Message, read_text, refuse_unknown
from relayd.mail.text import blanked

_CLIENT_LIMIT = 64  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Behalf:
    """Somebody for whom a request is made, by what they showed: a session's token, or a whole API key."""

    session: str = ""
    key: str = ""
    client: str = ""

    def __repr__(self) -> str:
        return f"Behalf(client={self.client!r})"


def with_behalf(request: Message, behalf: Behalf | None) -> Message:
    if behalf is None:
        return request
    given = {"session": behalf.session, "key": behalf.key, "client": behalf.client}
    return {**request, "as": {name: value for name, value in given.items() if value}}


def without_behalf(message: Mapping[str, object]) -> tuple[Message, Behalf | None]:
    """Take apart what is asked, and for whom. Raises BadMessage."""
    if "as" not in message:
        return message, None
    given = message["as"]
    if not isinstance(given, dict):
        raise BadMessage("'as' is not a JSON object")
    refuse_unknown(given, {"session", "key", "client"})
    if ("session" in given) == ("key" in given):
        raise BadMessage("'as' has not one of session and key")
    texts = {name: read_text(name, value, str) for name, value in given.items()}
    texts["client"] = blanked(texts.get("client", "")[:_CLIENT_LIMIT])
    return {key: value for key, value in message.items() if key != "as"}, Behalf(**texts)

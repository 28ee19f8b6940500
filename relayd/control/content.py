"""The messages of reading content: what is asked, and what is answered.

    {"verb": "content", "queue_id": "0CNA0NJ6E0401", "reason": "..."}
    {"ok": true, "gone": true}, when it is deleted; else
    {"ok": true}, then {"octets": NUMBER}, then so many octets

Who hangs up early has read what was sent. The event that says so is durable before the first octet.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from relayd.control.protocol import BadMessage, Message, encode, read_text, refuse_unknown
from relayd.mail.content import Content
from relayd.mail.ids import MessageId, format_id, parse_id

GONE: Message = {"ok": True, "gone": True}
_KEYS = frozenset({"verb", "queue_id", "reason"})
_PART = 256 * 1024  # octets held at once


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRequest:
    message_id: MessageId
    reason: str = ""


def content_to_json(request: ContentRequest) -> Message:
    return {
        "verb": "content",
        "queue_id": format_id(request.message_id),
        "reason": request.reason,
    }


def content_from_json(message: Message) -> ContentRequest:
    """Read such a request. Raises BadMessage."""
    refuse_unknown(message, _KEYS)
    return ContentRequest(
        message_id=read_text("queue_id", message.get("queue_id"), parse_id),
        reason=read_text("reason", message.get("reason", ""), str),
    )


def octets_from_json(answer: Mapping[str, object]) -> int:
    """Return how many octets follow. Raises BadMessage."""
    match answer:
        case {"octets": int(octets)} if octets >= 0:
            return octets
        case _:
            raise BadMessage("no number of octets")


class Parts:
    """Sends content a part at a time: `relayd.control.context.Lines`."""

    def __init__(self, content: Content) -> None:
        self._content = content

    async def send_to(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send it. Raises ContentLost, Shortage when its file cannot be read to the end."""
        loop, octets = asyncio.get_running_loop(), len(self._content)
        await send(encode({"octets": octets}))
        for begin in range(0, octets, _PART):
            part = slice(begin, begin + _PART)
            await send(await loop.run_in_executor(None, self._content.__getitem__, part))

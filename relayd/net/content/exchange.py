"""One question to a content checker, and all of its answer.

The content goes out in pieces. The connection goes to an address that was judged: loopback, or in
`allow_networks`, since a reader of it reads the mail (as S-26).
"""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address

from relayd.errors import DENIED, CheckerDown, ContentLost, Shortage, is_shortage
from relayd.mail.content import Content
from relayd.policy.delivery.address_filter import is_listed
from relayd.policy.intake.admit import is_this_machine
from relayd.settings import ContentSettings

ANSWER_LIMIT = 4 * 1024 * 1024  # octets
_PIECE = 64 * 1024  # octets


async def exchange(settings: ContentSettings, head: bytes, content: Content) -> bytes:
    """Send `head` and `content`; return everything up to the end of the connection. Raises CheckerDown."""
    try:
        reader, writer = await asyncio.open_connection(
            await _address(settings), settings.endpoint.port
        )
        try:
            writer.write(head)
            # Who has enough may answer, and hang up, before all of it is sent.
            with suppress(ConnectionError):
                for piece in _pieces(content):
                    writer.write(piece)
                    await writer.drain()
            return await _read(settings, reader)
        finally:
            writer.transport.abort()  # nothing is owed; a slow close would hold the session up
    except (ContentLost, Shortage) as error:
        raise CheckerDown(f"the content cannot be checked: {error}", is_ours=True) from error
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        if is_shortage(error) or error.errno in DENIED:
            where = f"{settings.endpoint.host} port {settings.endpoint.port}"
            message = f"no way from this machine to {where}: {reason}"
            raise CheckerDown(message, is_ours=True) from error
        raise CheckerDown(f"{settings.name}: {reason}") from error


async def _address(settings: ContentSettings) -> str:
    host = settings.endpoint.host
    with suppress(ValueError):
        return str(ip_address(host))  # the settings were judged by it
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, settings.endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise CheckerDown(f"{settings.name}: its name is not found") from None
    for *_, (ip, *_) in found:
        if is_this_machine(str(ip)) or is_listed(ip_address(ip), settings.allow_networks):
            return str(ip)
    raise CheckerDown(f"{settings.name}: its address is not in content.allow_networks")


def _pieces(content: Content) -> Iterator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]


async def _read(settings: ContentSettings, reader: asyncio.StreamReader) -> bytes:
    answer = bytearray()
    while piece := await reader.read(_PIECE):
        answer += piece
        if len(answer) > ANSWER_LIMIT:
            raise CheckerDown(f"{settings.name}: its answer is too long")
    return bytes(answer)

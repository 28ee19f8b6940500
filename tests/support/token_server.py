"""A token server for OAuth2, over TLS, that says what a test wants: tokens, refusals, nonsense, or nothing.

async with TokenServer(context, [granted("one"), refused("invalid_client")]) as server:
    ...
    assert server.forms[0]["grant_type"] == "client_credentials"
"""

import asyncio
import json
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

STALL = b""
"""In the place of an answer: none ever comes."""


def answer(
    body: bytes, *, status: int = 200, kind: str = "application/json", length: int | None = None
) -> bytes:
    """Return a whole answer; `length` is what it says of its body."""
    count = len(body) if length is None else length
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: {kind}\r\nContent-Length: {count}\r\n\r\n"
    return head.encode() + body


def granted(token: str, expires_in: object = 3600, **more: object) -> bytes:
    told = {"token_type": "Bearer", "access_token": token, "expires_in": expires_in, **more}
    return answer(json.dumps({name: value for name, value in told.items() if value != ""}).encode())


def refused(error: str, description: str = "", status: int = 400) -> bytes:
    told = {"error": error, "error_description": description}
    return answer(json.dumps(told).encode(), status=status)


class TokenServer:
    """Gives its answers in turn; the last one again and again."""

    def __init__(self, tls: ssl.SSLContext, answers: Sequence[bytes], *, port: int = 0) -> None:
        self.answers = list(answers)
        self.forms: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.port = port
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/token"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                int(line.partition(":")[2])
                for line in head.splitlines()
                if line.lower().startswith("content-length:")
            )
            body = (await reader.readexactly(length)).decode()
            self.paths.append(head.split()[1])
            self.forms.append(dict(parse_qsl(body, strict_parsing=True)))
            said = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
            if said == STALL:
                await asyncio.Event().wait()
            writer.write(said)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client hung up
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

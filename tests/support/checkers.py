"""A content checker that follows a script: a server on loopback that answers each question alike.

    async with FakeChecker(rspamd_says(7.5, {"BAYES_SPAM": 5.1})) as checker:
        ...                              # ask checker.endpoint
        assert checker.questions[0].content == ...

An answer is octets, or an `asyncio.Event` to wait for first. Without an answer it hangs up.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

from relayd.settings import (
    CheckerKind,
    ContentRules,
    ContentSettings,
    HostPort,
    Network,
    WhenDown,
)

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


def rspamd_says(score: float, symbols: Mapping[str, float] | None = None) -> bytes:
    """The answer of rspamd with that score."""
    found = {
        name: {"name": name, "score": weight, "description": f"about {name}"}
        for name, weight in (symbols or {}).items()
    }
    answer = {"score": score, "required_score": 15.0, "action": "no action", "symbols": found}
    return http_says(json.dumps(answer).encode())


def http_says(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def spamd_says(score: float, rules: Mapping[str, float] | None = None) -> bytes:
    """The answer of spamd with that score."""
    table = "".join(
        f"{weight:4.1f} {name:<22} about {name}\n" for name, weight in (rules or {}).items()
    )
    report = (
        f"Content analysis details:   ({score} points, 5.0 required)\n\n"
        " pts rule name              description\n"
        "---- ---------------------- --------------------------------------------------\n"
        f"{table}\n\n"
    ).encode()
    spam = f"Spam: {score >= 5} ; {score} / 5.0"
    head = f"SPAMD/1.1 0 EX_OK\r\nContent-length: {len(report)}\r\n{spam}\r\n\r\n"
    return head.encode() + report


@dataclass(frozen=True, slots=True)
class Question:
    head: str
    content: bytes


class FakeChecker:
    """One server; `answer` and `gate` may be changed while it runs."""

    def __init__(self, answer: bytes = b"", *, port: int = 0) -> None:
        self.answer = answer
        self.gate: asyncio.Event | None = None  # answers wait for it
        self.questions: list[Question] = []
        self.asking = 0  # connections that wait for an answer now
        self.most = 0  # of these, at once
        self._port = port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Be down; everybody who waits is let go."""
        if self.gate is not None:
            self.gate.set()
        self._server.close()
        await self._server.wait_closed()

    @property
    def endpoint(self) -> HostPort:
        return HostPort(host="127.0.0.1", port=self._port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asking += 1
        self.most = max(self.most, self.asking)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            assert length is not None, head
            content = await reader.readexactly(int(length[1]))
            self.questions.append(Question(head.decode(), content))
            if self.gate is not None:
                await self.gate.wait()
            writer.write(self.answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked has lost told_of_waiting
        finally:
            self.asking -= 1
            writer.close()


def content_settings(
    endpoint: HostPort,
    *,
    kind: CheckerKind = CheckerKind.RSPAMD,
    tag: float | None = 6.0,
    hold: float | None = 10.0,
    refuse: float | None = 15.0,
    when_down: WhenDown = WhenDown.ACCEPT,
    size_limit: int = 1_000_000,
    timeout: float = 10.0,
    allow_networks: tuple[Network, ...] = (),
) -> ContentSettings:
    return ContentSettings(
        kind=kind,
        endpoint=endpoint,
        allow_networks=allow_networks,
        timeout=timedelta(seconds=timeout),
        rules=ContentRules(
            tag=tag, hold=hold, refuse=refuse, when_down=when_down, size_limit=size_limit
        ),
    )

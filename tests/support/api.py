"""A program that asks the HTTP API of a console with a key."""

import asyncio
import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relayd.policy.console.roles import Scope
from relayd.ports.people import Sees
from relayd.settings import ListenerAuth
from tests.support.console import Console
from tests.support.people import ROOT, a_key, a_key_text
from tests.support.receiving import Options, Reception, receiving

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True, kw_only=True)
class Program:
    """Keys of one console, made as they are needed."""

    console: Console
    keys: dict[str, str] = field(default_factory=dict)

    def key(self, *scopes: Scope, sees: Sees = Sees.ALL, name: str = "", **fields: Any) -> str:
        """Return a whole key with these scopes."""
        name = name or "-".join([*sorted(scopes), sees])
        if name not in self.keys:
            number = len(self.keys)
            key = a_key(name, number, scopes=frozenset(scopes), sees=sees, **fields)
            self.console.call(self.console.store.people.add_key(key, author=ROOT))
            self.keys[name] = str(a_key_text(number))
        return self.keys[name]

    def get(self, path: str, *scopes: Scope, sees: Sees = Sees.ALL, **headers: str) -> Answer:
        key = self.key(*scopes, sees=sees) if scopes else ""
        return self.send("GET", path, key=key, headers=headers)

    def send(
        self,
        method: str,
        path: str,
        told: object = None,
        *,
        key: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        given = {} if not key else {"Authorization": f"Bearer {key}"}
        if told is not None:
            body = json.dumps(told).encode()
            given["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.console.port, timeout=15)
        with closing(connection):
            connection.request(method, PREFIX + path, body, given | dict(headers or {}))
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(status=answer.status, headers=names, body=answer.read())


@contextmanager
def a_receiver(console: Console, folder: Path, **options: Any) -> Iterator[Reception]:
    """The daemon's listener for the console, beside it."""
    ready: asyncio.Future[Reception] = console.loop.create_future()
    end = asyncio.Event()

    async def serve() -> None:
        given = Options(is_console=True, auth=ListenerAuth.OPTIONAL, networks=(), **options)
        async with receiving(given, unix_path=folder / "console.smtp") as reception:
            ready.set_result(reception)
            await end.wait()

    running = asyncio.run_coroutine_threadsafe(serve(), console.loop)
    try:
        yield console.call(ready)
    finally:
        console.loop.call_soon_threadsafe(end.set)
        running.result(15)
        (folder / "console.smtp").unlink(missing_ok=True)

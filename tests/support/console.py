"""The console in a thread, on a real queue and beside a real control socket; and a browser's requests.

with a_console(tmp_path, fill) as console:
    page = console.get("/messages", role=Role.VIEWER)
"""

import asyncio
import http.client
import secrets
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from relayd.config.load import load
from relayd.console.guard import token_of
from relayd.console.server import parts_of, server_of, wall_clock
from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event
from relayd.mail.operator import Action
from relayd.mail.outcome import Outcome, Relayed
from relayd.net.oidc.provider import Provider
from relayd.policy.console.roles import Role
from relayd.policy.console.sessions import hash_of
from relayd.ports.oidc import IdentityProvider
from relayd.ports.outbox import TOLD, DeliveryResult, EndpointId, Heard, Subscription
from relayd.ports.people import Account, Author, Session
from relayd.ports.queue import QueueStore
from relayd.ports.view import Query
from relayd.settings import ConsoleOidcSettings, HostPort
from relayd.sockets import listen_tcp, listen_unix
from relayd.store import open_store
from relayd.worker.system import SystemClock
from tests.support.accounts import cheap_hash
from tests.support.builders import a_bounce, a_deferral, a_message, a_settlement
from tests.support.cli_world import enqueue
from tests.support.clock import START, FakeClock
from tests.support.control_server import a_control_server
from tests.support.workers import registered

SETTINGS = """
fqdn = "relay.example.org"
[store]
url = "sqlite:{folder}/queue.db"
[control]
socket = "{folder}/control.sock"
[status_log]
path = "{folder}/status.log"
[console]
address = "127.0.0.1:0"
names = ["console.example.org"]
"""
PASSWORD = "correct horse battery staple"
_HASHED = cheap_hash(PASSWORD)
_TEST = Author(by="test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    text: str
    cookies: Mapping[str, str] = field(
        default_factory=dict
    )  # that it gives; empty: it takes it away

    @property
    def location(self) -> str:
        return self.headers.get("location", "")


@dataclass(slots=True, kw_only=True)
class Console:
    """One that runs."""

    port: int
    unix: str  # path of the socket
    url: str  # of the queue
    clock: FakeClock
    store: QueueStore
    recorded: list[Event]
    loop: asyncio.AbstractEventLoop
    tokens: dict[str, str] = field(default_factory=dict)

    def call(self, coroutine: Awaitable[Any]) -> Any:
        """Carry something out beside the console."""

        async def run() -> Any:
            return await coroutine

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(15)

    def account(
        self, name: str, role: Role, *, reads_content: bool = False, disabled: bool = False
    ) -> None:
        account = Account(
            name=name,
            role=role,
            reads_content=reads_content,
            password_hash=_HASHED,
            disabled=disabled,
            created_at=self.clock.now(),
        )
        self.call(self.store.people.add_account(account, author=_TEST))

    def token(self, role: Role, *, reads_content: bool = False) -> str:
        """The token of a session of an account with that role."""
        name = f"{role}-reader" if reads_content else str(role)
        if name not in self.tokens:
            self.account(name, role, reads_content=reads_content)
            token = secrets.token_urlsafe(32)
            token_hash = hash_of(token)
            assert token_hash is not None
            now = self.clock.now()
            session = Session(token_hash=token_hash, account=name, begun_at=now, seen_at=now)
            self.call(self.store.people.open_session(session, author=_TEST))
            self.tokens[name] = token
        return self.tokens[name]

    def get(self, path: str, *, role: Role | None = None, **headers: str) -> Page:
        cookie = {} if role is None else {"Cookie": f"relayd={self.token(role)}"}
        return self.request("GET", path, headers=cookie | headers)

    def post(
        self,
        path: str,
        *,
        role: Role | None = None,
        reads_content: bool = False,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str | Sequence[str]] | None = None,
        **more: str,
    ) -> Page:
        """Send a form as a page of the console would."""
        given = {"Sec-Fetch-Site": "same-origin"}
        if role is not None:
            token = self.token(role, reads_content=reads_content)
            given["Cookie"] = f"relayd={token}"
            more = {"token": token_of(token), **more}
        given["Content-Type"] = "application/x-www-form-urlencoded"
        return self.request(
            "POST",
            path,
            urlencode({**(form or {}), **more}, doseq=True),
            {**given, **(headers or {})},
        )

    def request(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        headers: Mapping[str, str] = {},
        *,
        twice: Mapping[str, str] = {},
        is_unix: bool = False,
    ) -> Page:
        """Send a request; `twice` are further headers, whether there are such already or not."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        if is_unix:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self.unix)
        with closing(connection):
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in (*headers.items(), *twice.items()):
                connection.putheader(name, value.encode("latin-1"))
            given = body.encode() if isinstance(body, str) else body
            if given is not None:
                connection.putheader("Content-Length", str(len(given)))
            connection.endheaders(given)
            answer = connection.getresponse()
            text = answer.read().decode()
            names = {name.lower(): value for name, value in answer.getheaders()}
            given_cookies = [
                morsel
                for name, value in answer.getheaders()
                if name.lower() == "set-cookie"
                for morsel in SimpleCookie(value).values()
            ]
            return Page(
                status=answer.status,
                headers=names,
                text=text,
                cookies={each.key: each.value for each in given_cookies},
            )


@contextmanager
def a_console(
    folder: Path,
    fill: Callable[[QueueStore], Awaitable[None]] | None = None,
    *,
    more: str = "",
    trusts: ssl.SSLContext | None = None,
    beside: Path | None = None,
    store: str = "",
) -> Iterator[Console]:
    """A console, with the queue that `fill` makes; or beside a daemon that runs with the settings `beside`.

    `store` is the URL of the queue; empty: a file in the folder. `more` is added to the settings; `trusts` are the certificates of the provider of OIDC that they name. The console listens on the unix socket `http.sock`, too.
    """
    file = beside or folder / "relayd.toml"
    if beside is None:
        written = SETTINGS.format(folder=folder)
        if store:
            of_file = f'url = "sqlite:{folder}/queue.db"'
            written = written.replace(of_file, f'url = "{store}"\nfolder = "{folder}"')
        file.write_text(written + more)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    ready: asyncio.Future[Console] = loop.create_future()
    end = asyncio.Event()
    running = asyncio.run_coroutine_threadsafe(
        _run(file, fill, ready, end, trusts=trusts, beside=beside), loop
    )
    try:
        yield asyncio.run_coroutine_threadsafe(_first(ready, running), loop).result(15)
    finally:
        loop.call_soon_threadsafe(end.set)
        running.result(15)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(15)
        loop.close()


def a_provider(
    settings: ConsoleOidcSettings | None, trusts: ssl.SSLContext | None
) -> IdentityProvider | None:
    if settings is None or trusts is None:
        return None
    return Provider(settings, trusts, SystemClock())


async def _first(ready: "asyncio.Future[Console]", running: Any) -> Console:
    await asyncio.wait([ready, asyncio.wrap_future(running)], return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        running.result(0)
    return ready.result()


async def _run(
    file: Path,
    fill: Callable[[QueueStore], Awaitable[None]] | None,
    ready: "asyncio.Future[Console]",
    end: asyncio.Event,
    *,
    trusts: ssl.SSLContext | None,
    beside: Path | None,
) -> None:
    clock = FakeClock() if beside is None else FakeClock(wall_clock())
    settings = load(str(file))
    store = open_store(settings.store.url, clock=clock, slots={}, keeps_bounced=True)
    if fill is not None:
        await fill(store)
    async with AsyncExitStack() as stack:
        recorded: list[Event] = []
        if beside is None:
            control = file.parent / "control.sock"
            recorded = await stack.enter_async_context(
                a_control_server(
                    control,
                    store,
                    console=settings.console,
                    provider=a_provider(settings.console.oidc, trusts),
                    fqdn=settings.fqdn,  # the daemon has read the same file
                )
            )
        parts = stack.enter_context(parts_of(settings, clock.now))
        server = server_of(parts)
        tcp = listen_tcp(HostPort(host="127.0.0.1", port=0))
        port = tcp[0].getsockname()[1]
        unix = listen_unix(str(file.parent / "http.sock"), 0o600)
        stack.callback(unix.remove)
        sockets = [*tcp, *unix.sockets]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=list(sockets)))
            ready.set_result(
                Console(
                    port=port,
                    unix=str(file.parent / "http.sock"),
                    url=settings.store.url,
                    clock=clock,
                    store=store,
                    recorded=recorded,
                    loop=asyncio.get_running_loop(),
                )
            )
            await end.wait()
            server.should_exit = True
    await store.close()


WEBHOOK = "https://app.test/hook?a=b&c"
HOSTILE = "550 5.1.1 <img src=x onerror=alert(1)> \u202eno such user"


async def fill(store: QueueStore) -> None:
    """Three messages: one bounced with a hostile reply, one relayed, one of which a recipient is deferred and one held."""
    bounced = a_message("gone@shop.example", message_id_header="<1@app.test>", tag="news", count=1)
    await enqueue(store, bounced)
    await _settle(store, bounced, a_bounce(), code=550, enhanced="5.1.1", reply=HOSTILE)
    relayed = a_message("ok@shop.example", tag="=1+1", count=2)
    await enqueue(store, relayed)
    await _settle(store, relayed, Relayed(), code=250, reply="250 2.0.0 queued")
    waiting = a_message("later@mail.example", "held@mail.example", auth_user="app", count=3)
    await enqueue(store, waiting)
    later = START + timedelta(hours=1)
    await _settle(store, waiting, a_deferral(later), code=452, reply="452 4.2.2 mailbox full")
    query = Query(recipient=("held@mail.example",))
    await store.act(query, Action.HOLD, by="alice", reason="look at it")


async def fill_and_tell(store: QueueStore) -> None:
    """As `fill`, and a webhook: one delivery failed, one is done, others wait."""
    await fill(store)
    wanted = Subscription(url=WEBHOOK, kinds=TOLD)
    await store.outbox.put_endpoint(wanted, author=_TEST)
    held = Query(recipient=("held@mail.example",))
    for action in (Action.RELEASE, Action.HOLD):
        await store.act(held, action, by="test", reason="")
    await store.outbox.send_test(EndpointId(1), author=_TEST)
    claimed = await store.outbox.claim_deliveries(9, lease_for=timedelta(minutes=1))
    for each, status in zip(claimed[:2], (500, 200), strict=True):
        result = DeliveryResult(
            endpoint=EndpointId(1), number=each.number, claim=each.claim, heard=Heard(status=status)
        )
        await store.outbox.settle_deliveries([result], jitter=0.0)


async def _settle(store: QueueStore, message: NewMessage, outcome: Outcome, **fields: Any) -> None:
    worker = await registered(store, "worker")
    for work in await store.claim(worker, limit=100, lease_for=timedelta(minutes=5)):
        mine = [one for one in work.recipients if work.message.id == message.id]
        await store.settle(
            work.lease, [a_settlement(message.id, one.number, outcome, **fields) for one in mine]
        )

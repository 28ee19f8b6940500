"""The process of the console: it listens, serves until a signal, and tells the service manager how it is.

Beside the pages it sends webhooks.
"""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from datetime import UTC, datetime

import structlog
import uvicorn

from relayd.config.kept import KeptSettings
from relayd.console.app import App
from relayd.console.asked import Console
from relayd.console.daemon import Daemon
from relayd.console.glance import Glance
from relayd.console.hooks import dispatcher_of
from relayd.console.hooks.dispatch import Dispatcher
from relayd.console.limits import CONNECTIONS, LimitedProtocol
from relayd.console.naming import Naming
from relayd.console.proxy import Proxy
from relayd.console.reading import Reading
from relayd.console.render import Renderer
from relayd.console.requests import Requests
from relayd.console.routes import PAGES
from relayd.console.sessions import Sessions
from relayd.settings import Settings
from relayd.systemd import Notifier, watchdog_period

_KEEP_ALIVE = 5  # seconds
_STOP_WITHIN = 5  # seconds for what is under way
_log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def wall_clock() -> datetime:
    """The time: from here on it is passed in."""
    return datetime.now(UTC)  # noqa: TID251


@contextlib.contextmanager
def parts_of(settings: Settings, now: Callable[[], datetime] = wall_clock) -> Iterator[Console]:
    """Give the parts of the console, and close them. Raises StartError."""
    reading = Reading(settings.store.url)
    who = Reading(settings.store.url, threads=1)  # short questions, which wait for no long one
    daemon = Daemon(settings.control_socket)
    naming = Naming(daemon, settings.fqdn)
    proxy = Proxy(settings.console.proxy)
    sessions = Sessions(reading=who, daemon=daemon, proxy=proxy, now=now)
    try:
        yield Console(
            settings=settings,
            settings_now=KeptSettings(settings.file),
            reading=reading,
            daemon=daemon,
            glance=Glance(settings, reading, daemon, now),
            renderer=Renderer(fqdn=naming.fqdn, now=now),
            naming=naming,
            sessions=sessions,
            requests=Requests(),
            proxy=proxy,
            now=now,
        )
    finally:
        daemon.close()
        reading.close()
        who.close()


async def serve(
    settings: Settings, sockets: Sequence[socket.socket], environment: MutableMapping[str, str]
) -> None:
    """Serve on listening sockets until SIGTERM or SIGINT, and what is under way a little longer."""
    notifier, period = Notifier(environment), watchdog_period(environment)
    with parts_of(settings) as console:
        server = server_of(console)
        gc.freeze()  # what is there now stays to the end: no collection looks through it again
        dispatcher = dispatcher_of(settings, console.daemon, console.now)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _end, server, dispatcher)
        async with asyncio.TaskGroup() as tasks:
            signs = tasks.create_task(_tell_life(server, notifier, period), name="signs of life")
            sending = tasks.create_task(dispatcher.run(), name="webhooks")
            await server.serve(sockets=list(sockets))
            dispatcher.stop()
            await sending
            signs.cancel()
    notifier.send("STOPPING=1")


def server_of(console: Console) -> uvicorn.Server:
    """Return what serves the pages; it ends when its `should_exit` is set."""
    return _Server(
        uvicorn.Config(
            App(console, PAGES),
            http=LimitedProtocol,
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_STOP_WITHIN,
        )
    )


def _end(server: uvicorn.Server, dispatcher: Dispatcher) -> None:
    server.should_exit = True
    dispatcher.stop()


async def _tell_life(server: uvicorn.Server, notifier: Notifier, period: float | None) -> None:
    """Say that the console is ready, and then that it lives."""
    while not server.started:  # noqa: ASYNC110 -- uvicorn tells nobody
        await asyncio.sleep(0.02)
    _log.info("console_started")
    notifier.send("READY=1")
    while period is not None:
        notifier.send("WATCHDOG=1")
        await asyncio.sleep(period / 3)

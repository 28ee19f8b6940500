"""The FQDN that the daemon runs with, for the head of each page. It may have changed since the console began."""

import asyncio
from collections.abc import Callable
from functools import partial

import orjson
import structlog

from relayd.console.daemon import Daemon
from relayd.control import client
from relayd.control.client import InForce
from relayd.errors import RelaydError

_EVERY = 5.0  # seconds between two questions
_WITHIN = 1.0  # second
_log = structlog.get_logger(__name__)


class Naming:
    """Asks now and then, for all pages together; none waits for the answer."""

    def __init__(self, daemon: Daemon, fqdn: str) -> None:
        """`fqdn` counts until the daemon says another one."""
        self._daemon = daemon
        self._fqdn = fqdn
        self._asked_at = float("-inf")  # by the loop's clock
        self._answer: asyncio.Future[InForce] | None = None

    def fqdn(self) -> str:
        """Return the name as it was some seconds ago."""
        now = asyncio.get_running_loop().time()
        if self._answer is None and now - self._asked_at >= _EVERY:
            self._asked_at = now
            self._answer = self._daemon.begin(_question())
            self._answer.add_done_callback(self._take)
        return self._fqdn

    async def renew(self) -> None:
        """Have the next page show the name of now, as after a change. Raises DaemonUnreachable."""
        self._fqdn = _name_in(await self._daemon.ask(_question()))

    def _take(self, answer: asyncio.Future[InForce]) -> None:
        self._answer = None
        try:
            self._fqdn = _name_in(answer.result())
        except (RelaydError, asyncio.CancelledError) as error:
            _log.debug("console_fqdn_not_known", reason=str(error), fault="local")


def _question() -> Callable[[str], InForce]:
    return partial(client.running_settings, timeout=_WITHIN)


def _name_in(found: InForce) -> str:
    return str(orjson.loads(found.values["fqdn"]))

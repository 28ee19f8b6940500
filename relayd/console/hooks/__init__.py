"""Telling applications by webhooks: `dispatch` takes what is due, `sign` makes the request, `dial` sends it.

Each has what it needs from here, which is the one place that puts them together.
"""

import ssl
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from relayd.console.daemon import Daemon
from relayd.console.hooks.dial import Caller
from relayd.console.hooks.dispatch import Dispatcher
from relayd.control import client
from relayd.control.protocol import Message
from relayd.net.dns.resolver import DnsResolver
from relayd.settings import Settings

_ANSWER_WITHIN = 10.0  # seconds


class _Clock:
    """`relayd.ports.outward.Clock`."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now

    def monotonic(self) -> float:
        return time.monotonic()


def dispatcher_of(settings: Settings, daemon: Daemon, now: Callable[[], datetime]) -> Dispatcher:
    """Return what sends webhooks, by the system's certificates and the name servers of the settings."""
    resolver = DnsResolver(
        nameservers=settings.dns.nameservers, timeout=settings.dns.timeout, clock=_Clock(now)
    )

    async def ask(message: Message) -> Mapping[str, Any]:
        return await daemon.ask(lambda path: client.ask(path, message, timeout=_ANSWER_WITHIN))

    caller = Caller(resolver, settings.webhooks, ssl.create_default_context())
    return Dispatcher(ask, caller, now)

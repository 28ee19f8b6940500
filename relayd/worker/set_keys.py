"""Set keys for the console: they count from when the daemon runs with them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from relayd.config.console_change import changing_on_console
from relayd.control.protocol import Message
from relayd.control.set_keys import KeyChanges
from relayd.errors import ConfigError


async def set_keys(
    file: str, wanted: KeyChanges, *, reload: Callable[[], Awaitable[Message]]
) -> Message:
    """Lay keys over the settings `file`, and return the answer to the reload. Raises RelaydError."""
    with ExitStack() as change:
        take_over = await asyncio.to_thread(change.enter_context, changing_on_console(file, wanted))
        answer = await reload()
        if answer.get("ok") is not True:
            return answer
        try:
            await asyncio.to_thread(take_over)
        except ConfigError:
            await asyncio.to_thread(change.close)
            await reload()  # to what the files say
            raise
        return answer

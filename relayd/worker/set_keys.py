"""Set keys for the console: what the daemon cannot run with is put back."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from relayd.config.console_change import changing_on_console
from relayd.control.protocol import Message
from relayd.control.set_keys import KeyChanges
from relayd.errors import RelaydError


async def set_keys(
    file: str, wanted: KeyChanges, *, reload: Callable[[], Awaitable[Message]]
) -> Message:
    """Lay keys over the settings `file`, and return the answer to the reload. Raises RelaydError."""
    with ExitStack() as change:
        put_back = await asyncio.to_thread(change.enter_context, changing_on_console(file, wanted))
        try:
            answer = await reload()
        except RelaydError:
            await asyncio.to_thread(put_back)
            raise
        if answer.get("ok") is not True:
            await asyncio.to_thread(put_back)
        return answer

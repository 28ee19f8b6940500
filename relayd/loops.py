"""Which event loop a process runs on: uvloop where it is installed, which takes fewer calls of Python."""

import asyncio
from collections.abc import Callable


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes it, for `asyncio.Runner`."""
    try:
        import uvloop  # noqa: PLC0415 -- an extra
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop

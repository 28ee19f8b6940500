"""What is asked of a store at the start, until it answers: a server that is away comes back, and a disk gets room again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from relayd.errors import StoreError, StoreFull, StoreUnavailable
from relayd.files import is_full
from relayd.settings import Settings
from relayd.store.url import is_file, name_of, queue_file
from relayd.worker.inherited import Inherited
from relayd.worker.supervision import Supervision
from relayd.worker.waiting_room import wait_for

T = TypeVar("T")


async def reached(
    settings: Settings,
    inherited: Inherited,
    supervision: Supervision,
    stopping: asyncio.Event,
    ask: Callable[[], Awaitable[T]],
) -> T | None:
    """Return what is asked of the store, however long that is away; None: the worker is to end meanwhile.

    A store that is a file of this machine comes back by itself where there was no room for it. While workers with older
    settings serve, this one leaves all who come to them, and is ready when it has its store: so a reload to one that is
    away is refused.
    """
    url = settings.store.url

    async def tried() -> T:
        try:
            return await ask()
        except (StoreUnavailable, StoreFull) as error:
            if not is_file(url):
                raise
            if not is_full(queue_file(url).parent):
                raise StoreError(str(error)) from error
            raise StoreUnavailable(f"the disk is full: {error}") from error

    try:
        return await tried()
    except StoreUnavailable as error:
        first = error
    async with asyncio.TaskGroup() as tasks:
        beat = tasks.create_task(supervision.beat(stopping), name="heartbeat")
        stop = tasks.create_task(stopping.wait(), name="stop")
        waiting = tasks.create_task(
            wait_for(
                tried,
                store=name_of(url),
                first=first,
                listeners=() if inherited.others_serve else inherited.listeners,
                control=None if inherited.others_serve else inherited.control,
            ),
            name="store that is away",
        )
        if not inherited.others_serve:
            supervision.ready()  # to say so is all that can be done, and it is done
        await asyncio.wait((waiting, stop), return_when=asyncio.FIRST_COMPLETED)
        for task in (beat, stop, waiting):
            task.cancel()
    return None if waiting.cancelled() else waiting.result()

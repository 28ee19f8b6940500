"""The sides of a copy, each by its URL."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from relayd.errors import CopyFailed
from relayd.store.copying.side import Side
from relayd.store.url import is_file, is_missing, queue_file


@asynccontextmanager
async def opened(
    url: str, mark_of: Callable[[str], str], *, is_new: bool = False
) -> AsyncIterator[Side]:
    """Open a store, and bring its schema up to date; only one that `is_new` is made. Raises CopyFailed, StoreError.

    `mark_of`: `relayd.store.copy`.
    """
    if is_file(url):
        if is_missing(url) and not is_new:
            raise CopyFailed(f"there is no queue at {queue_file(url)}")
        from relayd.store.copying.sqlite_side import SqliteSide  # noqa: PLC0415 -- only the engine asked for

        file = SqliteSide(url)
        try:
            yield file
        finally:
            await file.close()
    else:
        from relayd.store.copying.postgres_side import PostgresSide  # noqa: PLC0415 -- as above

        server = PostgresSide(url, stopped=mark_of(url))
        try:
            await server.bring_up()
            yield server
        finally:
            await server.close()

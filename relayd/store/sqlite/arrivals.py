"""Putting a new message into the queue: its content file, if it has one, and then its rows.

Invariant: a content file is durable before the rows of its message are written, and goes again when
they are not written for sure (S-55).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import apsw

from relayd.errors import CommitUnknown
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId
from relayd.store.spool import FileContent, SpoolDirectory
from relayd.store.sqlite.reading import in_thread
from relayd.store.sqlite.writer import Writer

T = TypeVar("T")


class Arrivals:
    """Stores new messages through the writer."""

    def __init__(self, writer: Writer, files: SpoolDirectory) -> None:
        self._writer = writer
        self._files = files

    def store(
        self, message: NewMessage, operation: Callable[[apsw.Connection], T]
    ) -> "asyncio.Future[T]":
        """Run the operation that inserts `message`, after its content file is durable.

        The future is the writer's own: it is done before those of what was submitted after it.
        """
        content = message.content
        if not isinstance(content, FileContent):
            return self._writer.submit(operation, is_patient=False)
        stored: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        stored.add_done_callback(partial(_drop_unwanted, content))
        asyncio.ensure_future(self._store_with_file(content, message.id, operation, stored))  # noqa: RUF006 -- its thread keeps it
        return stored

    async def _store_with_file(
        self,
        content: FileContent,
        message_id: MessageId,
        operation: Callable[[apsw.Connection], T],
        stored: "asyncio.Future[T]",
    ) -> None:
        try:
            await in_thread(self._files.keep, content, message_id)
        except Exception as exc:  # noqa: BLE001 -- whatever it is, the one who asked is told
            stored.set_exception(exc)
        else:
            self._writer.submit(operation, stored, is_patient=False)


def _drop_unwanted(content: FileContent, stored: "asyncio.Future[Any]") -> None:
    """Remove the file of a message that is not in the queue for sure (S-55)."""
    if stored.cancelled():
        return
    error = stored.exception()
    if error is not None and not isinstance(error, CommitUnknown):
        with suppress(OSError):  # what stays is for the sweep
            content.path.unlink()

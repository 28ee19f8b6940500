"""The queue and its history. Each engine is imported only when its URL asks for it.

`url` reads the URL, then the engine opens it: `sqlite` a file, `postgres` lines to a server, or `memory` in tests.
What they do not own is beside them: `spool` has large content while it comes in and waits, `disk` how much room is left.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from relayd.errors import NotAFile, StoreUnavailable
from relayd.ports.view import QueueView
from relayd.store.url import is_file, lock_file, name_of, queue_file

if TYPE_CHECKING:  # a command that only asks pays for none of these
    from collections.abc import Coroutine
    from datetime import datetime

    from relayd.policy.doctor.machine import QueueFacts, StoreFacts
    from relayd.policy.doctor.server import ServerFacts
    from relayd.ports.membership import Cluster, Node
    from relayd.ports.outward import Clock
    from relayd.ports.queue import QueueStore
    from relayd.ports.schema import Migrated, SchemaStep
    from relayd.ports.upkeep import Compacted
    from relayd.store.copying.run import Copied
    from relayd.store.copying.side import Tell
    from relayd.store.postgres.hints import PostgresHints
    from relayd.store.replaced import Replaced
    from relayd.store.sqlite.compacting import Progress
    from relayd.store.sqlite.connection import Upgrading
    from relayd.store.sqlite.replacing import Owner

T = TypeVar("T")

_INSTEAD = {
    "backup": "back the server up by its own means: pg_basebackup and the archive of its log (docs/howto/cluster.md)",
    "restore": "have the server restore its own backup (docs/howto/cluster.md)",
    "move": "there is nothing to move: name the same store.url on the other host",
    "drain": "it would stop all machines. To end this one, stop relayd: the others have its mail."
    " To stop all, relayd pause all --intake",
    "store compact": "there is nothing to do: what is too old goes by itself, and so does its room",
}
"""What to do with a queue on a server instead, by the command that is for a file."""


def open_store(
    url: str,
    *,
    clock: "Clock",
    slots: Mapping[str, int],
    on_commit: Callable[[float], None] | None = None,
    keeps_bounced: bool = False,
    upgrading: "Upgrading | None" = None,
    cluster: "Cluster | None" = None,
) -> "QueueStore":
    """Open the queue for a worker. Raises StoreUnavailable, SchemaMismatch.

    `on_commit` is told, on a thread of the store, how many seconds each commit took. With `keeps_bounced` the
    content of what bounces is kept until `let_go`. `upgrading` is told before each step that brings the queue of an
    older relayd up to date, which may take minutes. `cluster` is for a store that machines share.
    """
    if not is_file(url):
        with _extra():
            from relayd.store.postgres.queue import PostgresStore  # noqa: PLC0415 -- only the engine asked for
        opened: object = PostgresStore.open(
            url,
            clock=clock,
            slots=slots,
            on_commit=on_commit,
            keeps_bounced=keeps_bounced,
            upgrading=upgrading,
            cluster=cluster,
        )
        return cast("QueueStore", opened)  # some verbs are still to come
    from relayd.store.sqlite.queue import SqliteStore  # noqa: PLC0415 -- as above

    return SqliteStore.open(
        str(queue_file(url)),
        clock=clock,
        slots=slots,
        on_commit=on_commit,
        keeps_bounced=keeps_bounced,
        upgrading=upgrading,
    )


def open_view(url: str, *, within: float | None = None) -> QueueView:
    """Open the queue for questions, read-only. Raises StoreUnavailable when there is none yet.

    A question that takes longer than `within` seconds is stopped: TookTooLong.
    """
    if not is_file(url):
        with _extra():
            from relayd.store.postgres.view import PostgresView  # noqa: PLC0415 -- only the engine asked for
        asks: object = PostgresView(url, within=within)
        return cast("QueueView", asks)  # some questions are still to come
    from relayd.store.sqlite.view import SqliteView  # noqa: PLC0415 -- as above

    return SqliteView(str(queue_file(url)), within=within)


def open_hints(
    url: str,
    node: str,
    on_hint: Callable[[], None],
    on_pauses: Callable[[], None],
    on_joined: Callable[[], None],
) -> "PostgresHints":
    """Return hints between the machines that share the queue of a server; `node` is this one."""
    from relayd.store.postgres.hints import PostgresHints  # noqa: PLC0415 -- only the engine asked for

    return PostgresHints(url, node, on_hint, on_pauses, on_joined)


def examine(url: str) -> "tuple[StoreFacts, QueueFacts | None]":
    """Look at the queue from outside, read-only. Never raises for its state."""
    from relayd.store.sqlite.checkup import examine as examine_file  # noqa: PLC0415 -- as above

    return examine_file(str(queue_file(url)))


def examine_server(url: str) -> "tuple[ServerFacts, QueueFacts | None]":
    """Look at the server that has the queue, read-only. Never raises for its state."""
    from relayd.policy.doctor.server import ServerFacts  # noqa: PLC0415 -- for this case alone

    try:
        with _extra():
            from relayd.store.postgres import checkup  # noqa: PLC0415 -- only the engine asked for
    except StoreUnavailable as error:
        return ServerFacts(name=name_of(url), problem=str(error)), None
    return checkup.examine(url)


def nodes_of(url: str) -> "Sequence[Node]":
    """Return the machines that ever had the queue of this server. Raises StoreError."""
    with _extra():
        from relayd.store.postgres import checkup  # noqa: PLC0415 -- only the engine asked for
    return checkup.nodes_of(url)


def steps_of(url: str) -> "Sequence[SchemaStep]":
    """Return the steps of the schema that a server has or this relayd knows. Raises StoreUnavailable."""
    with _extra():
        from relayd.store.postgres import checkup  # noqa: PLC0415 -- only the engine asked for
    return checkup.steps_of(url)


def migrate(url: str) -> "Migrated":
    """Apply the steps of the schema that a server may get now. Raises StoreError."""
    with _extra():
        from relayd.store.postgres import checkup  # noqa: PLC0415 -- only the engine asked for
    return checkup.migrate(url)


def copy(source: str, target: str, tell: "Tell", *, mark_of: Callable[[str], str]) -> "Copied":
    """Copy the queue at one URL to another, which takes its place, for who has the locks of those that are files.

    `tell` is told what is done. `mark_of` gives of a server the mark of the relayd that is known to be stopped
    (`relayd.worker.installation`); empty: none is. Raises CopyFailed, StoreError.
    """
    from relayd.store.copying.opening import opened  # noqa: PLC0415 -- only for this
    from relayd.store.copying.run import copy as run  # noqa: PLC0415 -- as above

    async def work() -> "Copied":
        async with (
            opened(source, mark_of) as one,
            opened(target, mark_of, is_new=True) as other,
        ):
            return await run(one, other, tell)

    return _run(work())


def undo_copy(source: str, target: str, *, mark_of: Callable[[str], str]) -> None:
    """Let a queue that was copied be served again, and not its copy. Raises CopyFailed, StoreError."""
    from relayd.store.copying.opening import opened  # noqa: PLC0415 -- only for this
    from relayd.store.copying.run import undo  # noqa: PLC0415 -- as above
    from relayd.store.url import shown  # noqa: PLC0415 -- as above

    async def work() -> None:
        async with opened(source, mark_of) as one:
            await undo(one, shown(target), lambda: opened(target, mark_of))

    _run(work())


def _run(work: "Coroutine[object, object, T]") -> "T":
    import asyncio  # noqa: PLC0415 -- as above

    try:
        return asyncio.run(work)
    except ImportError as error:
        raise _without_extra(error) from error


def file_for(command: str, url: str) -> str:
    """Return the path of the queue, for a command that is for files. Raises NotAFile, which says what to do instead."""
    if is_file(url):
        return str(queue_file(url))
    raise NotAFile(
        f"{command} is for a queue that is a file, not for {name_of(url)}: {_INSTEAD[command]}"
    )


def back_up(url: str, folder: Path) -> Path:
    """Copy a queue into a folder, also while it is in use; return the copy. Raises BackupFailed, StoreError."""
    from relayd.store.sqlite import backup  # noqa: PLC0415 -- only the engine asked for

    return backup.back_up(file_for("backup", url), folder)


def restore(url: str, folder: Path, *, force: bool) -> "Replaced":
    """Put the backup in a folder in the place of the queue, for who has its lock. Raises RestoreFailed, StoreError.

    Without `force` only where no mail waits. The old queue is kept.
    """
    from relayd.store.sqlite import restore as engine  # noqa: PLC0415 -- only the engine asked for

    return engine.restore(file_for("restore", url), folder, force=force)


def move(url: str, folder: Path) -> "Replaced":
    """Copy the queue into a folder, and take it out of service, for who has its lock. Raises BackupFailed, StoreError."""
    from relayd.store.sqlite import restore as engine  # noqa: PLC0415 -- only the engine asked for

    return engine.move(file_for("move", url), folder)


def compact(url: str, older_than: "datetime", progress: "Progress") -> "Compacted":
    """Let a smaller copy take the place of the queue, for who has its lock. Raises StoreError.

    `progress` is told how many octets are written, and of how many.
    """
    from relayd.store.sqlite import compacting  # noqa: PLC0415 -- only the engine asked for

    return compacting.copy_smaller(file_for("store compact", url), older_than, progress)


def owner_of(url: str, folder: str = "") -> "Owner":
    """Return whose the queue is, or would be; of one on a server its lock, as `relayd.store.url.lock_file` has it."""
    from relayd.store.sqlite.replacing import owner_of as owner  # noqa: PLC0415 -- as above

    return owner(str(queue_file(url) if is_file(url) else lock_file(url, folder)))


def sqlite_version() -> str:
    """Return the version of the SQLite that is loaded, such as 3.54.1: the one that comes with apsw."""
    from relayd.store.sqlite import connection  # noqa: PLC0415 -- only for who asks

    return connection.library_version()


@contextmanager
def _extra() -> Iterator[None]:
    """Import what needs the extra. Raises StoreUnavailable where it is not installed."""
    try:
        yield
    except ImportError as error:
        raise _without_extra(error) from error


def _without_extra(error: ImportError) -> StoreUnavailable:
    return StoreUnavailable(
        f"needs the extra `postgres`, as in pip install 'relayd[postgres]' (no module {error.name})"
    )

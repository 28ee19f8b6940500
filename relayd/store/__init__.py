"""The queue and its history. Each engine is imported only when its URL asks for it."""

from collections.abc import Callable, Mapping

from relayd.ports import Clock, QueueStore, QueueView

_SQLITE = "sqlite:"


def open_store(
    url: str,
    *,
    clock: Clock,
    slots: Mapping[str, int],
    on_commit: Callable[[float], None] | None = None,
) -> QueueStore:
    """Open the queue for a worker. Raises StoreUnavailable, SchemaMismatch.

    `on_commit` is told, on a thread of the store, how many seconds each commit took.
    """
    from relayd.store.sqlite.queue import SqliteStore  # noqa: PLC0415 -- only the engine asked for

    return SqliteStore.open(
        url.removeprefix(_SQLITE), clock=clock, slots=slots, on_commit=on_commit
    )


def open_view(url: str) -> QueueView:
    """Open the queue for questions, read-only. Raises StoreUnavailable when there is none yet."""
    from relayd.store.sqlite.view import SqliteView  # noqa: PLC0415 -- only the engine asked for

    return SqliteView(url.removeprefix(_SQLITE))

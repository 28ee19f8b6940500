"""The library that speaks to the server: connections, and what its errors mean. No other module names it."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import asyncpg

from relayd.errors import StoreFull, StoreUnavailable, TookTooLong
from relayd.store.postgres.address import arguments
from relayd.store.postgres.session import Operation, Session
from relayd.store.postgres.troubles import in_words

Connection: TypeAlias = "asyncpg.Connection[Any]"

_CONNECTS_WITHIN = 5.0  # seconds, for each host
_FATAL = ("FATAL", "PANIC")  # severities: the connection ends, and perhaps the server

# Sources of the server whose warnings say that numbers of transactions run out. They come with each transaction, for
# days perhaps, until old rows are vacuumed; the commits are as good as any.
_NOT_OF_A_COMMIT = ("varsup.c", "multixact.c")

MET = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    # A column has another type than when the statement was prepared. The library has forgotten the statement by now.
    asyncpg.InvalidCachedStatementError,
)
"""An operation met another one: it is done again."""

_LOST = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    OSError,
)
ERRORS = (*_LOST, asyncpg.PostgresError)
"""Whatever the library raises for the server, or for the network."""


async def connect(
    url: str,
    settings: Mapping[str, str],
    *,
    writes: bool,
    greet: Operation[None],
    warned: Callable[[], None],
) -> Connection:
    """Connect to the first host of the URL that answers, and that `greet` does not refuse. Raises StoreUnavailable.

    With `writes` a standby and a server that is read-only are passed over. `warned` is called with each
    warning of the server that casts doubt on a commit.
    """

    def hear(_connection: object, message: Any) -> None:
        if is_doubt(message):
            warned()

    refused: list[tuple[str, StoreUnavailable | StoreFull]] = []
    for way in arguments(url, writes=writes):
        try:
            return await _connect(way, settings, greet, hear)
        except (*ERRORS, StoreUnavailable) as exc:
            refused.append((way["host"], translate(exc)))
    if len(refused) == 1:
        raise refused[0][1]
    raise StoreUnavailable("; ".join(f"{host}: {why}" for host, why in refused))


async def _connect(
    way: Mapping[str, Any],
    settings: Mapping[str, str],
    greet: Operation[None],
    hear: Callable[..., None],
) -> Connection:
    connection: Connection = await asyncpg.connect(
        **way, server_settings=dict(settings), timeout=_CONNECTS_WITHIN
    )
    connection.add_log_listener(hear)
    try:
        await greet(Session(connection))
    except BaseException:
        connection.terminate()
        raise
    return connection


def is_doubt(message: Any) -> bool:
    """Tell whether something that the server says beside an answer may mean that the commit is not what it was to be.

    By its source, since its words are in the server's language.
    """
    severity = message.severity_en or message.severity
    return severity == "WARNING" and message.server_source_filename not in _NOT_OF_A_COMMIT


def is_lost(exc: Exception, connection: "Connection | None") -> bool:
    """Tell whether an error means that nobody knows what became of the last statement.

    What is fatal to the server's process may come behind a commit: the log that has it could not be written to its end.
    """
    if isinstance(exc, asyncpg.InterfaceError):  # perhaps our own mistake
        return connection is None or connection.is_closed()
    severity = getattr(exc, "severity_en", None) or getattr(exc, "severity", None)
    return isinstance(exc, _LOST) or severity in _FATAL


def is_read_only(exc: Exception) -> bool:
    """Tell whether the server cannot be written any more; another host may be the primary now."""
    return isinstance(exc, asyncpg.ReadOnlySQLTransactionError)


def translate(exc: BaseException) -> StoreUnavailable | StoreFull:
    """Name an error of the library in the words of `relayd.errors`."""
    if isinstance(exc, StoreUnavailable | StoreFull):
        return exc
    if isinstance(exc, asyncpg.DiskFullError):
        return StoreFull("no room left on the disk of the database")
    if isinstance(exc, asyncpg.QueryCanceledError):
        return TookTooLong("the question took longer than it may: a narrower one is faster")
    if isinstance(exc, asyncpg.TargetServerAttributeNotMatched):
        return StoreUnavailable(
            "the server is a standby, or read-only: name the primary in store.url as well"
        )
    if isinstance(exc, TimeoutError):
        return StoreUnavailable(f"the database does not answer within {_CONNECTS_WITHIN:g} s")
    return StoreUnavailable(in_words(exc))

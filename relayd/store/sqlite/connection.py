"""Opening the queue file: creation, durability settings, schema.

Owns what must hold before the first statement: a SQLite without the WAL-reset bug (HQ-01), WAL as
`wal.Wal` takes it over, a schema of our version, never a new queue over an old one (F-18). A new file is built under another name and renamed, so that a crash leaves all or nothing.
"""

import os
import stat
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import apsw

from relayd.errors import SchemaMismatch, StoreFull, StoreUnavailable
from relayd.files import rename, sync
from relayd.store.spool import directory_of, has_content
from relayd.store.sqlite.condition import APPLICATION_ID, FILE_MODE, check_to_write, no_queue
from relayd.store.sqlite.lock import FileLock

OLDEST_SQLITE = 3_051_003  # HQ-01
_SCHEMA = Path(__file__).with_name("schema")


Upgrading = Callable[[int, int], None]
"""Is told before each step that brings an existing queue up to date: its number, and that of the last one."""


def prepare(path: str, upgrading: Upgrading | None = None) -> None:
    """Create the queue file if there is none, and bring its schema up to date.

    Raises SchemaMismatch for a file of a newer relayd, StoreUnavailable for one that is not ours, StoreFull.
    """
    if apsw.SQLITE_VERSION_NUMBER < OLDEST_SQLITE:
        raise StoreUnavailable(f"SQLite {library_version()} is too old: 3.51.3 or newer")
    from relayd.store.sqlite import replacing  # noqa: PLC0415 -- readers need none of it

    with closing(FileLock(f"{path}.write")) as lock, lock.turn():
        replacing.finish_earlier(path)
        if not Path(path).exists():
            _create(path)
        check_to_write(path)
        _open_to_group(path)
        db = open_writer(path)
        try:
            _migrate(db, path, upgrading)
        except apsw.Error as exc:
            raise translate(exc) from exc
        finally:
            db.close()


def library_version() -> str:
    """Return the version of the SQLite in use, such as 3.54.1; Python's own has another."""
    return apsw.sqlite_lib_version()


def open_writer(path: str) -> apsw.Connection:
    """Open the file for writing, in WAL mode. A commit is not durable: that is for `wal.Wal` (HQ-02)."""
    try:
        db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=200)
        db.set_busy_timeout(30_000)
        _expect(db, "PRAGMA journal_mode=WAL", "wal")
        db.execute("PRAGMA synchronous=NORMAL")
        _expect(db, "PRAGMA synchronous", 1)
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("PRAGMA cache_size=-32768")
        db.execute("PRAGMA temp_store=MEMORY")
    except apsw.NotADBError as exc:
        raise no_queue(path, "is not a relayd queue") from exc
    except apsw.Error as exc:
        raise translate(exc) from exc
    return db


def open_reader(path: str, *, any_older: bool = False, immutable: bool = False) -> apsw.Connection:
    """Open the file read-only, one of an older schema only if that is asked for.

    `immutable`: nobody changes it meanwhile, and no lock is taken (`relayd.store.sqlite.outside`).
    Raises StoreUnavailable when it cannot be opened, SchemaMismatch.
    """
    name, flags = path, apsw.SQLITE_OPEN_READONLY
    if immutable:
        name, flags = f"file:{_in_uri(path)}?immutable=1", flags | apsw.SQLITE_OPEN_URI
    try:
        db = apsw.Connection(name, flags=flags)
        db.set_busy_timeout(10_000)
        _expect_ours(db, path)
        version = _pragma(db, "user_version")
    except apsw.NotADBError as exc:
        raise no_queue(path, "is not a relayd queue") from exc
    except apsw.Error as exc:
        raise translate(exc) from exc
    _check_version(path, version)
    if version < newest_schema() and not any_older:
        db.close()
        raise StoreUnavailable(
            f"{path} has schema {version}, this relayd reads {newest_schema()}: start relayd,"
            " which brings it up to date (minutes for a long history)"
        )
    return db


def _in_uri(path: str) -> str:
    """Return the path as a URI has it. Source: https://sqlite.org/uri.html."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def newest_schema() -> int:
    """Return the version of the schema that this relayd writes. Reads no step: each question asks for it."""
    return max(int(name[:4]) for name in os.listdir(_SCHEMA) if name.endswith(".sql"))  # noqa: PTH208 -- names alone


def translate(exc: apsw.Error) -> StoreFull | StoreUnavailable:
    """Name an apsw error in the words of `relayd.errors`."""
    if isinstance(exc, apsw.FullError) or getattr(exc, "extendedresult", 0) in _FULL:
        return StoreFull("no room left for the queue file")
    return StoreUnavailable(f"the queue file cannot be used: {exc}")


_FULL = frozenset({apsw.SQLITE_FULL})


def _create(path: str) -> None:
    for side in (f"{path}-wal", f"{path}-journal"):
        if Path(side).exists():
            raise StoreUnavailable(f"{path} is missing but {side} is there: restore the queue file")
    if has_content(path):
        raise StoreUnavailable(
            f"{path} is missing but {directory_of(path)} has messages: restore the queue file"
        )
    building = f"{path}.new"
    Path(building).unlink(missing_ok=True)
    descriptor = os.open(building, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    os.fchmod(
        descriptor, FILE_MODE
    )  # whatever the umask; SQLite gives the -wal and the -shm the same
    os.close(descriptor)
    try:
        db = apsw.Connection(building)
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # before there is a page: `compacting`
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        _apply(db, path, since=0)
        db.execute("PRAGMA journal_mode=WAL")
        db.close()
    except apsw.Error as exc:
        raise translate(exc) from exc
    sync(building)
    rename(Path(building), Path(path))


def _open_to_group(path: str) -> None:
    """Let the group read a queue of an older relayd, which only its owner could."""
    for file in (path, f"{path}-wal", f"{path}-shm"):
        with suppress(OSError):  # it is not there, or another's: who may use it stays as it is
            mode = stat.S_IMODE(os.stat(file).st_mode)  # noqa: PTH116 -- a name, not a path
            if not mode & 0o040:
                os.chmod(file, mode | 0o040)  # noqa: PTH101 -- as above


def _migrate(db: apsw.Connection, path: str, upgrading: Upgrading | None) -> None:
    version = _pragma(db, "user_version")
    _expect_ours(db, path)
    _check_version(path, version)
    _apply(db, path, since=version, upgrading=upgrading)


def _expect_ours(db: apsw.Connection, path: str) -> None:
    """Raise StoreUnavailable for a file of another program."""
    if _pragma(db, "application_id") != APPLICATION_ID:
        raise no_queue(path, "is not a relayd queue")


def _check_version(path: str, version: int) -> None:
    newest = newest_schema()
    if version > newest:
        raise SchemaMismatch(
            f"{path} has schema {version}, this relayd knows up to {newest}: install the newer version"
        )


def _apply(
    db: apsw.Connection, path: str, *, since: int, upgrading: Upgrading | None = None
) -> None:
    """Run what is missing, each step for good: a long history takes its time, and a start may be ended.

    An index of millions is sorted in files beside the queue, not in memory.
    """
    missing = [each for each in _migrations() if each[0] > since]
    if missing:
        folder = str(Path(path).absolute().parent).replace("'", "''")
        db.execute(f"PRAGMA temp_store=FILE; PRAGMA temp_store_directory='{folder}'")
    for number, script in missing:
        if upgrading is not None:
            upgrading(number, missing[-1][0])
        with db:
            db.execute(script)
            db.execute(f"PRAGMA user_version={number}")
        db.wal_checkpoint()
    if missing:
        db.execute("PRAGMA temp_store_directory=''")


def _migrations() -> list[tuple[int, str]]:
    return sorted((int(file.name[:4]), file.read_text()) for file in _SCHEMA.glob("*.sql"))


def _pragma(db: apsw.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").get)


def _expect(db: apsw.Connection, pragma: str, wanted: str | int) -> None:
    got = db.execute(pragma).get
    if got != wanted:
        raise StoreUnavailable(f"SQLite answered {got!r} to {pragma!r}, {wanted!r} is needed")

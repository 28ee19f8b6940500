"""The queue file as those open it who are not its daemon: to read, also as a member of its group.

SQLite reads a file in WAL mode by its -wal and its -shm. After a clean stop they are gone. Who may
write there would leave new ones behind, and who may only read could not open the file at all. So a file
without a -wal is opened as one that nobody changes (immutable): without locks, and without a file
beside it. When somebody takes it into use it is opened anew, and what was asked meanwhile is asked again.

Source: https://sqlite.org/wal.html#readonly, https://sqlite.org/uri.html#uriimmutable
"""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import apsw

from relayd.errors import StoreForbidden, StoreUnavailable, TookTooLong
from relayd.file_access import who_may
from relayd.store.sqlite.condition import check_file, check_index
from relayd.store.sqlite.connection import open_reader, translate

T = TypeVar("T")
_State = (
    tuple[int, int, int] | None
)  # of a file that nobody has in use: which, how long, since when

_TRIES = 3
_LOOKS = 10
_STEPS = 20_000  # of SQLite between two looks at the clock: less than 1 ms


class OutsideReader:
    """A read-only connection that stays right when a daemon starts or stops."""

    def __init__(self, path: str, *, any_older: bool = False, within: float | None = None) -> None:
        """Open the file. Raises StoreUnavailable, StoreForbidden, SchemaMismatch.

        `within`: how many seconds a question may take that is asked in `limited`; None: any time.
        """
        self._path = path
        self._any_older = any_older
        self._within = within
        self._ends: float | None = None  # monotonic; of the question that is asked
        self._state: _State = None
        self.db = self._open()

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Stop what is asked meanwhile when its time is over: TookTooLong. Not for one within another."""
        if self._within is None or self._ends is not None:
            yield
            return
        self._ends = time.monotonic() + self._within
        try:
            yield
        except StoreUnavailable as error:
            if isinstance(error.__cause__, apsw.InterruptError):
                words = f"the question took more than {self._within:g} s: ask a narrower one"
                raise TookTooLong(words) from error
            raise
        finally:
            self._ends = None

    def _is_over(self) -> bool:
        return self._ends is not None and time.monotonic() > self._ends

    def ask(self, question: Callable[[], T]) -> T:
        """Return the answer to a question to `db`, which may be asked twice. Raises StoreUnavailable.

        Beside a busy writer a read may fail once where the -wal begins anew.
        """
        for _ in range(_TRIES):
            if self.has_changed():
                self._renew()
            try:
                answer = question()
            except StoreUnavailable as error:
                if not self.has_changed() and not isinstance(error.__cause__, apsw.ReadOnlyError):
                    raise
            else:
                if not self.has_changed():
                    return answer
        raise StoreUnavailable(f"{self._path} is taken into use just now: ask again")

    def read(self, question: Callable[[apsw.Connection], T]) -> T:
        """Return the answer to one short question. As `ask`, in `limited`."""

        def see() -> T:
            with self.reading():
                return question(self.db)

        with self.limited():
            return self.ask(see)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See one instant of the store, for a short while. Raises StoreUnavailable."""
        try:
            with self.db:
                yield
        except apsw.Error as exc:
            raise translate(exc) from exc

    def has_changed(self) -> bool:
        """Tell whether somebody takes the file into use that was opened as one that nobody changes."""
        return self._state is not None and self._state != _state_of(self._path)

    def _renew(self) -> None:
        fresh = self._open()
        self.db.close()
        self.db = fresh

    def _open(self) -> apsw.Connection:
        try:
            check_file(self._path)
            _look(self._path)
            self._state = _state_of(self._path)
            return self._open_file()
        except FileNotFoundError as error:
            from relayd.store.sqlite import replacing  # noqa: PLC0415 -- mostly the file is there

            if replacing.ready(self._path).is_dir():
                words = f"a restore of {self._path} was cut short: start relayd, which finishes it"
            else:
                words = f"no queue yet at {self._path}: has relayd been started?"
            raise StoreUnavailable(words) from error
        except PermissionError as error:
            raise StoreForbidden(f"you may not read {self._path}: {who_may(self._path)}") from error
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be read: {error.strerror}") from error

    def _open_file(self) -> apsw.Connection:
        db = open_reader(self._path, any_older=self._any_older, immutable=self._state is not None)
        if self._within is not None:
            db.set_progress_handler(self._is_over, _STEPS)
        return db


def _look(path: str) -> None:
    """Raise OSError if the file, or one that SQLite needs beside it, may not be read.

    Without opening it: who closes a file gives up all locks that its process has on it, SQLite's too.
    """
    os.stat(path)  # noqa: PTH116 -- a name, not a path
    for file in (path, f"{path}-wal", f"{path}-shm"):
        _look_at(file)
    check_index(path)


def _look_at(file: str) -> None:
    """Raise PermissionError if it may not be read; none is none.

    `access` says no of a file that is not there, too, and one may go, or come, at any time. So only who hears it again and
    again, of a file that is there each time, may not read it.
    """
    for _ in range(_LOOKS):
        if os.access(file, os.R_OK, effective_ids=True):
            return
        try:
            os.stat(file)  # noqa: PTH116 -- a name, not a path
        except FileNotFoundError:
            return
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), file)


def _state_of(path: str) -> _State:
    """Return None while somebody has the file in use, or has left its -wal behind."""
    with suppress(FileNotFoundError):
        os.stat(f"{path}-wal")  # noqa: PTH116 -- a name, not a path
        return None
    found = os.stat(path)  # noqa: PTH116 -- as above
    return found.st_ino, found.st_size, found.st_mtime_ns

"""A queue file as one side of a copy, for who has its lock."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw

from relayd.errors import CopyFailed, StoreUnavailable
from relayd.files import sync
from relayd.mail.content import Content
from relayd.mail.ids import MessageId
from relayd.store.copying import sqlite_rows
from relayd.store.copying.side import (
    CONTENTS,
    PART,
    Keyed,
    Row,
    Tell,
    another_works_on,
    served_since,
)
from relayd.store.copying.tables import COUNTERS, META, TABLES, Table
from relayd.store.moved import ARRIVING, DONE, GIVEN_UP, LEAVING, Mark, read
from relayd.store.spool import FileContent, SpoolDirectory, directory_of
from relayd.store.sqlite.condition import SIDES
from relayd.store.sqlite.connection import open_writer, prepare, translate
from relayd.store.sqlite.replacing import owner_of
from relayd.store.url import queue_file
from relayd.store.values import without_nul

_PAGES = 8192  # of the log, between checkpoints
_DUE = (
    "INSERT INTO destination (key, due_at) SELECT destination, min(next_attempt_at) FROM recipient"
    " WHERE state = 'queued' AND slot IS NULL GROUP BY destination ON CONFLICT (key) DO UPDATE"
    " SET due_at = max(paused_until, excluded.due_at)"
)
_CONTENTS = (
    "SELECT message_id, body, beside FROM content WHERE message_id > ? ORDER BY message_id LIMIT ?"
)
_LAST_EVENT = (
    "SELECT max((SELECT coalesce(max(id), 0) FROM event), (SELECT coalesce(max(event), 0) FROM delivery),"
    " coalesce((SELECT value FROM meta WHERE key = 'tallied'), 0))"
)
_OWN = json.dumps([LEAVING, ARRIVING])
# Numbers of events go on behind the last one that is there.
_NEXT_EVENT = "UPDATE meta SET value = min(value, (SELECT coalesce(max(id), 0) FROM event)) WHERE key = 'tallied'"


class SqliteSide:
    """`relayd.store.copying.side.Side` on a queue file."""

    def __init__(self, url: str) -> None:
        """Open the file, made or brought up to date first. Raises StoreUnavailable, SchemaMismatch."""
        self.url = self.shown = url
        path = str(queue_file(url))
        self._path = path
        self._owner = owner_of(path)
        prepare(path)
        self._files = SpoolDirectory(path)
        self._db = open_writer(path)
        self._db.execute(f"PRAGMA wal_autocheckpoint={_PAGES}")
        self._hand_over()

    async def marks(self) -> tuple[Mark | None, Mark | None]:
        return self._mark(LEAVING), self._mark(ARRIVING)

    async def leave(self, mark: Mark, old: Mark | None) -> None:
        with self._durably():
            self._change(LEAVING, old, mark)

    async def stay(self, mark: Mark) -> None:
        with self._durably():
            sql = "DELETE FROM meta WHERE key = ? AND value = ?"
            self._db.execute(sql, (LEAVING, mark.dump()))
            if self._mark(LEAVING) is not None:
                raise another_works_on(self.shown)

    async def arrive(self, mark: Mark) -> None:
        with self._durably():
            for table in TABLES:
                if table.name != META and self._has_rows(table.name):
                    raise CopyFailed(
                        f"{self.shown} is in use, it has rows of `{table.name}`: name a file that does not exist"
                    )
            self._db.execute(
                "DELETE FROM meta WHERE key NOT IN (SELECT value FROM json_each(?))", (_OWN,)
            )
            self._db.execute("INSERT INTO meta VALUES ('tallied', 0)")
            self._db.execute("UPDATE site_revision SET last = 0")
            self._change(ARRIVING, None, mark)

    async def give_up(self, mark: Mark) -> None:
        with self._durably():
            if mark.state == DONE and self._workers() != mark.workers:
                raise served_since(self.shown)
            self._change(ARRIVING, mark, replace(mark, state=GIVEN_UP))

    async def count(self, table: Table) -> int:
        return int(self._fetch(f"SELECT count(*) FROM {sqlite_rows.source(table)}")[0][0])  # noqa: S608 -- constants

    async def page(self, table: Table, after: Row | None, limit: int) -> Sequence[Keyed]:
        sql, width = sqlite_rows.page(table, is_first=after is None), len(table.key)
        rows = self._fetch(sql, (*(after or ()), limit))
        return [(row[:width], tuple(map(_clean, row[width:]))) for row in rows]

    async def contents(self, after: Row | None) -> Sequence[tuple[MessageId, Content]]:
        found: list[tuple[MessageId, Content]] = []
        first = -1 if after is None else after[0]
        for number, body, beside in self._fetch(_CONTENTS, (first, CONTENTS)):
            message_id = MessageId(number)
            if beside:
                return [*found, (message_id, self._files.content_of(message_id, body, beside))]
            found.append((message_id, bytes(body)))
        return found

    async def counters(self) -> Mapping[str, int]:
        return {
            name: last
            for name, last in self._fetch("SELECT name, seq FROM sqlite_sequence")
            if name in COUNTERS
        }

    async def last_event(self) -> int:
        return int(self._fetch(_LAST_EVENT)[0][0])

    async def advance(self, old: Mark, new: Mark) -> None:
        with self._writing():
            self._change(ARRIVING, old, new)

    async def put(self, table: Table, rows: Sequence[Row], old: Mark, new: Mark) -> None:
        with self._writing():
            self._change(ARRIVING, old, new)
            sqlite_rows.add(self._db, table, rows)

    async def put_contents(
        self, contents: Sequence[tuple[MessageId, Content]], old: Mark, new: Mark
    ) -> None:
        stored = [(message_id, *self._store(message_id, each)) for message_id, each in contents]
        if any(beside for _, _, beside in stored):
            self._files.sync()
        with self._writing():
            self._change(ARRIVING, old, new)
            self._db.executemany(
                "INSERT INTO content (message_id, body, beside) VALUES (?, ?, ?)", stored
            )

    async def prepare(self, counters: Mapping[str, int], last_event: int, tell: Tell) -> None:  # noqa: ARG002 -- events get the number behind the last row
        with self._writing():
            self._db.execute(_DUE)
            for name, last in counters.items():
                self._db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
                self._db.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (name, last))
        self._make_durable()

    async def complete(self, mark: Mark) -> None:
        self._hand_over()  # who finds it complete hands over nothing
        with self._durably():
            self._db.execute(_NEXT_EVENT)
            self._change(ARRIVING, mark, replace(mark, state=DONE, workers=self._workers()))

    async def close(self) -> None:
        with suppress(apsw.Error):  # what is in the log is read from there
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._db.close()

    def _store(self, message_id: MessageId, content: Content) -> tuple[bytes, int]:
        """Return what goes into the row, and how many octets lie in a file of their own."""
        if isinstance(content, bytes) and len(content) <= PART:
            return content, 0
        file = self._files.new(lambda: True)
        try:
            for begin in range(PART, len(content), PART):
                file.write(bytes(content[begin : begin + PART]))
        except BaseException:
            file.discard()
            raise
        whole = file.finish(bytes(content[:PART]))
        assert isinstance(whole, FileContent)
        self._files.keep(whole, message_id)
        return whole.head, whole.beside

    def _mark(self, key: str) -> Mark | None:
        found = self._fetch("SELECT value FROM meta WHERE key = ?", (key,))
        return read(found[0][0]) if found else None

    def _change(self, key: str, old: Mark | None, new: Mark) -> None:
        """Put one mark in the place of another. Raises CopyFailed."""
        if old is None:
            self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, new.dump()))
        else:
            sql = "UPDATE meta SET value = ? WHERE key = ? AND value = ?"
            self._db.execute(sql, (new.dump(), key, old.dump()))
        if not self._db.changes():
            raise another_works_on(self.shown)

    def _workers(self) -> int:
        found = self._fetch("SELECT seq FROM sqlite_sequence WHERE name = 'worker'")
        return int(found[0][0]) if found else 0

    def _has_rows(self, name: str) -> bool:
        return bool(self._fetch(f"SELECT 1 FROM {name} LIMIT 1"))  # noqa: S608 -- constants

    def _fetch(self, sql: str, bindings: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, bindings).fetchall()
        except apsw.Error as exc:
            raise translate(exc) from exc

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._db:
                yield
        except apsw.Error as exc:
            raise translate(exc) from exc

    @contextmanager
    def _durably(self) -> Iterator[None]:
        with self._writing():
            yield
        self._make_durable()

    def _make_durable(self) -> None:
        """Sync what was committed. Raises StoreUnavailable."""
        try:
            sync(f"{self._path}-wal")
            sync(Path(self._path).parent)
        except OSError as exc:
            raise StoreUnavailable(f"{exc.filename}: {exc.strerror}") from exc

    def _hand_over(self) -> None:
        """Give all files to the owner of the queue. Raises StoreUnavailable."""
        folder = directory_of(self._path)
        files = [Path(f"{self._path}{side}") for side in ("", ".write", *SIDES)]
        try:
            for each in (*files, folder, *folder.iterdir()):
                if each.exists():
                    self._owner.take(each)
        except OSError as exc:
            raise StoreUnavailable(f"{exc.filename}: {exc.strerror}") from exc


def _clean(value: Any) -> Any:
    return without_nul(value) if isinstance(value, str) else value

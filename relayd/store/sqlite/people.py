"""`relayd.ports.people` on a SQLite file: a worker's writes, and the questions of any process."""

from collections.abc import Sequence
from datetime import datetime

from relayd.policy.console.roles import Role
from relayd.ports.outward import Clock
from relayd.ports.people import (
    Account,
    AccountChange,
    ApiKey,
    AuditEntry,
    AuditQuery,
    Author,
    Deed,
    LetIn,
    LoggedIn,
    Session,
)
from relayd.store.sqlite import people_rows, people_writes
from relayd.store.sqlite.outside import OutsideReader
from relayd.store.sqlite.reading import Reader
from relayd.store.sqlite.writer import Writer


class SqlitePeople:
    """`People`: by the one writer and the reading connection of a worker."""

    def __init__(self, writer: Writer, reader: Reader, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock

    async def logged_in(self, token_hash: bytes) -> LoggedIn | None:
        return await self._reader.ask(lambda db: people_rows.logged_in(db, token_hash))

    async def find_accounts(self) -> Sequence[Account]:
        return await self._reader.ask(people_rows.accounts)

    async def find_key(self, key_id: str) -> ApiKey | None:
        return await self._reader.ask(lambda db: people_rows.key(db, key_id))

    async def add_account(self, account: Account, *, author: Author) -> bool:
        now = self._clock.now()
        return await self._writer.submit(
            lambda db: people_writes.add_account(db, account, author, now)
        )

    async def change_account(self, name: str, change: AccountChange, *, author: Author) -> bool:
        now = self._clock.now()
        return await self._writer.submit(
            lambda db: people_writes.change_account(db, name, change, author, now)
        )

    async def drop_account(self, name: str, *, author: Author) -> bool:
        now = self._clock.now()
        return await self._writer.submit(
            lambda db: people_writes.drop_account(db, name, author, now)
        )

    async def add_key(self, key: ApiKey, *, author: Author) -> bool:
        now = self._clock.now()
        return await self._writer.submit(lambda db: people_writes.add_key(db, key, author, now))

    async def change_key(self, key_id: str, *, disabled: bool, author: Author) -> bool:
        now = self._clock.now()
        return await self._writer.submit(
            lambda db: people_writes.change_key(
                db, key_id, disabled=disabled, author=author, now=now
            )
        )

    async def drop_key(self, key_id: str, *, author: Author) -> bool:
        now = self._clock.now()
        return await self._writer.submit(lambda db: people_writes.drop_key(db, key_id, author, now))

    async def touch_key(self, key_id: str) -> None:
        now = self._clock.now()
        await self._writer.submit(lambda db: people_writes.touch_key(db, key_id, now))

    async def open_session(
        self, session: Session, *, author: Author, how: str = "", if_hash: str | None = None
    ) -> bool:
        now = self._clock.now()
        return await self._writer.submit(
            lambda db: people_writes.open_session(
                db, session, how=how, if_hash=if_hash, author=author, now=now
            )
        )

    async def let_in(self, session: Session, *, subject: str, role: Role, how: str) -> LetIn:
        now = self._clock.now()
        return await self._writer.submit(
            lambda db: people_writes.let_in(
                db, session, subject=subject, role=role, how=how, now=now
            )
        )

    async def touch_session(self, token_hash: bytes) -> None:
        now = self._clock.now()
        await self._writer.submit(lambda db: people_writes.touch_session(db, token_hash, now))

    async def end_session(self, token_hash: bytes, *, author: Author) -> bool:
        now = self._clock.now()
        return await self._writer.submit(
            lambda db: people_writes.end_session(db, token_hash, author, now)
        )

    async def end_sessions(self, account: str, *, author: Author) -> int:
        now = self._clock.now()
        return await self._writer.submit(
            lambda db: people_writes.end_sessions(db, account, author, now)
        )

    async def note(self, deed: Deed, *, author: Author) -> None:
        now = self._clock.now()
        await self._writer.submit(lambda db: people_writes.note(db, deed, author, now))

    async def forget(self, audit_before: datetime) -> int:
        now = self._clock.now()
        return await self._writer.submit(lambda db: people_writes.forget(db, audit_before, now))


class SqlitePeopleView:
    """`PeopleView`."""

    def __init__(self, file: OutsideReader) -> None:
        self._file = file

    def accounts(self) -> Sequence[Account]:
        return self._file.read(people_rows.accounts)

    def account(self, name: str) -> Account | None:
        return self._file.read(lambda db: people_rows.account(db, name))

    def keys(self) -> Sequence[ApiKey]:
        return self._file.read(people_rows.keys)

    def key(self, key_id: str) -> ApiKey | None:
        return self._file.read(lambda db: people_rows.key(db, key_id))

    def session(self, token_hash: bytes) -> Session | None:
        return self._file.read(lambda db: people_rows.session(db, token_hash))

    def sessions(self, account: str) -> Sequence[Session]:
        return self._file.read(lambda db: people_rows.sessions(db, account))

    def audit(
        self,
        query: AuditQuery,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
    ) -> Sequence[AuditEntry]:
        return self._file.read(
            lambda db: people_rows.audit(db, query, limit=limit, before=before, after=after)
        )

"""`relayd.ports.people` on PostgreSQL: a worker's writes, and the questions of any process."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

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
from relayd.store.postgres import people_rows, people_writes
from relayd.store.postgres.line import Line, Operation
from relayd.store.postgres.line import Session as Db
from relayd.store.postgres.questions import Questions

T = TypeVar("T")


class PostgresPeople:
    """`People`, on a line of a worker."""

    def __init__(self, line: Line, clock: Clock) -> None:
        self._line = line
        self._clock = clock

    async def _write(self, operation: Operation[T]) -> T:
        """Run a write; what it decides by is not changed by another one meanwhile."""

        async def alone(db: Db) -> T:
            await db.execute("LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE")
            return await operation(db)

        return await self._line.submit(alone)

    async def logged_in(self, token_hash: bytes) -> LoggedIn | None:
        return await self._line.submit(lambda db: people_rows.logged_in(db, token_hash))

    async def find_accounts(self) -> Sequence[Account]:
        return await self._line.submit(people_rows.accounts)

    async def find_key(self, key_id: str) -> ApiKey | None:
        return await self._line.submit(lambda db: people_rows.key(db, key_id))

    async def add_account(self, account: Account, *, author: Author) -> bool:
        now = self._clock.now()
        return await self._write(lambda db: people_writes.add_account(db, account, author, now))

    async def change_account(self, name: str, change: AccountChange, *, author: Author) -> bool:
        now = self._clock.now()
        return await self._write(
            lambda db: people_writes.change_account(db, name, change, author, now)
        )

    async def drop_account(self, name: str, *, author: Author) -> bool:
        now = self._clock.now()
        return await self._write(lambda db: people_writes.drop_account(db, name, author, now))

    async def add_key(self, key: ApiKey, *, author: Author) -> bool:
        now = self._clock.now()
        return await self._write(lambda db: people_writes.add_key(db, key, author, now))

    async def change_key(self, key_id: str, *, disabled: bool, author: Author) -> bool:
        now = self._clock.now()
        return await self._write(
            lambda db: people_writes.change_key(
                db, key_id, disabled=disabled, author=author, now=now
            )
        )

    async def drop_key(self, key_id: str, *, author: Author) -> bool:
        now = self._clock.now()
        return await self._write(lambda db: people_writes.drop_key(db, key_id, author, now))

    async def touch_key(self, key_id: str) -> None:
        now = self._clock.now()
        await self._write(lambda db: people_writes.touch_key(db, key_id, now))

    async def open_session(
        self, session: Session, *, author: Author, how: str = "", if_hash: str | None = None
    ) -> bool:
        now = self._clock.now()
        return await self._write(
            lambda db: people_writes.open_session(
                db, session, how=how, if_hash=if_hash, author=author, now=now
            )
        )

    async def let_in(self, session: Session, *, subject: str, role: Role, how: str) -> LetIn:
        now = self._clock.now()
        return await self._write(
            lambda db: people_writes.let_in(
                db, session, subject=subject, role=role, how=how, now=now
            )
        )

    async def touch_session(self, token_hash: bytes) -> None:
        now = self._clock.now()
        await self._write(lambda db: people_writes.touch_session(db, token_hash, now))

    async def end_session(self, token_hash: bytes, *, author: Author) -> bool:
        now = self._clock.now()
        return await self._write(lambda db: people_writes.end_session(db, token_hash, author, now))

    async def end_sessions(self, account: str, *, author: Author) -> int:
        now = self._clock.now()
        return await self._write(lambda db: people_writes.end_sessions(db, account, author, now))

    async def note(self, deed: Deed, *, author: Author) -> None:
        now = self._clock.now()
        await self._write(lambda db: people_writes.note(db, deed, author, now))

    async def forget(self, audit_before: datetime) -> int:
        now = self._clock.now()
        return await self._write(lambda db: people_writes.forget(db, audit_before, now))


class PostgresPeopleView:
    """`PeopleView`."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    def accounts(self) -> Sequence[Account]:
        return self._questions.ask(people_rows.accounts)

    def account(self, name: str) -> Account | None:
        return self._questions.ask(lambda db: people_rows.account(db, name))

    def keys(self) -> Sequence[ApiKey]:
        return self._questions.ask(people_rows.keys)

    def key(self, key_id: str) -> ApiKey | None:
        return self._questions.ask(lambda db: people_rows.key(db, key_id))

    def session(self, token_hash: bytes) -> Session | None:
        return self._questions.ask(lambda db: people_rows.session(db, token_hash))

    def sessions(self, account: str) -> Sequence[Session]:
        return self._questions.ask(lambda db: people_rows.sessions(db, account))

    def audit(
        self,
        query: AuditQuery,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
    ) -> Sequence[AuditEntry]:
        return self._questions.ask(
            lambda db: people_rows.audit(db, query, limit=limit, before=before, after=after)
        )

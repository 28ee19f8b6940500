"""`relayd.ports.people` in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from relayd.answers.people import told_of_account, told_of_change, told_of_key
from relayd.policy.console import sessions
from relayd.policy.console.names import as_account
from relayd.policy.console.roles import Role
from relayd.ports.outward import Clock
from relayd.ports.people import (
    DETAIL_LIMIT,
    Account,
    AccountChange,
    Action,
    ApiKey,
    AuditEntry,
    AuditQuery,
    Author,
    Deed,
    LetIn,
    LoggedIn,
    Session,
    why_not_let_in,
)


@dataclass(slots=True)
class PeopleTables:
    accounts: dict[str, Account] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    sessions: dict[bytes, Session] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)
    noted: int = 0


class MemoryPeopleView:
    """`PeopleView`."""

    def __init__(self, tables: PeopleTables) -> None:
        self._tables = tables

    def accounts(self) -> Sequence[Account]:
        return [account for _, account in sorted(self._tables.accounts.items())]

    def account(self, name: str) -> Account | None:
        return self._tables.accounts.get(name)

    def keys(self) -> Sequence[ApiKey]:
        return sorted(self._tables.keys.values(), key=lambda key: key.name)

    def key(self, key_id: str) -> ApiKey | None:
        return self._tables.keys.get(key_id)

    def session(self, token_hash: bytes) -> Session | None:
        return self._tables.sessions.get(token_hash)

    def sessions(self, account: str) -> Sequence[Session]:
        found = [each for each in self._tables.sessions.values() if each.account == account]
        found.sort(key=lambda session: session.token_hash)
        return sorted(found, key=lambda session: session.seen_at, reverse=True)

    def audit(
        self,
        query: AuditQuery,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
    ) -> Sequence[AuditEntry]:
        found = [each for each in reversed(self._tables.audit) if _matches(each, query)]
        if after is not None:
            return [each for each in found if each.number > after][-limit:]
        return [each for each in found if before is None or each.number < before][:limit]


class MemoryPeople(MemoryPeopleView):
    """`People`, with the questions of a PeopleView beside it."""

    def __init__(self, tables: PeopleTables, clock: Clock) -> None:
        super().__init__(tables)
        self._clock = clock

    async def logged_in(self, token_hash: bytes) -> LoggedIn | None:
        session = self.session(token_hash)
        account = None if session is None else self.account(session.account)
        if session is None or account is None:
            return None
        return LoggedIn(session=session, account=account)

    async def find_accounts(self) -> Sequence[Account]:
        return self.accounts()

    async def find_key(self, key_id: str) -> ApiKey | None:
        return self.key(key_id)

    async def add_account(self, account: Account, *, author: Author) -> bool:
        if account.name in self._tables.accounts:
            return False
        self._tables.accounts[account.name] = account
        self._note(Deed(Action.ACCOUNT_ADDED, account.name, told_of_account(account)), author)
        return True

    async def change_account(self, name: str, change: AccountChange, *, author: Author) -> bool:
        account = self.account(name)
        if account is None:
            return False
        if told := told_of_change(account, change):
            self._tables.accounts[name] = change.applied_to(account)
            self._end_all(name)
            self._note(Deed(Action.ACCOUNT_CHANGED, name, told), author)
        return True

    async def drop_account(self, name: str, *, author: Author) -> bool:
        account = self._tables.accounts.pop(name, None)
        if account is None:
            return False
        self._end_all(name)
        self._note(Deed(Action.ACCOUNT_REMOVED, name, told_of_account(account)), author)
        return True

    async def add_key(self, key: ApiKey, *, author: Author) -> bool:
        if any(key.id == each.id or key.name == each.name for each in self.keys()):
            return False
        self._tables.keys[key.id] = key
        self._note(Deed(Action.KEY_ADDED, key.id, told_of_key(key)), author)
        return True

    async def change_key(self, key_id: str, *, disabled: bool, author: Author) -> bool:
        key = self.key(key_id)
        if key is None:
            return False
        if key.disabled != disabled:
            self._tables.keys[key_id] = replace(key, disabled=disabled)
            told = f"name {key.name}, {'disabled' if disabled else 'enabled'}"
            self._note(Deed(Action.KEY_CHANGED, key_id, told), author)
        return True

    async def drop_key(self, key_id: str, *, author: Author) -> bool:
        key = self._tables.keys.pop(key_id, None)
        if key is None:
            return False
        self._note(Deed(Action.KEY_REMOVED, key_id, told_of_key(key)), author)
        return True

    async def touch_key(self, key_id: str) -> None:
        if (key := self.key(key_id)) is not None:
            self._tables.keys[key_id] = replace(key, last_used_at=self._clock.now())

    async def open_session(
        self, session: Session, *, author: Author, how: str = "", if_hash: str | None = None
    ) -> bool:
        account = self.account(session.account)
        if account is None or account.disabled or if_hash not in (None, account.password_hash):
            return False
        self._tables.sessions[session.token_hash] = session
        self._tables.accounts[account.name] = replace(account, last_login_at=session.begun_at)
        self._note(Deed(Action.LOGGED_IN, account.name, how), author)
        return True

    async def let_in(self, session: Session, *, subject: str, role: Role, how: str) -> LetIn:
        bound = (each for each in self.accounts() if each.subject == subject)
        account = next(bound, self.account(session.account))
        name = session.account if account is None else account.name
        author = Author(by=as_account(name), client=session.client)
        if account is None:
            now = self._clock.now()
            new = Account(name=name, role=role, created_at=now, subject=subject)
            await self.add_account(new, author=author)
        elif (refused := why_not_let_in(account, subject)) is not None:
            return refused
        else:
            change = AccountChange(role=role, subject=subject)
            await self.change_account(name, change, author=author)
        await self.open_session(replace(session, account=name), author=author, how=how)
        return LetIn.DONE

    async def touch_session(self, token_hash: bytes) -> None:
        if (session := self.session(token_hash)) is not None:
            self._tables.sessions[token_hash] = replace(session, seen_at=self._clock.now())

    async def end_session(self, token_hash: bytes, *, author: Author) -> bool:
        session = self._tables.sessions.pop(token_hash, None)
        if session is not None:
            self._note(Deed(Action.LOGGED_OUT, session.account), author)
        return session is not None

    async def end_sessions(self, account: str, *, author: Author) -> int:
        ended = self._end_all(account)
        if ended:
            self._note(Deed(Action.LOGGED_OUT, account, f"{ended} sessions"), author)
        return ended

    async def note(self, deed: Deed, *, author: Author) -> None:
        self._note(deed, author)

    async def forget(self, audit_before: datetime) -> int:
        tables, now = self._tables, self._clock.now()
        over = [
            session.token_hash
            for session in tables.sessions.values()
            if session.begun_at <= now - sessions.LONGEST or session.seen_at <= now - sessions.IDLE
        ]
        for token_hash in over:
            del tables.sessions[token_hash]
        kept = [each for each in tables.audit if each.at >= audit_before]
        gone, tables.audit[:] = len(tables.audit) - len(kept), kept
        return gone + len(over)

    def _end_all(self, account: str) -> int:
        ended = [session.token_hash for session in self.sessions(account)]
        for token_hash in ended:
            del self._tables.sessions[token_hash]
        return len(ended)

    def _note(self, deed: Deed, author: Author) -> None:
        self._tables.noted += 1
        self._tables.audit.append(
            AuditEntry(
                number=self._tables.noted,
                at=self._clock.now(),
                by=author.by,
                client=author.client,
                action=deed.action,
                target=deed.target[:DETAIL_LIMIT],
                detail=deed.detail[:DETAIL_LIMIT],
            )
        )


def _matches(entry: AuditEntry, query: AuditQuery) -> bool:
    texts = ((query.by, entry.by), (query.action, entry.action), (query.target, entry.target))
    return (
        all(not wanted or wanted.lower() == found.lower() for wanted, found in texts)
        and (query.since is None or entry.at >= query.since)
        and (query.until is None or entry.at < query.until)
    )

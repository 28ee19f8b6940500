"""People, programs and their rights in the console, as the parts of relayd ask the store for them.

The console reads them (`PeopleView`); a worker writes them (`People`), each write in one transaction.
Where a write is of interest to an auditor, its row in the audit is part of that transaction. All may
raise StoreUnavailable, writes StoreFull and CommitUnknown as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from relayd.policy.console.roles import Role, Scope, scopes_of

DETAIL_LIMIT = 2000


class Sees(StrEnum):
    """Which messages an API key is about. Stored and shown: the spelling stays."""

    OWN = "own"  # those that it submitted
    ALL = "all"


class Action(StrEnum):
    """What an audit row tells of the verbs here. Other rows have other words: that of the request."""

    ACCOUNT_ADDED = "account_added"
    ACCOUNT_CHANGED = "account_changed"
    ACCOUNT_REMOVED = "account_removed"
    KEY_ADDED = "key_added"
    KEY_CHANGED = "key_changed"
    KEY_REMOVED = "key_removed"
    LOGGED_IN = "logged_in"
    LOGGED_OUT = "logged_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person who may log in to the console."""

    name: str
    role: Role
    reads_content: bool = False
    password_hash: str = ""  # argon2id; empty: this account cannot log in by password
    disabled: bool = False
    created_at: datetime
    last_login_at: datetime | None = None
    subject: str = (
        ""  # `relayd.policy.console.oidc.Person`; empty: no provider's word has opened it
    )

    def __repr__(self) -> str:
        return f"Account({self.name!r}, {self.role}, password_hash=***)"

    @property
    def scopes(self) -> frozenset[Scope]:
        return scopes_of(self.role, reads_content=self.reads_content)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChange:
    """What is to be different about an account; None: as it is."""

    role: Role | None = None
    reads_content: bool | None = None
    password_hash: str | None = None
    disabled: bool | None = None
    subject: str | None = None

    def applied_to(self, account: Account) -> Account:
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(
            account, **{name: value for name, value in given.items() if value is not None}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A program that may use the API."""

    id: str  # public; the rest of its text is secret
    name: str
    secret_hash: bytes  # `relayd.policy.console.keys.KeyText.hash`
    scopes: frozenset[Scope]
    senders: tuple[str, ...] = ()  # addresses and `@domain`s that it may send from; none: any
    networks: tuple[IPv4Network | IPv6Network, ...] = ()  # of its clients; none: any
    requests_per_minute: int = 0  # 0: no limit
    sees: Sees = Sees.OWN
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None  # up to a minute ago
    disabled: bool = False

    def __repr__(self) -> str:
        return f"ApiKey({self.id!r}, {self.name!r}, secret_hash=***)"

    def scopes_for(self, *, own: bool) -> frozenset[Scope]:
        """What it may ask; `own`: the answer is narrowed to the messages that it submitted itself."""
        return self.scopes if own or self.sees is Sees.ALL else self.scopes & {Scope.SUBMIT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is logged in, by `relayd.policy.console.sessions.judge`; it may be over."""

    token_hash: bytes  # `relayd.policy.console.sessions.hash_of`
    account: str
    begun_at: datetime
    seen_at: datetime
    client: str = ""  # the address it was opened from

    def __repr__(self) -> str:
        return f"Session({self.account!r}, token_hash=***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who does something, for the audit."""

    by: str  # a user of the system, "anna (console)" or "shop (API key)"
    client: str = ""  # the address of the browser or program; empty on this machine


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody does, for the audit; of its texts `DETAIL_LIMIT` characters are kept."""

    action: str
    target: str = ""  # an account, a key, a message, a setting
    detail: str = ""  # from what to what, or why; for people


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One row of the audit."""

    number: int  # the later, the greater
    at: datetime
    by: str
    client: str
    action: str
    target: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which rows are meant: all that is given must match. Text compares without case."""

    by: str = ""
    action: str = ""
    target: str = ""
    since: datetime | None = None
    until: datetime | None = None


class PeopleView(Protocol):
    """What questions see, from any process. Each is a short read."""

    def accounts(self) -> Sequence[Account]:
        """Return all accounts, by name."""
        ...

    def account(self, name: str) -> Account | None:
        """Return the account of that name; case counts."""
        ...

    def keys(self) -> Sequence[ApiKey]:
        """Return all API keys, by name and id; also those that are no longer valid."""
        ...

    def key(self, key_id: str) -> ApiKey | None:
        """Return the key with that public id."""
        ...

    def session(self, token_hash: bytes) -> Session | None:
        """Return the session with that hash; it may be over."""
        ...

    def sessions(self, account: str) -> Sequence[Session]:
        """Return the sessions of an account, the last used first; some may be over."""
        ...

    def audit(
        self,
        query: AuditQuery,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
    ) -> Sequence[AuditEntry]:
        """Return matching rows, the newest first; `before` is the number of the last row of the page before.

        With `after` they are the oldest that are newer than the row of that number.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """A session and its account, as they are at one instant."""

    session: Session
    account: Account


class LetIn(StrEnum):
    """What became of a session that another party's word begins."""

    DONE = "done"
    LOCAL = "the account has a password"
    DISABLED = "the account is disabled"
    ANOTHER = "the account is of another sub"


def why_not_let_in(account: Account, subject: str) -> LetIn | None:
    """Return why a provider's word about a subject does not open an account; None: it does."""
    if account.password_hash:
        return LetIn.LOCAL
    if account.subject not in {"", subject}:
        return LetIn.ANOTHER
    return LetIn.DISABLED if account.disabled else None


class People(Protocol):
    """What a worker writes, and what it looks up to judge a request."""

    async def logged_in(self, token_hash: bytes) -> LoggedIn | None:
        """Return whose session has that hash; it may be over, and the account disabled."""
        ...

    async def find_accounts(self) -> Sequence[Account]:
        """Return all accounts, by name."""
        ...

    async def find_key(self, key_id: str) -> ApiKey | None:
        """Return the key with that public id; it may be no longer valid."""
        ...

    async def add_account(self, account: Account, *, author: Author) -> bool:
        """Add an account; False, and nothing is written, if there is one of that name."""
        ...

    async def change_account(self, name: str, change: AccountChange, *, author: Author) -> bool:
        """Change an account; False if there is none.

        Its sessions end when that changed its rights or its password.
        """
        ...

    async def drop_account(self, name: str, *, author: Author) -> bool:
        """Remove an account and its sessions; False if there is none."""
        ...

    async def add_key(self, key: ApiKey, *, author: Author) -> bool:
        """Add an API key; False, and nothing is written, if there is one with that id or name."""
        ...

    async def change_key(self, key_id: str, *, disabled: bool, author: Author) -> bool:
        """Disable or enable a key; False if there is none."""
        ...

    async def drop_key(self, key_id: str, *, author: Author) -> bool:
        """Remove a key; False if there is none."""
        ...

    async def touch_key(self, key_id: str) -> None:
        """Note that a key was used now."""
        ...

    async def open_session(
        self, session: Session, *, author: Author, how: str = "", if_hash: str | None = None
    ) -> bool:
        """Begin a session, and note when its account logged in; `how` is for the audit.

        False, and nothing is written, if there is no such account, or it is disabled, or it has no longer the
        password hash `if_hash` (None: any).
        """
        ...

    async def let_in(self, session: Session, *, subject: str, role: Role, how: str) -> LetIn:
        """Begin a session of the account of a subject, which is given that role before.

        If no account is of the subject, it is the one that the session names, and from then on of the subject; if
        there is none, it is made. An account with a password, or of another subject, is not touched.
        """
        ...

    async def touch_session(self, token_hash: bytes) -> None:
        """Note that a session was used now."""
        ...

    async def end_session(self, token_hash: bytes, *, author: Author) -> bool:
        """End a session; False if there is none."""
        ...

    async def end_sessions(self, account: str, *, author: Author) -> int:
        """End all sessions of an account; return how many there were."""
        ...

    async def note(self, deed: Deed, *, author: Author) -> None:
        """Add a row to the audit."""
        ...

    async def forget(self, audit_before: datetime) -> int:
        """Delete sessions that are over, and audit rows before an instant; return how many went.

        Some of them at a time: again until it returns 0.
        """
        ...

"""The messages about accounts, API keys, sessions and the audit of the console.

    {"verb": "people.add_account", "name": "anna", "role": "viewer", "reads_content": BOOL, "password_hash": "$argon2id$..."}
    {"verb": "people.change_account", "name": "anna", and those of the others that are to change, "disabled": BOOL}
    {"verb": "people.drop_account", "name": "anna"}
    {"verb": "people.add_key", "name": "shop", "scopes": ["submit"], "senders": ["@example.org"], "networks": ["192.0.2.0/24"],
     "requests_per_minute": NUMBER, "sees": "own", "expires_at": "2027-01-01T00:00:00Z"}
    {"verb": "people.change_key", "id": "...", "disabled": BOOL}
    {"verb": "people.drop_key", "id": "..."}
    {"verb": "people.end_sessions", "name": "anna"}

They answer `{"ok": true, "done": BOOL}`: not done is what is there already, or is not there. `add_key` answers with
`id` and `key`, the whole key, which nobody can be told again.

    {"verb": "people.log_in", "name": "anna", "password": "...", "session": "HASH IN HEX", "client": "192.0.2.7"}
    {"verb": "people.proxy_log_in", "name": "anna", "session": "HASH IN HEX", "client": "192.0.2.7"}
    {"verb": "people.set_password", "old": "...", "password": "..."}: of the account in `as`, whose sessions end
    {"verb": "people.touch_session"}, {"verb": "people.end_session"}, {"verb": "people.touch_key"}: of those in `as`
    {"verb": "people.note", "action": "...", "target": "...", "detail": "...", "client": "192.0.2.7"}

Who logs in shows a password, which the daemon checks, or comes through the proxy before the console, which says who
it is; nobody asks for that in `as`. Not done is who is not let in: `why` is a sentence for them. Nothing that carries a
password is logged.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from relayd.control.acts import read_flag, read_number
from relayd.control.protocol import (
    BadMessage,
    Message,
    read_instant,
    read_text,
    refuse_unknown,
)
from relayd.mail.account import parse_hash, parse_sender
from relayd.mail.text import blanked
from relayd.mail.words import format_instant
from relayd.policy.console.names import parse_name
from relayd.policy.console.roles import Role, Scope
from relayd.ports.people import DETAIL_LIMIT, AccountChange, Deed, Sees

_HASH_OCTETS = 32
PASSWORD_LIMIT = 1024  # octets
_MOST = 100  # senders, or networks, of a key


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    name: str
    role: Role
    reads_content: bool = False
    password_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    name: str
    scopes: frozenset[Scope]
    senders: tuple[str, ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    requests_per_minute: int = 0
    sees: Sees = Sees.OWN
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    account: str
    token_hash: bytes
    client: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPassword:
    old: str = field(repr=False)
    new: str = field(repr=False)


def add_account_to_json(account: NewAccount) -> Message:
    return {
        "verb": "people.add_account",
        "name": account.name,
        "role": account.role,
        "reads_content": account.reads_content,
        "password_hash": account.password_hash,
    }


def add_account_from_json(message: Message) -> NewAccount:
    """Read that request. Raises BadMessage."""
    refuse_unknown(message, {"verb", "name", "role", "reads_content", "password_hash"})
    return NewAccount(
        name=_name(message),
        role=read_text("role", message.get("role"), Role),
        reads_content=read_flag("reads_content", message),
        password_hash=read_text("password_hash", message.get("password_hash", ""), _hash_or_none),
    )


def change_account_to_json(name: str, change: AccountChange) -> Message:
    given = {each.name: getattr(change, each.name) for each in fields(change)}
    told = {key: value for key, value in given.items() if value is not None}
    return {"verb": "people.change_account", "name": name, **told}


def change_account_from_json(message: Message) -> tuple[str, AccountChange]:
    """Read that request: the name, and what is to change. Raises BadMessage."""
    readers: dict[str, Callable[[], object]] = {
        "role": lambda: read_text("role", message["role"], Role),
        "reads_content": lambda: read_flag("reads_content", message),
        "password_hash": lambda: read_text(
            "password_hash", message["password_hash"], _hash_or_none
        ),
        "disabled": lambda: read_flag("disabled", message),
    }
    refuse_unknown(message, {"verb", "name", *readers})
    given: dict[str, Any] = {key: read() for key, read in readers.items() if key in message}
    return _name(message), AccountChange(**given)


def set_password_to_json(password: NewPassword) -> Message:
    return {"verb": "people.set_password", "old": password.old, "password": password.new}


def set_password_from_json(message: Message) -> NewPassword:
    """Read that request. Raises BadMessage."""
    refuse_unknown(message, {"verb", "old", "password"})
    new = _password("password", message)
    if not 0 < len(new.encode()) <= PASSWORD_LIMIT:
        raise BadMessage(f"'password' does not have 1 to {PASSWORD_LIMIT} octets")
    return NewPassword(old=_password("old", message), new=new)


def name_to_json(verb: str, name: str) -> Message:
    """Write a request that names an account and no more."""
    return {"verb": verb, "name": name}


def name_from_json(message: Message) -> str:
    """Read that request. Raises BadMessage."""
    refuse_unknown(message, {"verb", "name"})
    return _name(message)


def add_key_to_json(key: NewKey) -> Message:
    return {
        "verb": "people.add_key",
        "name": key.name,
        "scopes": sorted(key.scopes),
        "senders": list(key.senders),
        "networks": [str(each) for each in key.networks],
        "requests_per_minute": key.requests_per_minute,
        "sees": key.sees,
        "expires_at": None if key.expires_at is None else format_instant(key.expires_at),
    }


def add_key_from_json(message: Message) -> NewKey:
    """Read that request. Raises BadMessage."""
    refuse_unknown(message, {"verb", *(each.name for each in fields(NewKey))})
    scopes = frozenset(_texts("scopes", message, Scope))
    if not scopes:
        raise BadMessage("'scopes' is empty: such a key may do nothing")
    expires_at = message.get("expires_at")
    return NewKey(
        name=_name(message),
        scopes=scopes,
        senders=_texts("senders", message, parse_sender),
        networks=_texts("networks", message, ip_network),
        requests_per_minute=read_number(
            "requests_per_minute", {"requests_per_minute": 0, **message}
        ),
        sees=read_text("sees", message.get("sees", Sees.OWN), Sees),
        expires_at=None
        if expires_at is None
        else read_text("expires_at", expires_at, read_instant),
    )


def change_key_to_json(key_id: str, *, disabled: bool) -> Message:
    return {"verb": "people.change_key", "id": key_id, "disabled": disabled}


def change_key_from_json(message: Message) -> tuple[str, bool]:
    """Read that request: the id, and whether it is disabled. Raises BadMessage."""
    refuse_unknown(message, {"verb", "id", "disabled"})
    if "disabled" not in message:
        raise BadMessage("'disabled' is missing")
    return read_text("id", message.get("id"), str), read_flag("disabled", message)


def drop_key_to_json(key_id: str) -> Message:
    return {"verb": "people.drop_key", "id": key_id}


def drop_key_from_json(message: Message) -> str:
    """Read that request: the id. Raises BadMessage."""
    refuse_unknown(message, {"verb", "id"})
    key_id: str = read_text("id", message.get("id"), str)
    return key_id


def log_in_to_json(session: NewSession, password: str) -> Message:
    return {"verb": "people.log_in", "password": password, **_session_to_json(session)}


def log_in_from_json(message: Message) -> tuple[NewSession, str]:
    """Read that request: the session, and the password. Raises BadMessage.

    The name is as somebody typed it: it need not be one that an account can have.
    """
    refuse_unknown(message, {"verb", "name", "password", "session", "client"})
    session = NewSession(
        account=read_text("name", message.get("name"), str),
        token_hash=read_token_hash(message),
        client=read_line("client", message),
    )
    return session, _password("password", message)


def proxy_log_in_to_json(session: NewSession) -> Message:
    return {"verb": "people.proxy_log_in", **_session_to_json(session)}


def proxy_log_in_from_json(message: Message) -> NewSession:
    """Read that request. Raises BadMessage."""
    refuse_unknown(message, {"verb", "name", "session", "client"})
    return NewSession(
        account=_name(message),
        token_hash=read_token_hash(message),
        client=read_line("client", message),
    )


def note_to_json(deed: Deed, *, client: str = "") -> Message:
    return {
        "verb": "people.note",
        "action": deed.action,
        "target": deed.target,
        "detail": deed.detail,
        "client": client,
    }


def note_from_json(message: Message) -> tuple[Deed, str]:
    """Read that request: what was done, and the address it came from. Raises BadMessage."""
    refuse_unknown(message, {"verb", "action", "target", "detail", "client"})
    action, target, detail = (read_line(key, message) for key in ("action", "target", "detail"))
    if not action:
        raise BadMessage("'action' is missing")
    return Deed(action, target, detail), read_line("client", message)


def read_token_hash(message: Message) -> bytes:
    """Read the hash of a session's token. Raises BadMessage."""
    token_hash: bytes = read_text("session", message.get("session"), bytes.fromhex)
    if len(token_hash) != _HASH_OCTETS:
        raise BadMessage("'session' is not a SHA-256 hash in hex")
    return token_hash


def read_line(key: str, message: Message) -> str:
    """Read a text that makes no second line in a log; empty if it is not there. Raises BadMessage."""
    return blanked(read_text(key, message.get(key, ""), str)[:DETAIL_LIMIT])


def _session_to_json(session: NewSession) -> Message:
    return {
        "name": session.account,
        "session": session.token_hash.hex(),
        "client": session.client,
    }


def _password(key: str, message: Message) -> str:
    """Read a text that no error repeats. Raises BadMessage."""
    password: str = read_text(key, message.get(key), str)
    return password


def _name(message: Message) -> str:
    name: str = read_text("name", message.get("name"), parse_name)
    return name


def _hash_or_none(text: str) -> str:
    return parse_hash(text) if text else ""


def _texts(key: str, message: Message, reader: Callable[[str], Any]) -> tuple[Any, ...]:
    texts = message.get(key, [])
    if not isinstance(texts, list) or len(texts) > _MOST:
        raise BadMessage(f"{key!r} is not a list of at most {_MOST} texts")
    return tuple(read_text(key, each, reader) for each in texts)

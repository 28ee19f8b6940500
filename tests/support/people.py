"""Accounts, API keys and sessions for tests."""

from datetime import datetime
from hashlib import sha256
from typing import Any

from relayd.policy.console.keys import KeyText, make_key
from relayd.policy.console.roles import Role, Scope
from relayd.policy.console.sessions import hash_of, make_token
from relayd.ports.people import Account, ApiKey, Author, Session
from tests.support.clock import START

ROOT = Author(by="root")
HASH = "$argon2id$v=19$m=19456,t=2,p=1$cmVsYXlkLW5vYm9keS4uLg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def an_account(name: str = "anna", role: Role = Role.VIEWER, **fields: Any) -> Account:
    given: dict[str, Any] = {"password_hash": HASH, "created_at": START}
    return Account(name=name, role=role, **(given | fields))


def a_token(number: int = 0) -> str:
    return make_token(sha256(str(number).encode()).digest())


def token_hash(number: int = 0) -> bytes:
    hashed = hash_of(a_token(number))
    assert hashed is not None
    return hashed


def a_session(
    account: str = "anna", number: int = 0, *, at: datetime = START, **fields: Any
) -> Session:
    given: dict[str, Any] = {
        "token_hash": token_hash(number),
        "account": account,
        "begun_at": at,
        "seen_at": at,
    }
    return Session(**(given | fields))


def a_key_text(number: int = 0) -> KeyText:
    digest = sha256(str(number).encode()).digest()
    return make_key(digest[:5], digest[5:25])


def a_key(name: str = "shop", number: int = 0, **fields: Any) -> ApiKey:
    text = a_key_text(number)
    given: dict[str, Any] = {
        "id": text.id,
        "name": name,
        "secret_hash": text.hash,
        "created_at": START,
    }
    return ApiKey(**(given | {"scopes": frozenset({Scope.SUBMIT})} | fields))

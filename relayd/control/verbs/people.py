"""Verbs about who may use the console: accounts, API keys, sessions, and the audit."""

import secrets

import structlog

from relayd.control.log_ins import WRONG, LogInRefused
from relayd.control.people import (
    NewSession,
    add_account_from_json,
    add_key_from_json,
    change_account_from_json,
    change_key_from_json,
    drop_key_from_json,
    log_in_from_json,
    name_from_json,
    note_from_json,
    proxy_log_in_from_json,
    set_password_from_json,
)
from relayd.control.protocol import BadMessage, Message, refuse_unknown
from relayd.control.verbs.verb import Asked, Forbidden, Verb
from relayd.policy.console.access import Rule
from relayd.policy.console.keys import ID_OCTETS, SECRET_OCTETS, make_key
from relayd.policy.console.names import as_account
from relayd.policy.console.roles import Scope, may
from relayd.ports.people import Account, AccountChange, ApiKey, Author, Session

_log = structlog.get_logger(__name__)


async def add_account(asked: Asked) -> Message:
    new = add_account_from_json(asked.request)
    account = Account(
        name=new.name,
        role=new.role,
        reads_content=new.reads_content,
        password_hash=new.password_hash,
        created_at=asked.context.now(),
    )
    done = await asked.context.store.people.add_account(account, author=asked.author)
    return _answer(asked, "account_added", done=done, account=new.name, role=new.role.value)


async def change_account(asked: Asked) -> Message:
    name, change = change_account_from_json(asked.request)
    done = await asked.context.store.people.change_account(name, change, author=asked.author)
    return _answer(asked, "account_changed", done=done, account=name)


async def set_password(asked: Asked) -> Message:
    """Give the account of the session that asks a new password, if it knows the old one. All its sessions end."""
    password, name = set_password_from_json(asked.request), _session_of(asked).account
    log_ins, people = asked.context.log_ins, asked.context.store.people
    try:
        await log_ins.check(name, password.old, asked.author.client, people)
        change = AccountChange(password_hash=await log_ins.hash(password.new))
    except LogInRefused as refused:
        return _not_let_in(refused)
    done = await people.change_account(name, change, author=asked.author)
    return _answer(asked, "account_changed", done=done, account=name)


async def drop_account(asked: Asked) -> Message:
    name = name_from_json(asked.request)
    done = await asked.context.store.people.drop_account(name, author=asked.author)
    return _answer(asked, "account_removed", done=done, account=name)


async def add_key(asked: Asked) -> Message:
    new = add_key_from_json(asked.request)
    text = make_key(secrets.token_bytes(ID_OCTETS), secrets.token_bytes(SECRET_OCTETS))
    key = ApiKey(
        id=text.id,
        name=new.name,
        secret_hash=text.hash,
        scopes=new.scopes,
        senders=new.senders,
        networks=new.networks,
        requests_per_minute=new.requests_per_minute,
        sees=new.sees,
        created_at=asked.context.now(),
        expires_at=new.expires_at,
    )
    if not await asked.context.store.people.add_key(key, author=asked.author):
        return {"ok": True, "done": False}
    return {**_answer(asked, "key_added", key=text.id), "id": text.id, "key": str(text)}


async def change_key(asked: Asked) -> Message:
    key_id, disabled = change_key_from_json(asked.request)
    done = await asked.context.store.people.change_key(
        key_id, disabled=disabled, author=asked.author
    )
    return _answer(asked, "key_changed", done=done, key=key_id)


async def drop_key(asked: Asked) -> Message:
    key_id = drop_key_from_json(asked.request)
    done = await asked.context.store.people.drop_key(key_id, author=asked.author)
    return _answer(asked, "key_removed", done=done, key=key_id)


async def log_in(asked: Asked) -> Message:
    """Open a session for who knows the password of an account."""
    new, password = log_in_from_json(asked.request)
    people = asked.context.store.people
    try:
        account = await asked.context.log_ins.check(new.account, password, new.client, people)
    except LogInRefused as refused:
        return _not_let_in(refused)
    if not await _open(asked, new, if_hash=account.password_hash):
        return _not_let_in(LogInRefused(WRONG))  # it was changed meanwhile
    return {"ok": True, "done": True}


async def proxy_log_in(asked: Asked) -> Message:
    """Open a session for whom the proxy names. Raises Forbidden if the settings name no proxy."""
    new = proxy_log_in_from_json(asked.request)
    if asked.context.settings.console.proxy is None:
        raise Forbidden("console.proxy.header is not set: no proxy says who somebody is")
    return {"ok": True, "done": await _open(asked, new, how="by the proxy")}


async def touch_session(asked: Asked) -> Message:
    refuse_unknown(asked.request, {"verb"})
    await asked.context.store.people.touch_session(_session_of(asked).token_hash)
    return {"ok": True, "done": True}


async def end_session(asked: Asked) -> Message:
    refuse_unknown(asked.request, {"verb"})
    token_hash, people = _session_of(asked).token_hash, asked.context.store.people
    return {"ok": True, "done": await people.end_session(token_hash, author=asked.author)}


async def end_sessions(asked: Asked) -> Message:
    """End all sessions of an account: one's own, or as an admin those of anybody."""
    name, identity = name_from_json(asked.request), asked.identity
    own = "" if identity is None or identity.session is None else identity.session.account
    if identity is not None and name != own and not may(identity.scopes, Scope.ADMIN):
        raise Forbidden("this needs the right 'admin': it is not your account")
    ended = await asked.context.store.people.end_sessions(name, author=asked.author)
    return {"ok": True, "done": ended > 0, "ended": ended}


async def touch_key(asked: Asked) -> Message:
    refuse_unknown(asked.request, {"verb"})
    if asked.identity is None or asked.identity.key is None:
        raise BadMessage("'as' has no API key")
    await asked.context.store.people.touch_key(asked.identity.key.id)
    return {"ok": True, "done": True}


async def note(asked: Asked) -> Message:
    deed, client = note_from_json(asked.request)
    author = asked.author
    if asked.identity is None:
        author = Author(by=asked.by, client=client)
    await asked.context.store.people.note(deed, author=author)
    return {"ok": True, "done": True}


async def _open(
    asked: Asked, new: NewSession, *, how: str = "", if_hash: str | None = None
) -> bool:
    """Open a session; tell whether that is done, as `People.open_session`."""
    now = asked.context.now()
    session = Session(
        token_hash=new.token_hash,
        account=new.account,
        begun_at=now,
        seen_at=now,
        client=new.client,
    )
    author = Author(by=as_account(new.account), client=new.client)
    return await asked.context.store.people.open_session(
        session, author=author, how=how, if_hash=if_hash
    )


def _not_let_in(refused: LogInRefused) -> Message:
    return {"ok": True, "done": False, "why": str(refused)}


def _session_of(asked: Asked) -> Session:
    """Return the session that asks. Raises BadMessage if it is none."""
    if asked.identity is None or asked.identity.session is None:
        raise BadMessage("'as' has no session")
    return asked.identity.session


def _answer(asked: Asked, event: str, *, done: bool = True, **told: str) -> Message:
    if done:
        _log.info(event, **told, by=asked.by)
    return {"ok": True, "done": done}


_ADMIN = Rule(scope=Scope.ADMIN, group=False)
_OWN = Rule(scope=None, group=False)
_CONSOLE = Rule(scope=None, group=False, console=True, account=False)
_NOTES = Rule(scope=None, group=False, console=True)

VERBS = (
    Verb(name="people.add_account", handle=add_account, is_change=True, rule=_ADMIN),
    Verb(name="people.change_account", handle=change_account, is_change=True, rule=_ADMIN),
    Verb(name="people.set_password", handle=set_password, is_change=True, rule=_OWN),
    Verb(name="people.drop_account", handle=drop_account, is_change=True, rule=_ADMIN),
    Verb(name="people.add_key", handle=add_key, is_change=True, rule=_ADMIN),
    Verb(name="people.change_key", handle=change_key, is_change=True, rule=_ADMIN),
    Verb(name="people.drop_key", handle=drop_key, is_change=True, rule=_ADMIN),
    Verb(name="people.log_in", handle=log_in, is_change=True, rule=_CONSOLE),
    Verb(name="people.proxy_log_in", handle=proxy_log_in, is_change=True, rule=_CONSOLE),
    Verb(name="people.touch_session", handle=touch_session, is_change=True, rule=_OWN),
    Verb(name="people.end_session", handle=end_session, is_change=True, rule=_OWN),
    Verb(name="people.end_sessions", handle=end_sessions, is_change=True, rule=_OWN),
    Verb(name="people.touch_key", handle=touch_key, is_change=True, rule=_OWN),
    Verb(name="people.note", handle=note, is_change=True, rule=_NOTES),
)

"""Who somebody is for whom the console asks.

The console is not believed about it. A request carries the secret that the person or the program showed:
the token of a session, or a whole API key. The store has their hashes, so what is looked up here, at each
request, is whether the secret is right and still good, and what its account or key may do now. A console
that was taken over can so act for those who come to it, and cannot raise their rights; and who can only
read the store can act for nobody, for the secrets are not in it.

Who begins a session with a password, or comes from a provider of OpenID Connect, the daemon checks itself. It
believes the console only about whom the proxy before it names, and only where the settings name one.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime

from relayd.control.behalf import Behalf
from relayd.policy.console import sessions
from relayd.policy.console.keys import is_admitted, is_valid, parse_key
from relayd.policy.console.names import as_account, as_key
from relayd.policy.console.roles import Scope
from relayd.ports.people import ApiKey, Author, People, Sees, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody whose session or key is good at this moment."""

    by: str  # for history and audit
    client: str
    scopes: frozenset[Scope]  # over all messages
    own_scopes: frozenset[Scope]  # over those that it submitted itself
    session: Session | None = None  # one of these two
    key: ApiKey | None = None

    @property
    def author(self) -> Author:
        return Author(by=self.by, client=self.client)

    @property
    def sees_own(self) -> bool:
        return self.key is not None and self.key.sees is Sees.OWN


async def identify(behalf: Behalf, people: People, now: datetime) -> Identity | None:
    """Return who that is; None if the session or the key is no longer good, or never was.

    Raises StoreUnavailable.
    """
    if behalf.key:
        return await _by_key(behalf, people, now)
    token_hash = sessions.hash_of(behalf.session)
    found = None if token_hash is None else await people.logged_in(token_hash)
    if found is None or found.account.disabled:
        return None
    session = found.session
    if sessions.judge(session.begun_at, session.seen_at, now=now) is not sessions.Verdict.VALID:
        return None
    return Identity(
        by=as_account(found.account.name),
        client=behalf.client,
        scopes=found.account.scopes,
        own_scopes=found.account.scopes,
        session=session,
    )


async def _by_key(behalf: Behalf, people: People, now: datetime) -> Identity | None:
    text = parse_key(behalf.key)
    key = None if text is None else await people.find_key(text.id)
    if text is None or key is None or not hmac.compare_digest(text.hash, key.secret_hash):
        return None
    if not is_valid(disabled=key.disabled, expires_at=key.expires_at, now=now):
        return None
    if not is_admitted(behalf.client, key.networks):
        return None
    return Identity(
        by=as_key(key.name),
        client=behalf.client,
        scopes=key.scopes_for(own=False),
        own_scopes=key.scopes_for(own=True),
        key=key,
    )

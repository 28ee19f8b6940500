"""Who may do what in the console and its API.

Owns the words and the one rule. A person's account has a role; an API key has scopes. Both come down to
scopes, so one table serves pages, API and control socket. What a role may do, a higher one may too.
Reading the content of messages is apart: no role has it, it is given to an account or a key by itself.
"""

from collections.abc import Collection
from enum import StrEnum
from functools import cache


class Scope(StrEnum):
    """A kind of request. Stored and shown: the spelling stays."""

    SUBMIT = "submit"  # hand in messages; no role has it: people send mail with their mail client
    READ = "read"  # see queue, history and numbers
    OPERATE = "operate"  # change what becomes of messages
    ADMIN = "admin"  # change settings, accounts, keys and webhooks
    CONTENT = "content"  # read what messages say


class Role(StrEnum):
    """What an account is for. Stored and shown: the spelling stays."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


_OF_ROLE = {Role.VIEWER: Scope.READ, Role.OPERATOR: Scope.OPERATE, Role.ADMIN: Scope.ADMIN}
_SUFFICE = {  # any of these is enough for the scope
    Scope.SUBMIT: {Scope.SUBMIT},
    Scope.READ: {Scope.READ, Scope.OPERATE, Scope.ADMIN},
    Scope.OPERATE: {Scope.OPERATE, Scope.ADMIN},
    Scope.ADMIN: {Scope.ADMIN},
}


@cache
def scopes_of(role: Role, *, reads_content: bool) -> frozenset[Scope]:
    """Return what an account may do, as the scopes of a key would say it."""
    return frozenset({_OF_ROLE[role]} | ({Scope.CONTENT} if reads_content else set()))


def may(held: Collection[Scope], needed: Scope) -> bool:
    """Tell whether somebody with these scopes may ask for what needs that one.

    Content is for who may read at all: `content` alone opens nothing.
    """
    if needed is Scope.CONTENT:
        return Scope.CONTENT in held and may(held, Scope.READ)
    return not _SUFFICE[needed].isdisjoint(held)

"""Who may ask the daemon for what, on its control socket.

Owns the rule. Root, the daemon's own user and members of the socket's group are people of this machine, who
ask for themselves. The console is a program: it asks for little by itself, and for the rest it says whose
session or key it has before it. Their scopes then count, not who carries the request.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto

from relayd.policy.console.roles import Scope, may

CONSOLE_USER = "relayd-console"
"""The user of the system that the console runs as."""


class Caller(Enum):
    """Whose process asks."""

    OWNER = auto()  # root or the daemon's own user, who can read and write the queue file anyhow
    CONSOLE = auto()
    GROUP = auto()  # of the socket


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who may use a verb."""

    scope: Scope | None  # that an account or a key needs; None: any will do
    group: bool = True  # the socket's group may, for itself
    console: bool = False  # the console may, for itself
    account: bool = True  # somebody who is logged in may at all, or a key
    own: bool = False  # what a key that sees its own messages asks is narrowed to these


def refusal(rule: Rule, caller: Caller, held: Collection[Scope] | None) -> str | None:
    """Return why a request is refused, None if it is not.

    `held` are the scopes of the account or key that it is made for; None: the caller asks for itself.
    """
    if held is not None:
        return _refusal_of_account(rule, caller, held)
    if caller is Caller.CONSOLE and not rule.console:
        return f"{CONSOLE_USER} has to say which session or API key this is for"
    if caller is Caller.GROUP and not rule.group:
        return "only root and the daemon's user may do this"
    return None


def _refusal_of_account(rule: Rule, caller: Caller, held: Collection[Scope]) -> str | None:
    if caller is Caller.GROUP:
        return f"only root, the daemon's user and {CONSOLE_USER} may ask for an account"
    if not rule.account:
        return "no account and no API key may do this"
    if rule.scope is not None and not may(held, rule.scope):
        return f"this needs the right {rule.scope.value!r}"
    return None

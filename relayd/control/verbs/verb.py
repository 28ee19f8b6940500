"""What a verb of the control socket is, and what its handler gets."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from relayd.control.context import ControlContext, Lines
from relayd.control.identity import Identity
from relayd.control.peer import Peer
from relayd.control.protocol import Message
from relayd.policy.console.access import Rule
from relayd.policy.console.roles import Scope, may
from relayd.ports.people import Author
from relayd.ports.view import Query


class Forbidden(Exception):
    """Another user has to ask; the text says who may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, by whom, and what it can reach."""

    request: Message  # without `as`
    peer: Peer
    identity: Identity | None  # for whom the peer asks; None: for itself
    context: ControlContext

    @property
    def by(self) -> str:
        """Who asks, for the history."""
        return self.peer.name if self.identity is None else self.identity.by

    @property
    def author(self) -> Author:
        """Who asks, for the audit."""
        return Author(by=self.peer.name) if self.identity is None else self.identity.author

    @property
    def only(self) -> str | None:
        """The login whose messages alone are there for who asks; None: all are."""
        return self.identity.by if self.identity is not None and self.identity.sees_own else None

    def narrowed(self, query: Query) -> Query:
        """Return what of a query who asks may change. Raises Forbidden if that is nothing."""
        if self.only is None:
            return query
        own = query.narrowed_to(self.only)
        if own is None:
            raise Forbidden("this key sees only the messages that it submitted")
        return own

    def require_reader(self, *, own: bool = False) -> None:
        """Raise Forbidden if who asks may not see what is in mail; `own`: it is narrowed to `only`."""
        if self.identity is not None:
            held = self.identity.own_scopes if own else self.identity.scopes
            if not may(held, Scope.CONTENT):
                raise Forbidden("this needs the right 'content'")
        elif not (self.peer.is_owner or self.context.settings.read_content):
            raise Forbidden(
                "only root and the daemon's user may read content (control.read_content lets the group)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A verb: its name in requests, and what answers it.

    A handler returns the reply, or lines that follow `{"ok": true}`. It raises BadMessage, Forbidden or
    RelaydError. A change is one of few that are carried out at a time, and is carried to its end; a
    question waits for none of them, and its client may have to leave before it is answered.
    """

    name: str
    handle: Callable[[Asked], Awaitable[Message | Lines]]
    is_change: bool
    rule: Rule
    is_noted: bool = False  # in the audit, before it is carried out for an account or a key

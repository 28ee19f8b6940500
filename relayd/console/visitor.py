"""Who asks for a page."""

from dataclasses import dataclass, field

from relayd.console.guard import token_of
from relayd.policy.console.roles import Role, Scope, may, scopes_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """An account that has logged in."""

    name: str
    role: Role
    reads_content: bool
    secret: str = field(repr=False)  # of the session, as the cookie has it

    @property
    def token(self) -> str:
        """What each form of this session carries."""
        return token_of(self.secret)

    def may(self, scope: str) -> bool:
        """Tell whether this account may do what needs a scope."""
        held = scopes_of(self.role, reads_content=self.reads_content)
        return may(held, Scope(scope))

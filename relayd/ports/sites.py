"""What all workers know of the sites that mail goes to directly: how each is treated, and whose mail goes another way.

It is written when something changes, not for each message. Workers read what changed since they last looked. Each
verb is one transaction, and may raise what `relayd.ports.queue` says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from relayd.policy.pace import Seen, SiteState


@dataclass(frozen=True, slots=True, order=True)
class SiteKey:
    """One site, and the address of ours that it sees."""

    site: str  # `relayd.policy.delivery.site.site_key`
    source: str = ""  # empty: the system chooses

    @property
    def account(self) -> str:
        """The name that its permits are booked under, as those of an account at a smarthost."""
        return f"site:{self.site} {self.source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSite:
    key: SiteKey
    state: SiteState


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """The mail of a domain goes by the smarthost, while its site refuses all our addresses."""

    domain: str
    site: str
    until: float  # seconds since 1970; in the past: it goes directly
    reply: str = ""  # what the site said


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changed after a revision, and the one that it is now."""

    revision: int
    sites: Sequence[KnownSite] = field(default=())
    fallbacks: Sequence[Fallback] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """The state of a site before and after something was seen of it, both as of now."""

    before: SiteState
    after: SiteState


class SiteStates(Protocol):
    """A part of `relayd.ports.queue.QueueStore`."""

    async def site_states(self, since: int = 0) -> Changes:
        """Return what changed after this revision; 0: all that is known."""
        ...

    async def note_site(self, key: SiteKey, seen: Seen) -> Noted:
        """Let an attempt count, as `relayd.policy.pace.observe` says. Nothing is written if it changes nothing."""
        ...

    async def begin_probe(self, key: SiteKey) -> SiteState | None:
        """Let one message ask a site that was left alone; None: another one does, or it is not the time for it.

        The state has until when nobody else may. A second call by the same worker is refused, too.
        """
        ...

    async def free_site(self, site: str) -> Sequence[KnownSite]:
        """Forget what is known of a site, with all addresses of ours; return what that was."""
        ...

    async def note_fallback(self, fallback: Fallback) -> bool:
        """Let the mail of a domain go another way until then; tell whether it did not do so before.

        With an `until` in the past it goes directly again. One that ends before the one on record changes nothing.
        """
        ...


class SiteStatesView(Protocol):
    """Questions about them; a part of `relayd.ports.view.QueueView`."""

    def sites(self) -> Sequence[KnownSite]:
        """Return the sites that are not simply free, in the order of their keys."""
        ...

    def fallbacks(self) -> Sequence[Fallback]:
        """Return the domains whose mail may go another way, in the order of their names; some may be over."""
        ...

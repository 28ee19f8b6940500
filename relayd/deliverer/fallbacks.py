"""The domains whose mail goes by the smarthost now, as one worker knows them: read by all that decide a route.

The store has what all workers noted, and `site_news` reads it.

Invariant: a fall-back is in the store before mail is moved because of it. Else the worker that claims that mail next
would move it back.
"""

import asyncio
from datetime import timedelta

import structlog

from relayd.deliverer.site_news import SiteNews
from relayd.errors import StoreBroken, StoreError
from relayd.mail.words import format_duration
from relayd.policy.delivery.fallback import FALLS_BACK_FOR
from relayd.ports.outward import Clock
from relayd.ports.sites import Changes, Fallback

_RETRY_STORE = 1.0  # seconds between tries to write

log = structlog.get_logger()


class Fallbacks:
    """Holds the domains, which are in lower case: ask with `in`."""

    def __init__(self, news: SiteNews, *, clock: Clock) -> None:
        self._store = news.states
        self._clock = clock
        self._known: dict[str, Fallback] = {}
        self._ours: set[str] = set()  # domains of whose fall-back this worker tells
        news.watch(self._learn)

    def __contains__(self, domain: object) -> bool:
        if not self._known or not isinstance(domain, str):
            return False
        fallback = self._known.get(domain)
        return fallback is not None and fallback.until > self._now()

    async def _learn(self, changes: Changes) -> None:
        self._known |= {each.domain: each for each in changes.fallbacks}
        for domain in [domain for domain in self._known if domain not in self]:
            del self._known[domain]
            if domain in self._ours:
                self._ours.discard(domain)
                log.info("fallback_off", domain=domain)

    async def begin(
        self,
        domain: str,
        site: str,
        reply: str,
        *,
        lasts: timedelta = FALLS_BACK_FOR,
        is_told: bool = True,
    ) -> None:
        """Let the mail of a domain go by the smarthost for a while, however often it takes to note that.

        `is_told`: in the log.
        """
        until = self._now() + lasts.total_seconds()
        fallback = Fallback(domain=domain, site=site, until=until, reply=reply)
        is_new = await self._note(fallback)
        while is_new is None:
            await asyncio.sleep(_RETRY_STORE)
            is_new = await self._note(fallback)
        known = self._known.get(domain)
        if known is None or known.until < until:  # the store keeps the later one, too
            self._known[domain] = fallback
        if is_new and is_told:
            self._ours.add(domain)
            log.warning(
                "fallback_on",
                domain=domain,
                site=site,
                lasts=format_duration(lasts),
                fault="peer",
                reason=reply,
            )

    async def _note(self, fallback: Fallback) -> bool | None:
        """Write it; tell whether it is new, or None if the store cannot just now."""
        try:
            return await self._store.note_fallback(fallback)
        except StoreBroken:
            raise
        except StoreError as error:
            domain, reason = fallback.domain, str(error)
            log.warning("fallback_not_noted", domain=domain, fault="local", reason=reason)
            return None

    def _now(self) -> float:
        return self._clock.now().timestamp()

"""Connections to sites, where there are more workers than a site may have connections: one for each share in the store.

A worker asks for a share when mail waits for a connection, keeps it while there is some, and gives it back when others
wait for long (`relayd.policy.delivery.scarce`). What many sites need is asked for at once: a share is no write for
each connection.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from weakref import ref

import structlog

from relayd.deliverer.nexthop.sites import Site, Sites
from relayd.errors import StoreBroken, StoreError
from relayd.mail.ids import WorkerNumber
from relayd.policy.delivery.scarce import TURN, Claim
from relayd.policy.seldom import Seldom
from relayd.ports.outward import Clock
from relayd.ports.shares import Shares

_ASKED_AGAIN = 1.0  # seconds, of one that waits, or that gives its share back
_RENEWED = TURN / 1000  # seconds: by then somebody else may be due
_SURE = 40.0  # seconds after it was asked for that a share is ours, of 60; as `relayd.deliverer.leases` has them

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Asked:
    site: Site
    due_at: float  # monotonic: when the store is asked next
    sure_until: float = 0.0  # monotonic
    has_share: bool = False
    yields: bool = False


class ScarceSites:
    """Those that this worker has a share of, or wants one."""

    def __init__(self, shares: Shares, worker: WorkerNumber, *, clock: Clock) -> None:
        self._shares = shares
        self._worker = worker
        self._clock = clock
        self._asked: dict[str, _Asked] = {}
        self._wake = asyncio.Event()
        self._trouble = Seldom()

    def begin(self, site: Site) -> None:
        """Look after a site from now on."""
        site.slots.watch(partial(self._changed, ref(site)))
        self._look_at(site)

    def _changed(self, changed: "ref[Site]") -> None:
        site = changed()
        if site is not None:
            self._look_at(site)

    def _look_at(self, site: Site) -> None:
        asked = self._asked.get(site.key)
        if asked is None and (site.in_use or site.slots.are_awaited):
            self._asked[site.key] = _Asked(site, self._clock.monotonic())
            self._wake.set()
        elif asked is not None and _is_over(asked):
            self._wake.set()

    async def run(self, sites: Sites) -> None:
        """Ask until cancelled."""
        while True:
            await self._doze()
            try:
                await self._give_back(sites)
                await self._ask(sites)
            except StoreBroken:
                raise
            except StoreError as error:
                if self._trouble.is_due(self._clock.monotonic()):
                    log.warning("shares_not_asked", fault="local", reason=str(error))
                self._distrust(sites)
                await asyncio.sleep(_ASKED_AGAIN)
            else:
                self._trouble = Seldom()

    async def _doze(self) -> None:
        """Wait until somebody is due."""
        due = min((each.due_at for each in self._asked.values()), default=None)
        wait = None if due is None else max(0.0, due - self._clock.monotonic())
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _give_back(self, sites: Sites) -> None:
        over = {
            key: each for key, each in self._asked.items() if _is_over(each) or not sites.are_scarce
        }
        for each in over.values():
            each.site.slots.share(sites.is_open)
        if over:
            await self._shares.give_back(self._worker, list(over))
        for key, each in over.items():
            if self._asked.get(key) is each:
                del self._asked[key]
            if sites.are_scarce:
                self._look_at(each.site)

    async def _ask(self, sites: Sites) -> None:
        now = self._clock.monotonic()
        due = [key for key, each in self._asked.items() if each.due_at <= now]
        if not due:
            return
        late = asyncio.get_running_loop().call_later(_SURE, self._distrust, sites)
        try:
            claims = await self._shares.ask(self._worker, due, limit=sites.per_site)
        finally:
            late.cancel()
        for key, claim in claims.items():
            asked = self._asked[key]
            asked.has_share = claim is Claim.HAS
            asked.yields = claim is Claim.YIELDS
            asked.sure_until = now + _SURE
            asked.due_at = now + (_RENEWED if asked.has_share else _ASKED_AGAIN)
            self._apply(sites, asked)
            if _is_over(asked):
                self._wake.set()

    def _distrust(self, sites: Sites) -> None:
        """Use no share that may be another's by now."""
        for asked in self._asked.values():
            if self._clock.monotonic() >= asked.sure_until:
                asked.has_share = False
                self._apply(sites, asked)

    def _apply(self, sites: Sites, asked: _Asked) -> None:
        if not sites.are_scarce:
            return
        asked.site.slots.share(asked.has_share)
        if not asked.has_share:
            sites.shrink(asked.site, 0)


def _is_over(asked: _Asked) -> bool:
    """Tell whether nothing is open or wanted any more, or what was to be given back is closed."""
    site = asked.site
    return not site.in_use and (asked.yields or not site.slots.are_awaited)

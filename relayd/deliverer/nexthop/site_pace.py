"""How the sites of direct mail are treated, as one worker knows it: `relayd.policy.pace` with the store and the log.

The store has what all workers saw, and `relayd.deliverer.site_news` reads it. A site that nothing is known of costs no question. A paced one is given what it has permits for, which all workers share.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from relayd.deliverer.nexthop.account import Account
from relayd.deliverer.nexthop.hosts import LeftAlone, NotYet
from relayd.deliverer.site_news import SiteNews
from relayd.errors import StoreBroken, StoreError
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import format_instant
from relayd.policy.accounts.limits import NO_LIMITS, AccountLimits
from relayd.policy.delivery.site_signs import seen_of
from relayd.policy.pace import (
    FREE,
    Saw,
    Seen,
    SiteMode,
    SiteState,
    Turn,
    at,
    is_first,
    may_begin,
    observe,
    rate_of,
)
from relayd.policy.replies.ruleset import Rules
from relayd.policy.went import Went
from relayd.ports.outward import Clock
from relayd.ports.permits import Permits
from relayd.ports.sites import Changes, SiteKey

_PROBED = 15.0  # seconds until the others look what came of the message that asks
_AGAIN = 300.0  # seconds until a destination is looked at again, however long its site rests: it may be free before
_LONG = 3600.0  # seconds of rest, beyond which mail goes another way, where there is one
_SITES = 1000  # whose messages are counted
_IN_WORDS = {
    SiteMode.PACED: "is given {rate:.3g} messages a minute",
    SiteMode.RESTING: "rests until {until}",
    SiteMode.BLOCKED: "refuses our address, and is left alone until {until}",
    SiteMode.PROBING: "is asked by another message",
}
_EVENTS = {
    SiteMode.PACED: "site_paced",
    SiteMode.RESTING: "site_resting",
    SiteMode.BLOCKED: "site_blocked",
}

log = structlog.get_logger()


class SitePaces:
    """The sites of one worker."""

    def __init__(
        self,
        news: SiteNews,
        permits: Permits,
        *,
        clock: Clock,
        rules: Rules,
        has_other_way: bool = False,
    ) -> None:
        self._news = news
        self._store = news.states
        self._permits = permits
        self._clock = clock
        self._rules = rules
        self._has_other_way = has_other_way  # mail that a site refuses may go another way
        self._states: dict[SiteKey, SiteState] = {}  # of those that are not simply free
        self._went: dict[SiteKey, Went] = {}
        self._paced: dict[SiteKey, Account] = {}
        self._put_off: dict[SiteKey, float] = {}  # until when the last one was sent away
        self._noting: set[SiteKey] = set()  # that are being written
        self._ours: set[SiteKey] = set()  # of whose mode this worker tells
        news.watch(self._learn)

    async def _learn(self, changes: Changes) -> None:
        """Keep what other workers saw. May raise StoreError."""
        for known in changes.sites:
            is_news = known.key not in self._states and known.key not in self._noting
            self._keep(known.key, known.state)
            if is_news and is_first(known.state, self._now()):
                await self._add(known.key)
        for key in [key for key in self._states if self.state_of(key) == FREE]:
            self._keep(key, FREE)  # by time alone

    def state_of(self, key: SiteKey) -> SiteState:
        state = self._states.get(key)
        return FREE if state is None else at(state, self._now())

    def holds_back(self, key: SiteKey) -> bool:
        """Tell whether a site is not simply free."""
        return key in self._states and self.state_of(key).mode is not SiteMode.FREE

    def resting(self, site: str) -> frozenset[str]:
        """Return the addresses of ours that a site is not given mail from now."""
        return frozenset(
            key.source for key in self._states if key.site == site and self._turn(key).until
        )

    async def enter(self, key: SiteKey, *, wanted: int = 1) -> bool:
        """Wait until one message may go there; tell whether it is the one that asks. Raises NotYet."""
        while key in self._states:
            turn = self._turn(key)
            if turn.until:
                raise self._not_yet(key, turn)
            if turn.asks:
                return await self._ask(key)
            if not turn.rate:
                break
            await self._permit(key, turn, wanted)
            if not self._turn(key).until:  # that may have taken seconds
                break
        return False

    def check(self, key: SiteKey) -> None:
        """Raise NotYet if nothing may go there any more."""
        if key in self._states and (turn := self._turn(key)).until:
            raise self._not_yet(key, turn)

    async def saw(
        self,
        key: SiteKey,
        replies: Sequence[tuple[Reply | None, Stage]],
        *,
        message: int = 0,
        asked: bool = False,
        has_other_way: bool = False,
    ) -> None:
        """Learn from the replies of one transaction, or of the hosts that let nobody in; `asked`: of the one that asks."""
        went = self._went.get(key)
        now = self._now()
        seen = seen_of(
            replies,
            self._rules,
            went=0.0 if went is None else went.rate(now),
            message=message,
            has_other_way=has_other_way or self._has_other_way,
        )
        if seen.saw is Saw.ACCEPTED:
            self._count(key, now)
        if seen.saw is Saw.NOTHING and not asked:
            return
        state = self.state_of(key)
        if observe(state, seen, now) != state:
            await self._note(key, seen)

    async def ended(self, key: SiteKey) -> None:
        """The message that asked has not come to a reply."""
        await self.saw(key, (), asked=True)

    async def _add(self, key: SiteKey) -> None:
        """Tell what this worker gave to a site that another one was too fast for. May raise StoreError."""
        went = self._went.get(key)
        rate = 0.0 if went is None else went.rate(self._now())
        if rate:
            noted = await self._store.note_site(key, Seen(saw=Saw.WENT, went=rate))
            self._keep(key, noted.after)

    async def _note(self, key: SiteKey, seen: Seen) -> None:
        self._noting.add(key)
        try:
            noted = await self._store.note_site(key, seen)
        except StoreBroken:
            raise
        except StoreError as error:
            log.warning("site_not_noted", site=key.site, fault="local", reason=str(error))
            self._keep(key, observe(self.state_of(key), seen, self._now()))  # this worker knows
            return
        finally:
            self._noting.discard(key)
        self._keep(key, noted.after)
        if seen.saw is Saw.NOTHING or noted.after.mode is SiteMode.FREE:
            return
        if noted.after.mode is not noted.before.mode or noted.after.level != noted.before.level:
            self._tell(key, noted.after)

    def _tell(self, key: SiteKey, state: SiteState) -> None:
        self._ours.add(key)
        now = self._now()
        rate = rate_of(state, now) if state.mode is SiteMode.PACED else None
        log.warning(
            _EVENTS[state.mode],
            site=key.site,
            local_ip=key.source,
            until=format_instant(_instant(max(state.until, now))),
            messages_per_minute=None if rate is None else round(rate, 2),
            fault="peer",
            reason=state.reply,
        )

    async def _ask(self, key: SiteKey) -> bool:
        try:
            state = await self._store.begin_probe(key)
        except StoreBroken:
            raise
        except StoreError as error:
            raise NotYet(_instant(self._now() + _PROBED), str(error)) from error
        if state is not None:
            self._keep(key, state)
            return True
        self._news.look_soon()
        raise NotYet(_instant(self._now() + _PROBED), self._why(key))

    async def _permit(self, key: SiteKey, turn: Turn, wanted: int) -> None:
        """Wait for a permit. Those who would wait long are sent away for one turn after the other."""
        account = self._paced.get(key)
        if account is None:
            account = Account(key.account, NO_LIMITS, permits=self._permits, clock=self._clock)
            self._paced[key] = account
        account.limit(AccountLimits(per_second=turn.rate / 60))
        try:
            await account.permit(wanted)
        except NotYet as later:
            now = self._now()
            free = max(later.until.timestamp(), self._put_off.get(key, 0.0) + 60 / turn.rate)
            self._put_off[key] = free = min(free, now + _AGAIN)
            raise NotYet(_instant(free), self._why(key)) from later

    def _not_yet(self, key: SiteKey, turn: Turn) -> NotYet:
        wait = _PROBED if turn.asks else _AGAIN
        until = min(turn.until, self._now() + wait)
        state, left_alone = self.state_of(key), None
        if state.mode in (SiteMode.RESTING, SiteMode.BLOCKED):
            rests_for = state.until - self._now()
            is_for_long = state.mode is SiteMode.BLOCKED or rests_for > _LONG
            left_alone = LeftAlone(site=key.site, reply=state.reply, is_for_long=is_for_long)
        return NotYet(_instant(until), self._why(key), left_alone=left_alone)

    def _why(self, key: SiteKey) -> str:
        state, now = self.state_of(key), self._now()
        words = _IN_WORDS.get(state.mode, "is free").format(
            rate=rate_of(state, now) if state.mode is SiteMode.PACED else 0.0,
            until=format_instant(_instant(state.until)),
        )
        return f"{key.site} {words}: {state.reply}"

    def _turn(self, key: SiteKey) -> Turn:
        return may_begin(self._states.get(key, FREE), self._now())

    def _count(self, key: SiteKey, now: float) -> None:
        went = self._went.get(key)
        if went is None:
            if len(self._went) >= _SITES:
                del self._went[next(iter(self._went))]
            went = self._went[key] = Went()
        went.note(now)

    def _keep(self, key: SiteKey, state: SiteState) -> None:
        if at(state, self._now()) == FREE:
            if key in self._ours:
                self._ours.discard(key)
                log.info("site_free", site=key.site, local_ip=key.source)
            for kept in (self._states, self._paced, self._put_off):
                kept.pop(key, None)
        else:
            self._states[key] = state

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

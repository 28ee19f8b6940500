"""Sites on plain dicts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from relayd.policy.pace import FREE, Seen, SiteState, at, begun
from relayd.ports.outward import Clock
from relayd.ports.sites import Changes, Fallback, KnownSite, Noted, SiteKey
from relayd.store.sites import cut, is_known, is_shorter, noted, row_ends


@dataclass(slots=True)
class SiteTables:
    """Rows with the revision of their last change, and when they may go."""

    revision: int = 0
    states: dict[SiteKey, tuple[SiteState, int, float]] = field(default_factory=dict)
    fallbacks: dict[str, tuple[Fallback, int, float]] = field(default_factory=dict)

    def next_revision(self, now: float) -> int:
        self.states = {key: row for key, row in self.states.items() if row[2] >= now}
        self.fallbacks = {key: row for key, row in self.fallbacks.items() if row[2] >= now}
        self.revision += 1
        return self.revision

    def known(self, since: int = 0) -> Sequence[KnownSite]:
        return [
            KnownSite(key=key, state=state)
            for key, (state, revision, _) in sorted(self.states.items())
            if revision > since
        ]

    def fallbacks_since(self, since: int = 0) -> Sequence[Fallback]:
        rows = sorted(self.fallbacks.items())
        return [fallback for _, (fallback, revision, _) in rows if revision > since]


class MemorySitesView:
    """`relayd.ports.sites.SiteStatesView`."""

    def __init__(self, tables: SiteTables) -> None:
        self._tables = tables

    def sites(self) -> Sequence[KnownSite]:
        return [each for each in self._tables.known() if each.state != FREE]

    def fallbacks(self) -> Sequence[Fallback]:
        return self._tables.fallbacks_since()


class MemorySites(MemorySitesView):
    """`relayd.ports.sites.SiteStates`, and the questions beside it."""

    def __init__(self, tables: SiteTables, clock: Clock) -> None:
        super().__init__(tables)
        self._clock = clock

    async def site_states(self, since: int = 0) -> Changes:
        tables = self._tables
        return Changes(
            revision=tables.revision,
            sites=tables.known(since),
            fallbacks=tables.fallbacks_since(since),
        )

    async def note_site(self, key: SiteKey, seen: Seen) -> Noted:
        found = noted(self._state(key), seen, self._now())
        if found.after != found.before:
            self._write(key, found.after)
        return found

    async def begin_probe(self, key: SiteKey) -> SiteState | None:
        state = begun(self._state(key), self._now())
        if state is not None:
            self._write(key, state)
        return state

    async def free_site(self, site: str) -> Sequence[KnownSite]:
        now = self._now()
        known = [
            KnownSite(key=each.key, state=at(each.state, now))
            for each in self._tables.known()
            if each.key.site == site and is_known(each.state, now)
        ]
        for each in known:
            self._write(each.key, FREE)
        return known

    async def note_fallback(self, fallback: Fallback) -> bool:
        now, tables = self._now(), self._tables
        row = tables.fallbacks.get(fallback.domain)
        was_on = row is not None and row[0].until > now
        if fallback.until <= now and not was_on:
            return False
        if row is not None and is_shorter(fallback, row[0].until, now):
            return False
        ends = row_ends(FREE, max(now, fallback.until))
        revision = tables.next_revision(now)
        tables.fallbacks[fallback.domain] = (cut(fallback), revision, ends)
        return not was_on

    def _state(self, key: SiteKey) -> SiteState:
        row = self._tables.states.get(key)
        return FREE if row is None else row[0]

    def _write(self, key: SiteKey, state: SiteState) -> None:
        now = self._now()
        revision = self._tables.next_revision(now)
        self._tables.states[key] = (state, revision, row_ends(state, now))

    def _now(self) -> float:
        return self._clock.now().timestamp()

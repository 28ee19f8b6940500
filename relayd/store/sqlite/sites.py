"""Sites on SQLite: one row a site and address of ours, whose state is text (`relayd.policy.pace_written`)."""

from collections.abc import Sequence

import apsw

from relayd.policy.pace import FREE, Seen, SiteState, at, begun
from relayd.policy.pace_written import read, written
from relayd.ports.outward import Clock
from relayd.ports.sites import Changes, Fallback, KnownSite, Noted, SiteKey
from relayd.store.sites import cut, is_known, is_shorter, noted, row_ends
from relayd.store.sqlite.reading import Reader
from relayd.store.sqlite.values import fetch
from relayd.store.sqlite.writer import Writer

_PURGED = 100  # rows that are over, at each write


class SqliteSites:
    """`relayd.ports.sites.SiteStates` on one SQLite file."""

    def __init__(self, writer: Writer, reader: Reader, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock

    async def site_states(self, since: int = 0) -> Changes:
        return await self._reader.ask(lambda db: _changes(db, since))

    async def note_site(self, key: SiteKey, seen: Seen) -> Noted:
        return await self._writer.submit(lambda db: self._note(db, key, seen))

    async def begin_probe(self, key: SiteKey) -> SiteState | None:
        return await self._writer.submit(lambda db: self._probe(db, key))

    async def free_site(self, site: str) -> Sequence[KnownSite]:
        return await self._writer.submit(lambda db: self._free(db, site))

    async def note_fallback(self, fallback: Fallback) -> bool:
        return await self._writer.submit(lambda db: self._fall_back(db, cut(fallback)))

    def _note(self, db: apsw.Connection, key: SiteKey, seen: Seen) -> Noted:
        now = self._now()
        found = noted(_state(db, key), seen, now)
        if found.after != found.before:
            _write(db, key, found.after, now)
        return found

    def _probe(self, db: apsw.Connection, key: SiteKey) -> SiteState | None:
        now = self._now()
        state = begun(_state(db, key), now)
        if state is not None:
            _write(db, key, state, now)
        return state

    def _free(self, db: apsw.Connection, site: str) -> Sequence[KnownSite]:
        now = self._now()
        rows = fetch(db, "SELECT source, state FROM site_state WHERE site = ?", (site,))
        known = [
            KnownSite(key=SiteKey(site, source), state=at(state, now))
            for source, text in rows
            if is_known(state := read(text), now)
        ]
        for each in known:
            _write(db, each.key, FREE, now)
        return known

    def _fall_back(self, db: apsw.Connection, fallback: Fallback) -> bool:
        now = self._now()
        before = db.execute("SELECT until FROM fallback WHERE domain = ?", (fallback.domain,)).get
        if fallback.until <= now and (before is None or before <= now):
            return False
        if is_shorter(fallback, before, now):
            return False
        db.execute(
            "INSERT OR REPLACE INTO fallback VALUES (?, ?, ?, ?, ?, ?)",
            (
                fallback.domain,
                fallback.site,
                fallback.until,
                fallback.reply,
                _next_revision(db, now),
                row_ends(FREE, max(now, fallback.until)),
            ),
        )
        return before is None or before <= now

    def _now(self) -> float:
        return self._clock.now().timestamp()


def known_sites(db: apsw.Connection, since: int = 0) -> Sequence[KnownSite]:
    """Return the rows that changed after a revision, in the order of their keys."""
    rows = fetch(
        db,
        "SELECT site, source, state FROM site_state WHERE revision > ? ORDER BY site, source",
        (since,),
    )
    return [KnownSite(key=SiteKey(site, source), state=read(state)) for site, source, state in rows]


def fallbacks(db: apsw.Connection, since: int = 0) -> Sequence[Fallback]:
    rows = fetch(
        db,
        "SELECT domain, site, until, reply FROM fallback WHERE revision > ? ORDER BY domain",
        (since,),
    )
    return [
        Fallback(domain=domain, site=site, until=until, reply=reply)
        for domain, site, until, reply in rows
    ]


def _changes(db: apsw.Connection, since: int) -> Changes:
    with db:  # all as of one instant
        revision = db.execute("SELECT last FROM site_revision").get
        sites = known_sites(db, since) if revision != since else ()
        others = fallbacks(db, since) if revision != since else ()
    return Changes(revision=revision, sites=sites, fallbacks=others)


def _state(db: apsw.Connection, key: SiteKey) -> SiteState:
    return read(
        db.execute(
            "SELECT state FROM site_state WHERE site = ? AND source = ?", (key.site, key.source)
        ).get
    )


def _write(db: apsw.Connection, key: SiteKey, state: SiteState, now: float) -> None:
    db.execute(
        "INSERT OR REPLACE INTO site_state VALUES (?, ?, ?, ?, ?)",
        (key.site, key.source, _next_revision(db, now), row_ends(state, now), written(state)),
    )


def _next_revision(db: apsw.Connection, now: float) -> int:
    """Return the number of the change that is made, and delete what is over."""
    over = (now, _PURGED)
    db.execute(  # as `SiteKey.account` has them
        "DELETE FROM permit WHERE account IN"
        " (SELECT 'site:' || site || ' ' || source FROM site_state WHERE ends < ? LIMIT ?)",
        over,
    )
    db.execute(
        "DELETE FROM site_state WHERE (site, source) IN"
        " (SELECT site, source FROM site_state WHERE ends < ? LIMIT ?)",
        over,
    )
    db.execute(
        "DELETE FROM fallback WHERE domain IN (SELECT domain FROM fallback WHERE ends < ? LIMIT ?)",
        over,
    )
    db.execute("UPDATE site_revision SET last = last + 1")
    number: int = db.execute("SELECT last FROM site_revision").get
    return number

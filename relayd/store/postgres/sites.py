"""Sites on PostgreSQL: one row a site and address of ours, whose state is text (`relayd.policy.pace_written`)."""

from collections.abc import Sequence

from relayd.policy.pace import FREE, Seen, SiteState, at, begun
from relayd.policy.pace_written import read, written
from relayd.ports.outward import Clock
from relayd.ports.sites import Changes, Fallback, KnownSite, Noted, SiteKey
from relayd.store.postgres import meta
from relayd.store.postgres.line import Line, Session
from relayd.store.postgres.questions import Questions
from relayd.store.sites import cut, is_known, is_shorter, noted, row_ends

_PURGED = 100  # rows that are over, at each write
_REVISION = "site_revision"  # of the last change, in `meta`
_OVER = (
    (
        "DELETE FROM permit WHERE account IN"  # as `SiteKey.account` has them
        " (SELECT 'site:' || site || ' ' || source FROM site_state WHERE ends < $1 LIMIT $2)"
    ),
    (
        "DELETE FROM site_state WHERE (site, source) IN"
        " (SELECT site, source FROM site_state WHERE ends < $1 LIMIT $2)"
    ),
    "DELETE FROM fallback WHERE domain IN (SELECT domain FROM fallback WHERE ends < $1 LIMIT $2)",
)
_FALL_BACK = (
    "INSERT INTO fallback (domain, site, until, reply, revision, ends) VALUES ($1, $2, $3, $4, $5, $6)"
    " ON CONFLICT (domain) DO UPDATE SET site = excluded.site, until = excluded.until,"
    " reply = excluded.reply, revision = excluded.revision, ends = excluded.ends"
)
_WRITE = (
    "INSERT INTO site_state (site, source, revision, ends, state) VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT (site, source) DO UPDATE SET revision = excluded.revision, ends = excluded.ends,"
    " state = excluded.state"
)


class PostgresSites:
    """`relayd.ports.sites.SiteStates` on PostgreSQL."""

    def __init__(self, line: Line, clock: Clock) -> None:
        self._line = line
        self._clock = clock

    async def site_states(self, since: int = 0) -> Changes:
        return await self._line.submit(lambda db: _changes(db, since), is_one=True)

    async def note_site(self, key: SiteKey, seen: Seen) -> Noted:
        return await self._line.submit(lambda db: self._note(db, key, seen))

    async def begin_probe(self, key: SiteKey) -> SiteState | None:
        return await self._line.submit(lambda db: self._probe(db, key))

    async def free_site(self, site: str) -> Sequence[KnownSite]:
        return await self._line.submit(lambda db: self._free(db, site))

    async def note_fallback(self, fallback: Fallback) -> bool:
        return await self._line.submit(lambda db: self._fall_back(db, cut(fallback)))

    async def _note(self, db: Session, key: SiteKey, seen: Seen) -> Noted:
        now = self._now()
        await _lock(db)
        found = noted(await _state(db, key), seen, now)
        if found.after != found.before:
            await _write(db, key, found.after, now)
        return found

    async def _probe(self, db: Session, key: SiteKey) -> SiteState | None:
        now = self._now()
        await _lock(db)
        state = begun(await _state(db, key), now)
        if state is not None:
            await _write(db, key, state, now)
        return state

    async def _free(self, db: Session, site: str) -> Sequence[KnownSite]:
        now = self._now()
        await _lock(db)
        rows = await db.fetch(
            "SELECT source, state FROM site_state WHERE site = $1 ORDER BY source", site
        )
        known = [
            KnownSite(key=SiteKey(site, source), state=at(state, now))
            for source, text in rows
            if is_known(state := read(text), now)
        ]
        for each in known:
            await _write(db, each.key, FREE, now)
        return known

    async def _fall_back(self, db: Session, fallback: Fallback) -> bool:
        now = self._now()
        await _lock(db)
        before = await db.value("SELECT until FROM fallback WHERE domain = $1", fallback.domain)
        if fallback.until <= now and (before is None or before <= now):
            return False
        if is_shorter(fallback, before, now):
            return False
        await db.execute(
            _FALL_BACK,
            fallback.domain,
            fallback.site,
            fallback.until,
            fallback.reply,
            await _next_revision(db, now),
            row_ends(FREE, max(now, fallback.until)),
        )
        return before is None or before <= now

    def _now(self) -> float:
        return self._clock.now().timestamp()


async def known_sites(db: Session, since: int = 0) -> Sequence[KnownSite]:
    """Return the rows that changed after a revision, in the order of their keys."""
    rows = await db.fetch(
        "SELECT site, source, state FROM site_state WHERE revision > $1 ORDER BY site, source",
        since,
    )
    return [KnownSite(key=SiteKey(site, source), state=read(state)) for site, source, state in rows]


async def fallbacks(db: Session, since: int = 0) -> Sequence[Fallback]:
    rows = await db.fetch(
        "SELECT domain, site, until, reply FROM fallback WHERE revision > $1 ORDER BY domain", since
    )
    return [
        Fallback(domain=domain, site=site, until=until, reply=reply)
        for domain, site, until, reply in rows
    ]


async def _changes(db: Session, since: int) -> Changes:
    # What is written meanwhile has a greater revision: it is told again the next time.
    revision = await meta.number(db, _REVISION, 0)
    sites = await known_sites(db, since) if revision != since else ()
    others = await fallbacks(db, since) if revision != since else ()
    return Changes(revision=revision, sites=sites, fallbacks=others)


async def _state(db: Session, key: SiteKey) -> SiteState:
    sql = "SELECT state FROM site_state WHERE site = $1 AND source = $2"
    return read(await db.value(sql, key.site, key.source))


async def _write(db: Session, key: SiteKey, state: SiteState, now: float) -> None:
    revision = await _next_revision(db, now)
    await db.execute(_WRITE, key.site, key.source, revision, row_ends(state, now), written(state))


async def _lock(db: Session) -> None:
    """Let one change be made at a time: revisions are in the order of commits."""
    await db.execute(
        "INSERT INTO meta (key, value) VALUES ($1, '0') ON CONFLICT DO NOTHING", _REVISION
    )
    await db.fetch("SELECT 1 FROM meta WHERE key = $1 FOR UPDATE", _REVISION)


async def _next_revision(db: Session, now: float) -> int:
    """Return the number of the change that is made, and delete what is over."""
    for sql in _OVER:
        await db.execute(sql, now, _PURGED)
    number = await meta.number(db, _REVISION, 0) + 1
    await meta.write_number(db, _REVISION, number)
    return number


class PostgresSitesView:
    """`relayd.ports.sites.SiteStatesView`."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    def sites(self) -> Sequence[KnownSite]:
        return [each for each in self._questions.ask(known_sites) if each.state != FREE]

    def fallbacks(self) -> Sequence[Fallback]:
        return self._questions.ask(fallbacks)

"""What a server has to be before any mail is trusted to it, looked at on each new connection."""

from relayd.errors import StoreUnavailable
from relayd.store.postgres.line import WRITES, Session

_OLDEST = 150_000  # PostgreSQL 15
_FACTS = (
    "SELECT current_setting('server_version_num')::int, current_setting('server_version'),"
    " current_setting('fsync'), current_setting('full_page_writes'), current_setting('server_encoding')"
)
_ASKED = (
    "synchronous_commit",
    "lock_timeout",
)  # settings of the session, which a pooler may have left out
_SESSION = "SELECT pg_backend_pid(), " + ", ".join(f"current_setting('{name}')" for name in _ASKED)
_TIMELINE = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"


async def check_server(db: Session) -> None:
    """Raise StoreUnavailable, with the remedy, for a server or a database that no mail is trusted to."""
    [(number, version, fsync, pages, encoding)] = await db.fetch(_FACTS)
    if why := why_not(number, version, fsync=fsync, full_page_writes=pages, encoding=encoding):
        raise StoreUnavailable(why)


def why_not(number: int, version: str, *, fsync: str, full_page_writes: str, encoding: str) -> str:
    """Return what to change, of the settings as the server tells them; empty: nothing. `number` is 150018 for 15.18."""
    if number < _OLDEST:
        return f"the server is PostgreSQL {version}: relayd needs 15 or newer"
    for name, value in (("fsync", fsync), ("full_page_writes", full_page_writes)):
        if value == "off":
            return f"the server has {name} = off and may lose mail: set it to on"
    if encoding != "UTF8":
        return f"the database has the encoding {encoding}: create one with ENCODING 'UTF8'"
    return ""


class Startup:
    """The checks, with the highest timeline that was seen: an old primary that came back has a lower one."""

    def __init__(self) -> None:
        self._timeline = 0

    async def check(self, db: Session) -> None:
        """Raise StoreUnavailable, with the remedy, for a server that would lose mail."""
        await check_server(db)
        [(pid, *settings)] = await db.fetch(_SESSION)
        is_heeded = settings == [WRITES[name] for name in _ASKED]
        if not is_heeded or pid != await db.value("SELECT pg_backend_pid()"):
            raise StoreUnavailable(
                "a pooler is in between, which does not pass on the settings of a session: name the server itself"
            )
        timeline = await db.value(_TIMELINE)
        if timeline < self._timeline:
            raise StoreUnavailable(
                f"the server is of timeline {timeline}, and {self._timeline} was seen: it is an old primary"
            )
        self._timeline = timeline

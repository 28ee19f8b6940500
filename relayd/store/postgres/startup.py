"""What a server has to be before any mail is trusted to it, looked at on each new connection."""

from relayd.errors import StoreUnavailable
from relayd.store.postgres.line import Session

_OLDEST = 150_000  # PostgreSQL 15
_FACTS = (
    "SELECT current_setting('server_version_num')::int, current_setting('server_version'),"
    " current_setting('fsync'), current_setting('full_page_writes'), current_setting('server_encoding'),"
    " current_setting('synchronous_commit'), pg_backend_pid()"
)
_TIMELINE = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"


class Startup:
    """The checks, with the highest timeline that was seen: an old primary that came back has a lower one."""

    def __init__(self) -> None:
        self._timeline = 0

    async def check(self, db: Session) -> None:
        """Raise StoreUnavailable, with the remedy, for a server that would lose mail."""
        [facts] = await db.fetch(_FACTS)
        number, version, fsync, pages, encoding, commit, pid = facts
        if number < _OLDEST:
            raise StoreUnavailable(f"the server is PostgreSQL {version}: relayd needs 15 or newer")
        if fsync == "off" or pages == "off":
            name = "fsync" if fsync == "off" else "full_page_writes"
            raise StoreUnavailable(f"the server has {name} = off and may lose mail: set it to on")
        if encoding != "UTF8":
            raise StoreUnavailable(
                f"the database has the encoding {encoding}: create one with ENCODING 'UTF8'"
            )
        if commit not in ("on", "remote_apply") or pid != await db.value("SELECT pg_backend_pid()"):
            raise StoreUnavailable(
                "a pooler in transaction mode is in between: name the server itself, or use session mode"
            )
        timeline = await db.value(_TIMELINE)
        if timeline < self._timeline:
            raise StoreUnavailable(
                f"the server is of timeline {timeline}, and {self._timeline} was seen: it is an old primary"
            )
        self._timeline = timeline

"""Whether the role of a connection may do all that a worker does, before any mail is taken."""

from relayd.errors import StoreUnavailable
from relayd.store.postgres.line import Session

_SOME = 3  # that are named
_LACKING = (
    "SELECT privilege, relname FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege"
    " WHERE relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('schema_step'))"
    " AND relkind IN ('r', 'p', 'v') AND NOT has_table_privilege(pg_class.oid, privilege)"
    " AND (relkind <> 'v' AND relname <> 'schema_step' OR privilege = 'SELECT')"
    " UNION ALL SELECT 'EXECUTE', proname FROM pg_proc WHERE proname IN ('make_week', 'drop_week')"
    " AND pg_function_is_visible(oid) AND NOT has_function_privilege(oid, 'EXECUTE') ORDER BY 2, 1"
)


async def expect(db: Session) -> None:
    """Raise StoreUnavailable for a role that lacks a right to our tables."""
    if why := await lacking_of(db):
        raise StoreUnavailable(why)


async def lacking_of(db: Session) -> str:
    """Return what the role of a connection lacks, and what to do; empty: nothing."""
    lacking = [f"{privilege} on {name}" for privilege, name in await db.fetch(_LACKING)]
    if not lacking:
        return ""
    more = len(lacking) - _SOME
    role = await db.value("SELECT current_user")
    named = f"{', '.join(lacking[:_SOME])}{f' and {more} more' if more > 0 else ''}"
    return f"the role {role} lacks {named}: grant that (docs/howto/cluster.md)"

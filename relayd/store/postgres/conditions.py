"""What a `Query` asks for, as a condition in SQL on `r` (`every_recipient`) and `m` (`message`)."""

from collections.abc import Iterable
from typing import Any

from relayd.mail.ids import first_id_at
from relayd.policy.delivery.route import names_of
from relayd.policy.intake.admit import is_among
from relayd.ports.view import Place, Query, Status
from relayd.store.postgres.line import Session
from relayd.store.values import query_key, to_ms

FROM = "every_recipient r JOIN message m ON m.id = r.message_id"
_STATUS = {
    Status.QUEUED: "(r.state = 'queued' AND r.category IS NULL)",
    Status.DEFERRED: "(r.state = 'queued' AND r.category IS NOT NULL)",
}


class Condition:
    """A condition that grows, with its parameters."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._parts: list[str] = []

    @property
    def sql(self) -> str:
        return " AND ".join(self._parts) or "true"

    def bind(self, value: Any) -> str:
        """Add a parameter; return how the SQL names it."""
        self.values.append(value)
        return f"${len(self.values)}"

    def add(self, sql: str, *values: Any) -> None:
        """Add what must hold too; each {} is one of the values."""
        self._parts.append(sql.format(*map(self.bind, values)))


async def condition(db: Session, query: Query) -> Condition:
    """Return the condition for what matches."""
    found = Condition()
    _of_message(found, query)
    _of_recipient(found, query)
    if query.client:
        ips = await db.fetch("SELECT DISTINCT client_ip FROM message")
        those = [ip for (ip,) in ips if is_among(ip, query.client)]
        found.add("m.client_ip = ANY({}::text[])", those)
    if query.destination:
        wanted = {each.lower() for each in query.destination}
        keys = await db.fetch("SELECT DISTINCT destination FROM every_recipient")
        those = [key for (key,) in keys if not names_of(key).isdisjoint(wanted)]
        found.add("r.destination = ANY({}::text[])", those)
    return found


def _of_message(found: Condition, query: Query) -> None:
    if query.message_id is not None:
        found.add("r.message_id = {0} AND m.id = {0}", query.message_id)
    if query.since is not None:
        found.add("r.message_id >= {0} AND m.id >= {0}", first_id_at(query.since))
    if query.until is not None:
        found.add("r.message_id < {0} AND m.id < {0}", first_id_at(query.until))
    headers = [f"<{each.strip().strip('<>')}>" for each in query.message_id_header]
    for column, values in (
        ("reverse_path", query.sender),
        ("tag", query.tag),
        ("auth_user", query.user),
        ("message_id_header", headers),
    ):
        if values:
            found.add(f"lower(m.{column}) = ANY({{}}::text[])", folded(values))


def _of_recipient(found: Condition, query: Query) -> None:
    if query.recipient:
        found.add("r.address_key = ANY({}::text[])", [query_key(each) for each in query.recipient])
    if query.domain:
        begins = [f"{each.lower()}@" for each in query.domain]
        found.add(
            "EXISTS (SELECT 1 FROM unnest({}::text[]) d WHERE starts_with(r.address_key, d))",
            begins,
        )
    if query.status:
        states = (_STATUS.get(each, f"r.state = '{each}'") for each in query.status)
        found.add(f"({' OR '.join(states)})")
    if query.bounce_class:
        found.add("r.bounce_class = ANY({}::text[])", [str(each) for each in query.bounce_class])
    if query.category:
        found.add("r.category = ANY({}::text[])", [str(each) for each in query.category])
    if query.unfinished:
        found.add("r.state IN ('queued', 'held')")
    if query.possible_duplicate:
        found.add("r.possible_duplicate > 0")
    if query.changed_since is not None:
        found.add("r.updated_at >= {}", to_ms(query.changed_since))


def beyond(found: Condition, place: Place | None, *, back: bool = False) -> None:
    """Ask only for what comes after a place; with `back`, only for what is there, or comes before."""
    if place is None:
        return
    if back:
        found.add("(r.message_id > {0} OR r.message_id = {0} AND r.number <= {1})", *place)
    else:
        found.add("(r.message_id < {0} OR r.message_id = {0} AND r.number > {1})", *place)


def folded(values: Iterable[str]) -> list[str]:
    """Return texts as `lower` of the C collation gives them."""
    return [each.encode().lower().decode() for each in values]  # ASCII letters only

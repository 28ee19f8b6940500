"""From a `Query` to what SQL compares: of recipients `r` with their messages `m`. Every value is a parameter."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from relayd.mail.ids import first_id_at
from relayd.ports.view import UNFINISHED, Query, Status
from relayd.store.values import query_key, to_ms

_NEWEST = 2**63 - 1
_SOON = timedelta(minutes=5)  # after its reception, what becomes of mail is not late
# As the index of what changed late has it: more than 5 minutes after the instant in the id (`mail/ids.py`).
_CHANGED_LATE = "r.updated_at > (r.message_id >> 21) + 1577837100000"
_PAST = "(SELECT *, NULL::bigint AS slot, 0::bigint AS next_attempt_at FROM recipient)"
_WITH_HEADER = "r.message_id = ANY(ARRAY(SELECT id FROM message WHERE lower(message_id_header) = ANY({}::text[])))"
_IS: dict[Status, str] = {
    Status.QUEUED: "r.state = 'queued' AND r.category IS NULL",
    Status.DEFERRED: "r.state = 'queued' AND r.category IS NOT NULL",
}


@dataclass(slots=True)
class Where:
    """Comparisons, all of which hold, and the parameters of the statement that they are in."""

    parts: list[str] = field(default_factory=list)
    args: list[Any] = field(default_factory=list)

    def bind(self, value: object) -> str:
        """Return the name of a new parameter."""
        self.args.append(value)
        return f"${len(self.args)}"

    def add(self, sql: str, *values: object) -> None:
        """Add a comparison, with `{}` in the places of the values."""
        self.parts.append(sql.format(*map(self.bind, values)))

    def any_of(self, column: str, values: Collection[str]) -> None:
        """Have the column have one of the values, if any are given."""
        if values:
            self.among(column, sorted({str(each) for each in values}))

    def among(self, column: str, values: Sequence[str]) -> None:
        """Have the column have one of the values; without any, nothing matches."""
        if len(values) == 1:  # an index by value and id is then in the order of ids
            self.add(f"{column} = {{}}::text", *values)
        else:
            self.add(f"{column} = ANY({{}}::text[])", list(values))

    def copy(self) -> "Where":
        return Where(list(self.parts), list(self.args))

    @property
    def sql(self) -> str:
        return " AND ".join(self.parts) or "true"


def span(query: Query) -> tuple[int, int]:
    """Return the lowest and the highest id that may match."""
    low = 0 if query.since is None else int(first_id_at(query.since))
    high = _NEWEST if query.until is None else int(first_id_at(query.until)) - 1
    if query.message_id is not None:
        low, high = max(low, query.message_id), min(high, query.message_id)
    return low, high


def table(query: Query) -> str:
    """Return where all recipients are that may match."""
    wanted = _statuses(query)
    if wanted <= set(UNFINISHED):
        return "queue"
    return "every_recipient" if wanted & set(UNFINISHED) else _PAST


def where(query: Query, *, clients: Sequence[str], destinations: Sequence[str]) -> Where:
    """Return what a query compares, but for the time.

    `clients` and `destinations` are those of the query as the store has them (`networks`, `names`).
    """
    found = Where()
    found.any_of("r.address_key", [query_key(each) for each in query.recipient])
    if query.domain:
        ranges = []
        for domain in sorted({each.lower() for each in query.domain}):
            low, high = found.bind(f"{domain}@"), found.bind(f"{domain}A")  # A is behind @
            ranges.append(f"r.address_key >= {low} AND r.address_key < {high}")
        found.parts.append(f"({' OR '.join(ranges)})")
    headers = [f"<{each.strip().strip('<>')}>" for each in query.message_id_header]
    if headers:  # looked up ahead of the search: the planner takes them for frequent
        found.add(_WITH_HEADER, [_folded(each) for each in headers])
    for column, values in (
        ("m.tag", query.tag),
        ("m.auth_user", query.user),
        ("m.reverse_path", query.sender),
    ):
        found.any_of(f"lower({column})", [_folded(each) for each in values])
    if query.client:
        found.among("m.client_ip", clients)
    if query.destination:
        found.among("r.destination", destinations)
    if len(wanted := _statuses(query)) < len(Status):
        found.parts.append(f"({_of_status(wanted)})")
    found.any_of("r.category", query.category)
    found.any_of("r.bounce_class", query.bounce_class)
    if query.possible_duplicate:
        found.parts.append("r.possible_duplicate > 0")
    if query.changed_since is not None:
        since, first = to_ms(query.changed_since), int(first_id_at(query.changed_since - _SOON))
        found.add(
            f"r.updated_at >= {{}} AND (r.message_id >= {{}} OR {_CHANGED_LATE})", since, first
        )
    return found


def _statuses(query: Query) -> frozenset[Status]:
    wanted = frozenset(query.status or Status)
    if query.bounce_class:
        wanted &= {Status.BOUNCED}
    return wanted & frozenset(UNFINISHED) if query.unfinished else wanted


def _of_status(wanted: Collection[Status]) -> str:
    states = [f"'{each}'" for each in Status if each in wanted and each not in _IS]
    parts = [_IS[each] for each in _IS if each in wanted]
    if len(parts) == len(_IS):
        parts, states = [], [*states, "'queued'"]
    if states:
        parts.append(f"r.state IN ({', '.join(states)})")
    return " OR ".join(parts) or "false"


def _folded(text: str) -> str:
    return text.encode().lower().decode()  # ASCII letters only, as the indexes have them

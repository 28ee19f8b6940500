"""Questions to the store, from any process: a read-only connection, short reads (HQ-04)."""

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import apsw

from relayd.mail.ids import MessageId, received_at_of
from relayd.mail.once import FirstMessage
from relayd.mail.suppression import Suppression
from relayd.mail.words import EventKind
from relayd.ports.view import (
    AddressRow,
    Counts,
    HistoryEntry,
    LatestEvent,
    NumberedEvent,
    Page,
    PausedDestination,
    Query,
    RecentAddresses,
    RecipientRow,
    Status,
)
from relayd.store.event_rows import history_entry, latest_event, numbered_event
from relayd.store.recipient_rows import address_row, recipient_row, status_in
from relayd.store.sqlite import once, pause_rows, suppression
from relayd.store.sqlite.connection import translate
from relayd.store.sqlite.outside import OutsideReader
from relayd.store.sqlite.search import Key, Search
from relayd.store.sqlite.values import fetch, from_ms, to_ms

if TYPE_CHECKING:  # few questions need these
    from relayd.mail.content import Content
    from relayd.mail.pause import PauseRule
    from relayd.ports.backlog import Backlog
    from relayd.ports.outbox import OutboxView
    from relayd.ports.people import PeopleView
    from relayd.ports.permits import PermitsView
    from relayd.ports.sites import SiteStatesView
    from relayd.ports.tally import TallyAnswer, TallyQuery
    from relayd.ports.trust import TrustView
    from relayd.ports.waiting import By, Counted

_COLUMNS = (
    "r.message_id, r.number, m.received_at, m.reverse_path, r.address, r.state, r.category,"
    " r.destination, m.size, m.message_id_header, m.tag, m.client_ip, m.auth_user, r.attempts,"
    " r.next_attempt_at, coalesce(r.slot > 0, 0), r.possible_duplicate, r.code, r.enhanced, r.reply,"
    " r.reason, r.bounce_class, r.suppress, r.remote_host, r.updated_at,"
    " d.paused_until, d.paused_for,"
    " EXISTS (SELECT 1 FROM slot WHERE destination = r.destination AND worker IS NOT NULL),"
    " m.subject, r.redirected_to, r.parameters->>'ORCPT', r.chosen_by,"
    " CASE WHEN r.state = 'held' THEN (SELECT detail FROM event WHERE message_id = r.message_id"
    " AND recipient = r.number AND kind = 'held' ORDER BY id DESC LIMIT 1) END"
)

# By the index of kinds, so that finished recipients are not read.
COUNTS = (
    "SELECT state, destination, count(*), count(category), count(iif(slot < 0, 1, NULL)), min(message_id)"
    " FROM recipient INDEXED BY recipient_by_kind WHERE state IN ('queued', 'held')"
    " GROUP BY state, destination"
)

_EVENTS = (
    "SELECT e.id, e.kind, e.at, e.detail, e.message_id, r.address, m.message_id_header, m.reverse_path,"
    " m.tag, m.size, m.auth_user FROM event e"
    " CROSS JOIN recipient r ON r.message_id = e.message_id AND r.number = e.recipient"
    " CROSS JOIN message m ON m.id = e.message_id"
    " WHERE e.id > ? AND e.kind <> 'received' ORDER BY e.id LIMIT ?"
)

# Rows for a JSON array of what is wanted, in its order.
_FIND = (
    f"SELECT {_COLUMNS} FROM json_each(?) wanted"  # noqa: S608 -- constants
    " CROSS JOIN recipient r ON r.message_id = wanted.value->>0 AND r.number = wanted.value->>1"
    " CROSS JOIN message m ON m.id = r.message_id LEFT JOIN destination d ON d.key = r.destination"
    " ORDER BY wanted.key"
)
_KEYS_OF_ADDRESSES = (
    "SELECT r.address_key FROM json_each(?) wanted"
    " CROSS JOIN recipient r ON r.message_id = wanted.value->>0 AND r.number = wanted.value->>1"
    " WHERE NOT r.returned ORDER BY wanted.key"
)
_BOUNCED = (
    "SELECT count(*) FROM trouble WHERE address_key = wanted.value AND state = 'bounced'"
    " AND NOT returned AND bounce_class IS"
)
_ADDRESSES = (
    "SELECT r.address,"  # noqa: S608 -- constants
    " (SELECT count(*) FROM recipient WHERE address_key = wanted.value AND NOT returned),"
    f" ({_BOUNCED} 'hard'), ({_BOUNCED} NOT 'hard'), r.state, r.category, r.updated_at,"
    " coalesce(r.reply, r.reason), wanted.value"
    " FROM json_each(?) wanted CROSS JOIN recipient r ON (r.message_id, r.number) ="
    " (SELECT message_id, number FROM recipient WHERE address_key = wanted.value AND NOT returned"
    " ORDER BY message_id DESC, number DESC LIMIT 1) ORDER BY wanted.key"
)

# Of messages from before their reception was an event: it is the row of the message.
_RECEIVED_BEFORE = (
    "SELECT 'received', m.received_at, r.number, json_object('client_ip', m.client_ip,"
    " 'helo', m.helo, 'listener', m.listener, 'auth_user', m.auth_user)"
    " FROM message m JOIN recipient r ON r.message_id = m.id WHERE m.id = ? ORDER BY r.number"
)
CAME_BACK = "SELECT at FROM came_back WHERE message_id = ? AND number = ? ORDER BY at"

_STEPS = 10  # of a page: 20,000 entries of an index
_STEPS_OF_ADDRESSES = 40  # of a bounded search for addresses
_AT_ONCE = 500  # recipients whose addresses are looked at in one step


P = ParamSpec("P")
T = TypeVar("T")


def _question(
    verb: "Callable[Concatenate[SqliteView, P], T]",
) -> "Callable[Concatenate[SqliteView, P], T]":
    """Have a verb asked as `OutsideReader.ask` says: whole, and again where a daemon takes the file into use."""

    @wraps(verb)
    def ask(self: "SqliteView", /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._file.limited():
            return self._file.ask(lambda: verb(self, *args, **kwargs))

    return ask


class SqliteView:
    """`relayd.ports.view.QueueView` on a SQLite file. Opens it read-only; raises StoreUnavailable, StoreForbidden.

    A question that takes longer than `within` seconds raises TookTooLong.
    """

    def __init__(self, path: str, *, within: float | None = None) -> None:
        self._path = path
        self._file = OutsideReader(path, within=within)

    @property
    def _db(self) -> apsw.Connection:
        return self._file.db

    @property
    def people(self) -> "PeopleView":
        from relayd.store.sqlite.people import SqlitePeopleView  # noqa: PLC0415 -- few questions need it

        return SqlitePeopleView(self._file)

    @property
    def outbox(self) -> "OutboxView":
        from relayd.store.sqlite.outbox_view import SqliteOutboxView  # noqa: PLC0415 -- as above

        return SqliteOutboxView(self._file)

    @property
    def permits(self) -> "PermitsView":
        from relayd.store.sqlite.permits_view import SqlitePermitsView  # noqa: PLC0415 -- as above

        return SqlitePermitsView(self._file)

    @property
    def sites(self) -> "SiteStatesView":
        from relayd.store.sqlite.sites_view import SqliteSitesView  # noqa: PLC0415 -- as above

        return SqliteSitesView(self._file)

    @property
    def trust(self) -> "TrustView":
        from relayd.store.sqlite.trust_view import SqliteTrustView  # noqa: PLC0415 -- as above

        return SqliteTrustView(self._file)

    @property
    def samples(self) -> None:
        return None

    def close(self) -> None:
        self._file.close()

    @_question
    def find(
        self, query: Query, *, limit: int, before: Key | None = None, back_from: Key | None = None
    ) -> Sequence[RecipientRow]:
        return self._page(query, limit, before, back_from, steps=sys.maxsize).rows

    @_question
    def page(
        self, query: Query, *, limit: int, before: Key | None = None, back_from: Key | None = None
    ) -> Page:
        return self._page(query, limit, before, back_from, steps=_STEPS)

    def _page(
        self, query: Query, limit: int, before: Key | None, back_from: Key | None, *, steps: int
    ) -> Page:
        if query.client:
            from relayd.store.sqlite import networks  # noqa: PLC0415 -- few ask for one

            if (client := networks.compared(query.client)) is not None:
                found, search = self._searched(
                    query,
                    limit,
                    min(steps, networks.STEPS),
                    before=before,
                    back_from=back_from,
                    client=client,
                )
                if len(found) == limit or search.is_done:
                    return _page_of(found, search, before, back_from)
        found, search = self._searched(query, limit, steps, before=before, back_from=back_from)
        return _page_of(found, search, before, back_from)

    def _searched(
        self, query: Query, limit: int, steps: int, **course: Any
    ) -> tuple[list[RecipientRow], Search]:
        """Return the next recipients, in the order in which the search goes, after a number of steps at most.

        A search by what was there a moment ago misses what has changed since, so it begins in its first step.
        """
        found: list[RecipientRow] = []
        with self._file.reading():
            search = Search(self._db, query, **course)
            if limit and not search.is_done:
                found += self._step(search, limit)
        while len(found) < limit and not search.is_done and (steps := steps - 1):
            with self._file.reading():
                if search.look_again():
                    found += self._step(search, limit - len(found))
        return found, search

    def _step(self, search: Search, limit: int) -> Iterator[RecipientRow]:
        keys = search.step(limit)
        return map(recipient_row, fetch(self._db, _FIND, (_array_of(keys),)))

    @_question
    def history(self, message_id: MessageId) -> Sequence[HistoryEntry]:
        rows = self._fetch(
            "SELECT kind, at, recipient, detail FROM event WHERE message_id = ? ORDER BY id",
            (message_id,),
        )
        if not rows or rows[0][0] != EventKind.RECEIVED:
            rows = self._fetch(_RECEIVED_BEFORE, (message_id,)) + rows
        return [history_entry(row) for row in rows]

    @_question
    def content_of(self, message_id: MessageId) -> "Content | None":
        from relayd.store.spool import content_in, directory_of  # noqa: PLC0415 -- for one question
        from relayd.store.sqlite.messages import content  # noqa: PLC0415 -- as above

        with self._file.reading():
            return content(self._db, partial(content_in, directory_of(self._path)), message_id)

    @_question
    def addresses(self, query: Query, *, limit: int) -> Sequence[AddressRow]:
        return self._addresses(query, limit, steps=sys.maxsize).rows

    @_question
    def recent_addresses(self, query: Query, *, limit: int) -> RecentAddresses:
        return self._addresses(query, limit, steps=_STEPS_OF_ADDRESSES)

    def _addresses(self, query: Query, limit: int, *, steps: int) -> RecentAddresses:
        import orjson  # noqa: PLC0415 -- as in `_known`

        with self._file.reading():
            search = Search(self._db, query)
        if query.recipient:
            limit = min(limit, len(query.recipient))  # there are no others, whatever these got
        found: list[AddressRow] = []
        seen: set[str] = set()
        while len(found) < limit and not search.is_done and steps:
            steps -= 1
            with self._file.reading():
                if not search.look_again():
                    break
                rows = fetch(self._db, _KEYS_OF_ADDRESSES, (_array_of(search.step(_AT_ONCE)),))
                keys = [key for key in dict.fromkeys(key for (key,) in rows) if key not in seen]
                seen.update(keys)
                keys = keys[: limit - len(found)]
                known = suppression.of_keys(self._db, keys)
                wanted = orjson.dumps(keys).decode()
                found += [
                    address_row(row, known.get(row[8], ()))
                    for row in fetch(self._db, _ADDRESSES, (wanted,))
                ]
        if len(found) < limit and not search.is_done:
            return RecentAddresses(found, received_at_of(search.place[0]))
        if query.is_of_addresses:
            found += self._without_history(query, seen, limit - len(found))
        return RecentAddresses(found, None)

    def _without_history(self, query: Query, seen: Collection[str], limit: int) -> list[AddressRow]:
        """Return suppressed addresses that no mail went to; `seen` are the keys of the others."""
        found: list[AddressRow] = []
        last = ""
        while len(found) < limit:
            with self._file.reading():
                keys = suppression.keys_behind(
                    self._db,
                    last,
                    recipients=query.recipient,
                    domains=query.domain,
                    limit=_AT_ONCE,
                )
                known = suppression.of_keys(self._db, [key for key in keys if key not in seen])
            if not keys:
                break
            found += [AddressRow.of_unused(those) for those in known.values()]
            last = keys[-1]
        return found[:limit]

    @_question
    def first_message(self, key: bytes) -> FirstMessage | None:
        return once.first(self._db, key)

    @_question
    def is_suppressed(self, address: str, *, sender: str = "") -> bool:
        try:
            return suppression.is_suppressed(self._db, address, sender)
        except apsw.Error as exc:
            raise translate(exc) from exc

    @_question
    def suppressions(
        self, *, after: str = "", ahead_of: str = "", limit: int
    ) -> Sequence[Suppression]:
        with self._file.reading():
            if ahead_of:
                return suppression.ahead_of(self._db, ahead_of, limit=limit)
            return suppression.behind(self._db, after, limit=limit)

    @_question
    def came_back(self, message_id: MessageId, recipient: int) -> Sequence[datetime]:
        return [from_ms(at) for (at,) in self._fetch(CAME_BACK, (message_id, recipient))]

    @_question
    def counts(self) -> Counts:
        by_status: dict[Status, int] = {}
        by_destination: dict[str, int] = {}
        first: dict[str, int] = {}
        paused = 0
        for state, destination, number, failed, stopped, message_id in self._fetch(COUNTS):
            paused += stopped
            by_destination[destination] = by_destination.get(destination, 0) + number
            for status, count in (
                (status_in(state, None), number - failed),
                (status_in(state, "failed"), failed),
            ):
                if count:
                    by_status[status] = by_status.get(status, 0) + count
            if state != "held":
                first[destination] = message_id
        oldest = {key: received_at_of(MessageId(value)) for key, value in first.items()}
        rows = [
            row
            for row in self._fetch(
                "SELECT key, paused_until, paused_for FROM destination WHERE paused_until > 0"
            )
            if row[0] in by_destination
        ]
        return Counts(
            by_status=by_status,
            paused=paused,
            pause_rules=[pause_rows.rule_of(row) for row in self._fetch(pause_rows.RULES)],
            by_destination=by_destination,
            oldest=oldest,
            paused_until={key: from_ms(until) for key, until, _ in rows},
            paused_for={key: why for key, _, why in rows if why},
        )

    @_question
    def backlog(self, at: datetime, *, most: int) -> "Backlog":
        from relayd.store.sqlite import backlog  # noqa: PLC0415 -- as below

        with self._file.reading():
            return backlog.count(self._db, at, most)

    @_question
    def waiting(self, query: Query, by: "By", *, most: int | None = None) -> "Counted":
        from relayd.store.sqlite import waiting  # noqa: PLC0415 -- rows of recipients need none of it

        with self._file.reading():
            return waiting.count(self._db, query, by, most)

    @_question
    def paused_destinations(self, at: datetime, *, limit: int) -> Sequence[PausedDestination]:
        rows = self._fetch(
            "SELECT key, paused_until, paused_for FROM destination"
            " WHERE paused_until > 0 AND paused_until > ? AND due_at IS NOT NULL ORDER BY paused_until DESC, key LIMIT ?",
            (to_ms(at), limit),
        )
        return [
            PausedDestination(destination=key, until=from_ms(until), why=why)
            for key, until, why in rows
        ]

    @_question
    def pause_rules(self) -> "Sequence[PauseRule]":
        return [pause_rows.rule_of(row) for row in self._fetch(pause_rows.RULES)]

    @_question
    def latest(self, limit: int) -> Sequence[LatestEvent]:
        rows = self._fetch(
            "SELECT e.message_id, r.address, r.destination, e.kind, e.at, e.detail FROM event e"
            " JOIN recipient r ON r.message_id = e.message_id AND r.number = e.recipient"
            " WHERE e.kind <> 'received' ORDER BY e.id DESC LIMIT ?",
            (limit,),
        )
        return [latest_event(row) for row in rows]

    @_question
    def events(self, *, after: int, limit: int) -> Sequence[NumberedEvent]:
        return [numbered_event(row) for row in self._fetch(_EVENTS, (after, limit))]

    @_question
    def store_secret(self) -> bytes | None:
        rows = self._fetch("SELECT value FROM meta WHERE key = 'secret'")
        return bytes(rows[0][0]) if rows else None

    @_question
    def last_event(self) -> int:
        [(number,)] = self._fetch("SELECT coalesce(max(id), 0) FROM event")
        return int(number)

    @_question
    def tally(self, query: "TallyQuery") -> "TallyAnswer":
        from relayd.store.sqlite import tally_view  # noqa: PLC0415 -- rows of recipients need none of it

        with self._file.reading():
            return tally_view.answer(self._db, query)

    def _fetch(self, sql: str, bindings: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return fetch(self._db, sql, bindings)
        except apsw.Error as exc:
            raise translate(exc) from exc


def _page_of(
    found: list[RecipientRow], search: Search, before: Key | None, back_from: Key | None
) -> Page:
    beyond = None if search.is_done else search.place
    if back_from is None:
        return Page(found, beyond, before)
    return Page(found[::-1], back_from, beyond)


def _array_of(keys: Sequence[Key]) -> str:
    """Write keys of recipients as JSON."""
    return str([[*key] for key in keys])

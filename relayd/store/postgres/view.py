"""Questions to the store, from any process: a read-only connection, short reads."""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

from relayd.mail.ids import MessageId, received_at_of
from relayd.mail.once import FirstMessage
from relayd.mail.suppression import Suppression
from relayd.ports.view import (
    AddressRow,
    Counts,
    HistoryEntry,
    LatestEvent,
    NumberedEvent,
    Page,
    PausedDestination,
    Place,
    Query,
    RecentAddresses,
    RecipientRow,
    Status,
)
from relayd.store.event_rows import history_entry, latest_event, numbered_event
from relayd.store.postgres import (
    addresses,
    backlog,
    content,
    meta,
    once,
    pause_rows,
    returned,
    suppression,
    tally_view,
    waiting,
)
from relayd.store.postgres.events import SEEN
from relayd.store.postgres.line import Row, Session
from relayd.store.postgres.outbox_view import PostgresOutboxView
from relayd.store.postgres.people import PostgresPeopleView
from relayd.store.postgres.permits import PostgresPermitsView
from relayd.store.postgres.questions import Questions
from relayd.store.postgres.samples import PostgresSamplesView
from relayd.store.postgres.search import Search
from relayd.store.postgres.session import ONE_SNAPSHOT
from relayd.store.postgres.sites import PostgresSitesView
from relayd.store.postgres.trust import PostgresTrustView
from relayd.store.recipient_rows import recipient_row, status_in
from relayd.store.values import from_ms, to_ms

if TYPE_CHECKING:  # few questions need these
    from datetime import datetime

    from relayd.mail.content import Content
    from relayd.mail.pause import PauseRule
    from relayd.ports.backlog import Backlog
    from relayd.ports.outbox import OutboxView
    from relayd.ports.people import PeopleView
    from relayd.ports.permits import PermitsView
    from relayd.ports.samples import SamplesView
    from relayd.ports.sites import SiteStatesView
    from relayd.ports.tally import TallyAnswer, TallyQuery
    from relayd.ports.trust import TrustView
    from relayd.ports.waiting import By, Counted

_COLUMNS = (
    "r.message_id, r.number, m.received_at, m.reverse_path, r.address, r.state, r.category,"
    " r.destination, m.size, m.message_id_header, m.tag, m.client_ip, m.auth_user, r.attempts,"
    " r.next_attempt_at, coalesce(r.slot > 0, false), r.possible_duplicate, r.code, r.enhanced, r.reply,"
    " r.reason, r.bounce_class, r.suppress, r.remote_host, r.updated_at,"
    " d.paused_until, d.paused_for,"
    " EXISTS (SELECT 1 FROM slot WHERE destination = r.destination AND worker IS NOT NULL),"
    " m.subject, r.redirected_to, r.parameters::json->>'ORCPT', r.chosen_by,"
    " CASE WHEN r.state = 'held' THEN (SELECT detail FROM event WHERE message_id = r.message_id"
    " AND recipient = r.number AND kind = 'held' ORDER BY number DESC LIMIT 1) END"
)
_PAUSED_ALL = "SELECT key, paused_until, paused_for FROM destination WHERE paused_until > 0"
_COUNTS = (
    "SELECT state, destination, count(*), count(category), count(*) FILTER (WHERE slot < 0), min(message_id)"
    " FROM queue GROUP BY state, destination"
)
_HISTORY = "SELECT kind, at, recipient, detail FROM event WHERE message_id = $1 ORDER BY number"
# With a limit of its own it is looked up in one week; joined to the view, it would be in all of them.
_RECIPIENT = (
    "CROSS JOIN LATERAL (SELECT address, destination FROM every_recipient"
    " WHERE message_id = e.message_id AND number = e.recipient LIMIT 1) r"
)
_EVENTS = (
    "SELECT e.number, e.kind, e.at, e.detail, e.message_id, r.address, m.message_id_header, m.reverse_path,"  # noqa: S608 -- constants
    f" m.tag, m.size, m.auth_user FROM event e {_RECIPIENT}"
    " JOIN message m ON m.id = e.message_id"
    f" WHERE e.number > $1 AND e.kind <> 'received' AND e.number < {SEEN} ORDER BY e.number LIMIT $2"
)
_LATEST = (
    f"SELECT e.message_id, r.address, r.destination, e.kind, e.at, e.detail FROM event e {_RECIPIENT}"  # noqa: S608 -- constants
    " WHERE e.kind <> 'received' ORDER BY e.number DESC LIMIT $1"
)
_LAST_EVENT = f"SELECT coalesce(max(number), 0) FROM event WHERE number < {SEEN}"  # noqa: S608 -- constants
_SOON = 0.5  # seconds after which a bounded question has what it has
_PAUSED = (
    "SELECT key, paused_until, paused_for FROM destination WHERE paused_until > 0 AND paused_until > $1"
    " AND due_at IS NOT NULL ORDER BY paused_until DESC, key LIMIT $2"
)


class PostgresView:
    """`relayd.ports.view.QueueView` on PostgreSQL. Connects with the first question; raises StoreUnavailable.

    A question that takes longer than `within` seconds raises TookTooLong.
    """

    def __init__(self, url: str, *, within: float | None = None) -> None:
        self._questions = Questions(url, within=within)

    @property
    def outbox(self) -> "OutboxView":
        return PostgresOutboxView(self._questions)

    @property
    def people(self) -> "PeopleView":
        return PostgresPeopleView(self._questions)

    @property
    def permits(self) -> "PermitsView":
        return PostgresPermitsView(self._questions)

    @property
    def sites(self) -> "SiteStatesView":
        return PostgresSitesView(self._questions)

    @property
    def trust(self) -> "TrustView":
        return PostgresTrustView(self._questions)

    @property
    def samples(self) -> "SamplesView":
        return PostgresSamplesView(self._questions)

    def close(self) -> None:
        self._questions.close()

    def find(
        self,
        query: Query,
        *,
        limit: int,
        before: Place | None = None,
        back_from: Place | None = None,
    ) -> Sequence[RecipientRow]:
        return self._page(query, limit, before, back_from, within=None).rows

    def page(
        self,
        query: Query,
        *,
        limit: int,
        before: Place | None = None,
        back_from: Place | None = None,
    ) -> Page:
        return self._page(query, limit, before, back_from, within=_SOON)

    def _page(
        self,
        query: Query,
        limit: int,
        before: Place | None,
        back_from: Place | None,
        *,
        within: float | None,
    ) -> Page:
        async def question(db: Session) -> Page:
            await db.begin()
            await db.execute(
                ONE_SNAPSHOT
            )  # mail that moves on while it is looked for is not missed
            search = Search(query, before=before, back_from=back_from, within=within)
            await search.begin(db)
            found: list[RecipientRow] = []
            while len(found) < limit and search.goes_on:
                rows = await search.step(db, _COLUMNS, limit - len(found))
                found += map(recipient_row, rows)
            beyond = None if search.is_done else search.place
            if back_from is None:
                return Page(found, beyond, before)
            return Page(found[::-1], back_from, beyond)

        return self._questions.ask(question)

    def addresses(self, query: Query, *, limit: int) -> Sequence[AddressRow]:
        return self._questions.ask(
            lambda db: addresses.find(db, query, limit=limit, within=None)
        ).rows

    def recent_addresses(self, query: Query, *, limit: int) -> RecentAddresses:
        return self._questions.ask(lambda db: addresses.find(db, query, limit=limit, within=_SOON))

    def is_suppressed(self, address: str, *, sender: str = "") -> Awaitable[bool]:
        return self._questions.ask_later(lambda db: suppression.is_suppressed(db, address, sender))

    def suppressions(
        self, *, after: str = "", ahead_of: str = "", limit: int
    ) -> Sequence[Suppression]:
        if ahead_of:
            return self._questions.ask(lambda db: suppression.ahead_of(db, ahead_of, limit=limit))
        return self._questions.ask(lambda db: suppression.behind(db, after, limit=limit))

    def backlog(self, at: "datetime", *, most: int) -> "Backlog":
        return self._questions.ask(lambda db: backlog.count(db, at, most))

    def waiting(self, query: Query, by: "By", *, most: int | None = None) -> "Counted":
        return self._questions.ask(lambda db: waiting.count(db, query, by, most))

    def tally(self, query: "TallyQuery") -> "TallyAnswer":
        return self._questions.ask(lambda db: tally_view.answer(db, query))

    def pause_rules(self) -> "Sequence[PauseRule]":
        return self._questions.ask(pause_rows.read)

    def history(self, message_id: MessageId) -> Sequence[HistoryEntry]:
        return [history_entry(row) for row in self._fetch(_HISTORY, message_id)]

    def content_of(self, message_id: MessageId) -> "Content | None":
        return self._questions.ask(lambda db: content.find(db, message_id))

    def first_message(self, key: bytes) -> FirstMessage | None:
        return self._questions.ask(lambda db: once.first(db, key))

    def came_back(self, message_id: MessageId, recipient: int) -> "Sequence[datetime]":
        return [from_ms(at) for (at,) in self._fetch(returned.CAME_BACK, message_id, recipient)]

    def counts(self) -> Counts:
        by_status: dict[Status, int] = {}
        by_destination: dict[str, int] = {}
        oldest: dict[str, datetime] = {}
        paused = 0
        for state, destination, number, failed, stopped, message_id in self._fetch(_COUNTS):
            paused += stopped
            by_destination[destination] = by_destination.get(destination, 0) + number
            for status, count in (
                (status_in(state, None), number - failed),
                (status_in(state, "failed"), failed),
            ):
                if count:
                    by_status[status] = by_status.get(status, 0) + count
            if state != "held":
                oldest[destination] = received_at_of(MessageId(message_id))
        paused_rows = self._fetch(_PAUSED_ALL) if by_destination else ()
        rows = [row for row in paused_rows if row[0] in by_destination]
        return Counts(
            by_status=by_status,
            paused=paused,
            pause_rules=self.pause_rules(),
            by_destination=by_destination,
            oldest=oldest,
            paused_until={key: from_ms(until) for key, until, _ in rows},
            paused_for={key: why for key, _, why in rows if why},
        )

    def paused_destinations(self, at: "datetime", *, limit: int) -> Sequence[PausedDestination]:
        return [
            PausedDestination(destination=key, until=from_ms(until), why=why)
            for key, until, why in self._fetch(_PAUSED, to_ms(at), limit)
        ]

    def latest(self, limit: int) -> Sequence[LatestEvent]:
        return [latest_event(row) for row in self._fetch(_LATEST, limit)]

    def events(self, *, after: int, limit: int) -> Sequence[NumberedEvent]:
        return [numbered_event(row) for row in self._fetch(_EVENTS, after, limit)]

    def store_secret(self) -> bytes | None:
        return self._questions.ask(meta.secret)

    def last_event(self) -> int:
        [(number,)] = self._fetch(_LAST_EVENT)
        return int(number)

    def _fetch(self, sql: str, *values: Any) -> list[Row]:
        return self._questions.ask(lambda db: db.fetch(sql, *values))

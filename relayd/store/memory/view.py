"""The questions to the store in memory."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from relayd.mail.content import Content
from relayd.mail.event import Event
from relayd.mail.ids import MessageId, received_at_of
from relayd.mail.once import FirstMessage
from relayd.mail.pause import PauseRule
from relayd.mail.suppression import Suppression, in_force, is_suppressed
from relayd.mail.words import EventKind
from relayd.ports.backlog import Backlog, Oldest, classes
from relayd.ports.tally import TallyAnswer, TallyQuery
from relayd.ports.view import (
    UNFINISHED,
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
from relayd.ports.waiting import By, Counted, together, waiting
from relayd.store.memory import once, suppression, tally
from relayd.store.memory.outbox import MemoryOutboxView
from relayd.store.memory.people import MemoryPeopleView
from relayd.store.memory.permits import MemoryPermitsView
from relayd.store.memory.rows import address_row, row_of
from relayd.store.memory.search import matches, newest_first, value_of
from relayd.store.memory.sites import MemorySitesView
from relayd.store.memory.tables import Recipient, Tables
from relayd.store.memory.trust import MemoryTrustView


class MemoryView:
    """`relayd.ports.view.QueueView` on the tables of a MemoryStore."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    @property
    def people(self) -> MemoryPeopleView:
        return MemoryPeopleView(self._tables.people)

    @property
    def outbox(self) -> MemoryOutboxView:
        return MemoryOutboxView(self._tables)

    @property
    def permits(self) -> MemoryPermitsView:
        return MemoryPermitsView(self._tables)

    @property
    def sites(self) -> MemorySitesView:
        return MemorySitesView(self._tables.sites)

    @property
    def trust(self) -> MemoryTrustView:
        return MemoryTrustView(self._tables)

    @property
    def samples(self) -> None:
        return None

    def close(self) -> None:
        pass

    def find(
        self,
        query: Query,
        *,
        limit: int,
        before: Place | None = None,
        back_from: Place | None = None,
    ) -> Sequence[RecipientRow]:
        rows = [row for row in self._rows(query.message_id) if matches(row, query)]
        rows.sort(key=newest_first)
        if back_from is not None:
            page_end = (-back_from[0], back_from[1])
            return [row for row in rows if newest_first(row) <= page_end][-limit:]
        if before is not None:
            page_end = (-before[0], before[1])
            rows = [row for row in rows if newest_first(row) > page_end]
        return rows[:limit]

    def page(
        self,
        query: Query,
        *,
        limit: int,
        before: Place | None = None,
        back_from: Place | None = None,
    ) -> Page:
        rows = self.find(query, limit=limit, before=before, back_from=back_from)
        is_full = rows and len(rows) == limit
        if back_from is not None:
            first = (rows[0].message_id, rows[0].recipient - 1) if is_full else None
            return Page(rows, back_from, first)
        return Page(rows, (rows[-1].message_id, rows[-1].recipient) if is_full else None, before)

    def history(self, message_id: MessageId) -> Sequence[HistoryEntry]:
        message = self._tables.messages.get(message_id)
        if message is None:
            return []
        return [
            HistoryEntry(
                kind=event.kind.value,
                at=event.at,
                recipient=event.recipient,
                detail={key: value for key, value in event.detail.items() if value is not None},
            )
            for event in message.events
        ]

    def content_of(self, message_id: MessageId) -> Content | None:
        message = self._tables.messages.get(message_id)
        return None if message is None else message.content

    def addresses(self, query: Query, *, limit: int) -> Sequence[AddressRow]:
        groups: dict[str, list[RecipientRow]] = {}
        for row in self._rows_of_clients():
            groups.setdefault(row.address.lower(), []).append(row)
        newest = {
            address: max(matching)
            for address, rows in groups.items()
            if (matching := [row.message_id for row in rows if matches(row, query)])
        }
        chosen = sorted(newest, key=lambda address: newest[address], reverse=True)[:limit]
        found = [
            address_row(groups[address], in_force(suppression.known(self._tables, address)))
            for address in chosen
        ]
        if query.is_of_addresses:
            found += self._without_history(query, groups)
        return found[:limit]

    def recent_addresses(self, query: Query, *, limit: int) -> RecentAddresses:
        return RecentAddresses(self.addresses(query, limit=limit), None)

    def _without_history(self, query: Query, groups: Collection[str]) -> list[AddressRow]:
        found: dict[str, list[Suppression]] = {}
        wanted = {each.lower() for each in query.recipient}
        for each in suppression.all_in_force(self._tables, after="", domains=query.domain):
            address = each.address.lower()
            if address not in groups and (not wanted or address in wanted):
                found.setdefault(address, []).append(each)
        return [AddressRow.of_unused(each) for each in found.values()]

    def first_message(self, key: bytes) -> FirstMessage | None:
        return once.first(self._tables, key)

    def is_suppressed(self, address: str, *, sender: str = "") -> bool:
        return is_suppressed(suppression.known(self._tables, address), sender.lower())

    def suppressions(
        self, *, after: str = "", ahead_of: str = "", limit: int
    ) -> Sequence[Suppression]:
        found: list[Suppression] = []
        listed = suppression.all_in_force(self._tables, after=after)
        if ahead_of:
            end = suppression.key_of(ahead_of)
            back = [each for each in listed if suppression.key_of(each.address) < end]
            listed = reversed(back)
        for each in listed:
            if found and each.address != found[-1].address and len(found) >= limit:
                break
            found.append(each)
        return found[::-1] if ahead_of else found

    def came_back(self, message_id: MessageId, recipient: int) -> Sequence[datetime]:
        message = self._tables.messages.get(message_id)
        return [] if message is None else list(message.recipients[recipient].came_back)

    def counts(self) -> Counts:
        by_status: dict[Status, int] = {}
        by_destination: dict[str, int] = {}
        oldest: dict[str, datetime] = {}
        paused: dict[str, datetime] = {}
        for row in self.find(Query(unfinished=True), limit=len(list(self._rows()))):
            by_status[row.status] = by_status.get(row.status, 0) + 1
            by_destination[row.destination] = by_destination.get(row.destination, 0) + 1
            if row.paused_until is not None:
                paused[row.destination] = row.paused_until
            if row.status is Status.HELD:
                continue
            received_at = received_at_of(row.message_id)
            oldest[row.destination] = min(oldest.get(row.destination, received_at), received_at)
        return Counts(
            by_status=by_status,
            pause_rules=self.pause_rules(),
            paused=sum(1 for each in self._tables.recipients() if each.stopped_by),
            by_destination=by_destination,
            oldest=oldest,
            paused_until=paused,
            paused_for={
                name: why for name, why in self._tables.paused_for.items() if why and name in paused
            },
        )

    def backlog(self, at: datetime, *, most: int) -> Backlog:
        rows = [row for row in self._rows() if row.status in UNFINISHED]
        waits = [row for row in rows if row.status is not Status.HELD]
        first = min(waits, key=lambda row: row.message_id, default=None)
        statuses = Counter(row.status for row in rows)
        return Backlog(
            most=most,
            by_status={status: min(number, most + 1) for status, number in statuses.items()},
            by_age=[
                min(sum(low <= row.message_id <= high for row in waits), most + 1)
                for low, high in classes(at)
            ],
            paused=min(sum(1 for one in self._tables.recipients() if one.stopped_by), most + 1),
            oldest=None
            if first is None
            else Oldest(received_at_of(first.message_id), first.destination),
        )

    def waiting(self, query: Query, by: By, *, most: int | None = None) -> Counted:  # noqa: ARG002 -- no more than fits in memory
        groups = together(
            waiting(
                value_of(row, by),
                one.state,
                has_failed=one.category is not None,
                count=1,
                oldest=received_at_of(one.message_id),
                first=one.next_attempt_at if one.is_waiting() else None,
            )
            for one in self._tables.recipients()
            if matches(row := self._row(one), replace(query, unfinished=True))
        )
        return Counted(groups, None)

    def paused_destinations(self, at: datetime, *, limit: int) -> Sequence[PausedDestination]:
        waiting = {one.destination for one in self._tables.recipients() if one.is_waiting()}
        paused = [
            PausedDestination(
                destination=name, until=until, why=self._tables.paused_for.get(name, "")
            )
            for name, until in self._tables.paused.items()
            if until > at and name in waiting
        ]
        return sorted(paused, key=lambda each: each.until, reverse=True)[:limit]

    def pause_rules(self) -> Sequence[PauseRule]:
        return list(self._tables.pause_rules.values())

    def latest(self, limit: int) -> Sequence[LatestEvent]:
        rows = {(row.message_id, row.recipient): row for row in self._rows()}
        events = [
            LatestEvent(
                message_id=event.message_id,
                address=rows[event.message_id, event.recipient].address,
                destination=rows[event.message_id, event.recipient].destination,
                kind=event.kind.value,
                at=event.at,
                detail={key: value for key, value in event.detail.items() if value is not None},
            )
            for event in reversed(self._tables.events)
            if event.message_id in self._tables.messages and event.kind is not EventKind.RECEIVED
        ]
        return events[:limit]

    def events(self, *, after: int, limit: int) -> Sequence[NumberedEvent]:
        rows = {(row.message_id, row.recipient): row for row in self._rows()}
        found = [
            _numbered(number, event, rows[event.message_id, event.recipient])
            for number, event in enumerate(self._tables.events, start=1)
            if number > after
            and event.message_id in self._tables.messages
            and event.kind is not EventKind.RECEIVED
        ]
        return found[:limit]

    def store_secret(self) -> bytes | None:
        return b"the same for every memory store."

    def last_event(self) -> int:
        return len(self._tables.events)

    def tally(self, query: TallyQuery) -> TallyAnswer:
        return tally.answer(self._tables, query)

    def _rows(self, of: MessageId | None = None) -> Iterator[RecipientRow]:
        return map(self._row, self._tables.recipients(of))

    def _rows_of_clients(self) -> Iterator[RecipientRow]:
        return (self._row(one) for one in self._tables.recipients() if not one.returned)

    def _row(self, recipient: Recipient) -> RecipientRow:
        return row_of(self._tables.messages[recipient.message_id].new, recipient, self._tables)


def _numbered(number: int, event: Event, row: RecipientRow) -> NumberedEvent:
    return NumberedEvent(
        number=number,
        kind=event.kind.value,
        at=event.at,
        detail={key: value for key, value in event.detail.items() if value is not None},
        message_id=event.message_id,
        address=row.address,
        message_id_header=row.message_id_header,
        reverse_path=row.reverse_path,
        tag=row.tag,
        size=row.size,
        auth_user=row.auth_user,
    )

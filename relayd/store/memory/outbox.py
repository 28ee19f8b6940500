"""The outbox on plain dicts: its verbs, and the questions about it beside them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from relayd.answers.webhooks import told_of, told_of_change
from relayd.mail.ids import MessageId
from relayd.policy.console.webhook import NEVER, Off, Result, Try, enabled, generations_of, judge
from relayd.ports.outbox import (
    UNFINISHED,
    Action,
    DeliveryQuery,
    DeliveryResult,
    DeliveryRow,
    DeliveryState,
    Endpoint,
    EndpointId,
    Outgoing,
    Replay,
    Replayed,
    Settled,
    Subscription,
    SubscriptionChange,
    TellsDisabled,
)
from relayd.ports.outward import Clock
from relayd.ports.people import Author, Deed
from relayd.store.memory import messages
from relayd.store.memory.age import Age
from relayd.store.memory.people import MemoryPeople
from relayd.store.memory.tables import Delivery, Tables, TheEndpoint

_STATE_AFTER = {
    Result.DONE: DeliveryState.DONE,
    Result.WAITS: DeliveryState.WAITING,
    Result.FAILED: DeliveryState.FAILED,
}


class MemoryOutboxView:
    """`relayd.ports.outbox.OutboxView`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def endpoints(self, *, most: int | None = None) -> Sequence[Endpoint]:
        found = self._tables.endpoints.items()
        return [self._endpoint(number, one, most) for number, one in found]

    def _endpoint(self, number: EndpointId, one: TheEndpoint, most: int | None = None) -> Endpoint:
        enough = None if most is None else most + 1
        own = [each for each in self._tables.deliveries.values() if each.endpoint == number]
        unfinished = [each for each in own if each.state in UNFINISHED]
        unfinished.sort(key=_place_of)
        waiting = [each.at for each in unfinished[:enough]]
        failed = sum(each.state is DeliveryState.FAILED for each in own)
        standing = one.standing
        return Endpoint(
            id=number,
            wanted=replace(one.wanted, is_on=not standing.off),
            created_at=one.created_at,
            generation=one.generation,
            off=standing.off,
            failures=standing.failures,
            failing_since=self._instant(standing.failing_since),
            rests_until=self._instant(standing.rests_until),
            last_ok_at=one.ok_at,
            last_at=one.last_at,
            last=one.last,
            waiting=len(waiting),
            oldest=min(waiting, default=None),
            failed=failed if enough is None else min(failed, enough),
        )

    def deliveries(self, query: DeliveryQuery) -> Sequence[DeliveryRow]:
        found = [
            each
            for _, each in sorted(self._tables.deliveries.items(), reverse=True)
            if each.endpoint == query.endpoint
            and (query.before is None or each.number < query.before)
            and (query.after is None or each.number > query.after)
            and (not query.states or each.state in query.states)
        ]
        return [
            DeliveryRow(
                endpoint=each.endpoint,
                number=each.number,
                at=each.at,
                state=each.state,
                tries=each.claims,
                event=each.event,
                last_at=each.last_at,
                last=each.last,
                next_at=self._instant(each.next_at)
                if each.state is DeliveryState.WAITING
                else None,
            )
            for each in (found[: query.limit] if query.after is None else found[-query.limit :])
        ]

    def _instant(self, served: int | None) -> datetime | None:
        if served is None or served == NEVER:
            return None
        return self._tables.first_served_at + timedelta(milliseconds=served)


class MemoryOutbox(MemoryOutboxView):
    """`relayd.ports.outbox.Outbox`."""

    def __init__(self, tables: Tables, clock: Clock, age: Age) -> None:
        super().__init__(tables)
        self._clock = clock
        self._age = age

    async def claim_deliveries(self, limit: int, *, lease_for: timedelta) -> Sequence[Outgoing]:
        claimed: list[Outgoing] = []
        by_turn = sorted(
            self._tables.endpoints.items(), key=lambda one: (one[1].claimed_at, one[0])
        )
        for number, endpoint in by_turn:
            due = self._due(number, endpoint)[: limit - len(claimed)]
            claimed += [self._lease(endpoint, each, lease_for) for each in due]
        return claimed

    def _due(self, number: EndpointId, endpoint: TheEndpoint) -> list[Delivery]:
        """Return what may be sent to an endpoint, in order."""
        now = self._served()
        own = [each for each in self._tables.deliveries.values() if each.endpoint == number]
        room = endpoint.standing.at_once(now) - sum(
            each.state is DeliveryState.SENDING and each.next_at > now for each in own
        )
        found = []
        for state in (DeliveryState.SENDING, DeliveryState.WAITING):
            due = [each for each in own if each.state is state and each.next_at <= now]
            found += sorted(due, key=lambda each: (each.next_at, each.number))
        return found[:room] if room > 0 else [each for each in found if each.number < 0][:1]

    def _lease(self, endpoint: TheEndpoint, each: Delivery, lease_for: timedelta) -> Outgoing:
        now = self._served()
        endpoint.claimed_at = each.claimed_at = now
        each.state, each.next_at = DeliveryState.SENDING, now + _ms(lease_for)
        each.claims += 1
        each.last_at = self._clock.now()
        return Outgoing(
            endpoint=each.endpoint,
            number=each.number,
            claim=each.claims,
            url=endpoint.wanted.url,
            generations=generations_of(endpoint.generation, endpoint.rotated_at, now),
            at=each.at,
            event=each.event,
        )

    async def settle_deliveries(
        self,
        results: Sequence[DeliveryResult],
        *,
        jitter: float,
        tell: TellsDisabled | None = None,
    ) -> Sequence[Settled]:
        found = (self._settle(each, jitter) for each in results)
        return [self._told(each, tell) for each in found if each is not None]

    def _told(self, settled: Settled, tell: TellsDisabled | None) -> Settled:
        if tell is None or not settled.disabled:
            return settled
        number = settled.endpoint
        mail = tell(self._endpoint(number, self._tables.endpoints[number]))
        messages.insert(self._tables, mail, served=self._age.served(), is_returned=True)
        return replace(settled, mail=mail)

    def _settle(self, result: DeliveryResult, jitter: float) -> Settled | None:
        each = self._tables.deliveries.get((result.endpoint, result.number))
        is_leased = each is not None and each.state is DeliveryState.SENDING
        if each is None or not is_leased or each.claims != result.claim:
            return None
        endpoint = self._tables.endpoints[result.endpoint]
        before = endpoint.standing
        tried = Try(begun_at=each.claimed_at, refusals=each.refusals, is_test=result.number < 0)
        verdict = judge(result.answer, before, tried, now=self._served(), jitter=jitter)
        each.state, each.next_at = _STATE_AFTER[verdict.result], verdict.due_at
        each.refusals, each.last = verdict.refusals, result.heard
        endpoint.standing, endpoint.last = verdict.standing, result.heard
        endpoint.last_at = self._clock.now()
        if verdict.result is Result.DONE:
            endpoint.ok_at = endpoint.last_at
        self._tables.line_up(each)
        return Settled(
            endpoint=result.endpoint,
            number=result.number,
            result=verdict.result,
            disabled=Off.NO if before.off else verdict.standing.off,
        )

    async def replay(self, wanted: Replay, *, author: Author) -> Replayed:
        states = {DeliveryState.FAILED} | (set() if wanted.only_failed else {DeliveryState.DONE})
        matching = [
            each
            for _, each in sorted(self._tables.deliveries.items())
            if each.endpoint == wanted.endpoint
            and each.number > max(wanted.after, 0)
            and each.state in states
            and wanted.number in (None, each.number)
            and (wanted.since is None or each.at >= wanted.since)
            and (wanted.until is None or each.at < wanted.until)
        ]
        part = matching[: wanted.limit]
        for each in part:
            each.state, each.next_at, each.refusals = DeliveryState.BEHIND, NEVER, 0
            self._tables.line_up(each)
        if part:
            await self._note(Action.REPLAYED, wanted.endpoint, f"{len(part)} deliveries", author)
        return Replayed(
            changed=len(part), more=part[-1].number if len(part) < len(matching) else None
        )

    async def put_endpoint(
        self, wanted: Subscription, endpoint: EndpointId | None = None, *, author: Author
    ) -> EndpointId | None:
        endpoints = self._tables.endpoints
        if endpoint is None:
            self._tables.last_endpoint += 1
            endpoint = EndpointId(self._tables.last_endpoint)
            endpoints[endpoint] = TheEndpoint(wanted=wanted, created_at=self._clock.now())
            await self._note(Action.ADDED, endpoint, told_of(wanted), author)
        elif endpoint not in endpoints:
            return None
        one = endpoints[endpoint]
        if told := told_of_change(replace(one.wanted, is_on=not one.standing.off), wanted):
            await self._note(Action.CHANGED, endpoint, told, author)
        one.wanted = wanted
        if wanted.is_on and one.standing.off:
            one.standing = enabled(one.standing)
        elif not wanted.is_on and not one.standing.off:
            one.standing = replace(one.standing, off=Off.BY_HAND)
        return endpoint

    async def change_endpoint(
        self, endpoint: EndpointId, change: SubscriptionChange, *, author: Author
    ) -> bool:
        one = self._tables.endpoints.get(endpoint)
        if one is None:
            return False
        before = replace(one.wanted, is_on=not one.standing.off)
        await self.put_endpoint(change.of(before), endpoint, author=author)
        return True

    async def drop_endpoint(self, endpoint: EndpointId, *, author: Author) -> bool:
        self._forget(each for each in self._tables.deliveries if each[0] == endpoint)
        dropped = self._tables.endpoints.pop(endpoint, None)
        if dropped is not None:
            wanted = replace(dropped.wanted, is_on=not dropped.standing.off)
            await self._note(Action.REMOVED, endpoint, told_of(wanted), author)
        return dropped is not None

    async def rotate(self, endpoint: EndpointId, *, author: Author) -> int | None:
        one = self._tables.endpoints.get(endpoint)
        if one is None:
            return None
        one.generation += 1
        one.rotated_at = self._served()
        await self._note(Action.ROTATED, endpoint, "", author)
        return one.generation

    async def send_test(self, endpoint: EndpointId, *, author: Author) -> int | None:
        if endpoint not in self._tables.endpoints:
            return None
        tests = [number for of, number in self._tables.deliveries if of == endpoint and number < 0]
        number = min(tests, default=0) - 1
        self._tables.deliveries[endpoint, number] = Delivery(
            endpoint=endpoint, number=number, at=self._clock.now(), event=None
        )
        await self._note(Action.TESTED, endpoint, "", author)
        return number

    def purge(self, messages: Collection[MessageId], older_than: datetime) -> None:
        """Delete what would be told of messages whose history is deleted, and old tests."""
        self._forget(
            key
            for key, each in self._tables.deliveries.items()
            if (each.at < older_than if each.event is None else each.event.message_id in messages)
        )

    def _served(self) -> int:
        return int(self._age.served() * 1000)

    async def _note(
        self, action: Action, endpoint: EndpointId, detail: str, author: Author
    ) -> None:
        people = MemoryPeople(self._tables.people, self._clock)
        await people.note(Deed(action, str(endpoint), detail), author=author)

    def _forget(self, keys: Iterable[tuple[EndpointId, int]]) -> None:
        for key in list(keys):
            del self._tables.deliveries[key]


def _ms(length: timedelta) -> int:
    return length // timedelta(milliseconds=1)


def _place_of(each: Delivery) -> tuple[int, int, int]:
    """Return where a delivery lies among others: by its message; a test has none."""
    message_id, recipient = (
        (0, 0) if each.event is None else (each.event.message_id, each.event.recipient)
    )
    return message_id, recipient, each.number

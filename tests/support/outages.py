"""Load on the store while its PostgreSQL fails over or is killed, and the judgement on what is there afterwards.

A worker without a network: messages are put into the store, with or without a lease, claimed, and settled. What the
store said of each is kept. A part is not settled, so that contents can be compared, and stays leased.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import md5
from unittest.mock import patch

from relayd.errors import CommitUnknown, LeaseLost, StoreError
from relayd.mail.ids import MessageId, WorkerIdentity
from relayd.ports.queue import Lease, Work
from relayd.store.postgres import line
from relayd.store.postgres.queue import PostgresStore
from relayd.worker.parts import IdSource
from relayd.worker.system import SystemClock
from tests.support.builders import a_message, settlements_of
from tests.support.ledger import Fate
from tests.support.postgres import Server

LEASE = timedelta(seconds=60)
_KEPT = 20  # one of so many is not settled
_REST = 0.02  # seconds, after the store said no
_WITHIN = 60.0  # seconds


@dataclass(slots=True)
class Entry:
    """A message, and what the store said of it."""

    id: MessageId
    content: bytes
    is_kept: bool
    put: Fate = Fate.SENT
    settled: Fate = Fate.SENT


@dataclass(slots=True)
class Ledger:
    """What was said to the worker, and what it has in hand."""

    entries: dict[MessageId, Entry] = field(default_factory=dict)
    in_hand: dict[MessageId, Lease] = field(default_factory=dict)
    acked: int = 0
    last_acked_at: float = 0.0
    gap: float = 0.0  # seconds: the longest between two
    died: list[BaseException] = field(default_factory=list)

    def ack(self, entry: Entry) -> None:
        now = time.monotonic()
        entry.put = Fate.ACKED
        if self.acked:
            self.gap = max(self.gap, now - self.last_acked_at)
        self.acked, self.last_acked_at = self.acked + 1, now


class Load:
    """A worker on an event loop of its own."""

    def __init__(self, url: str, *, producers: int = 20, octets: int = 4096) -> None:
        self.ledger = Ledger()
        self._url = url
        self._producers = producers
        self._octets = octets
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(),))
        self._thread.start()

    def wait_for(self, more: int) -> None:
        """Wait until so many more messages were acknowledged."""
        wanted, deadline = self.ledger.acked + more, time.monotonic() + _WITHIN
        while self.ledger.acked < wanted:
            assert not self.ledger.died, self.ledger.died
            assert time.monotonic() < deadline, "the store takes no messages"
            time.sleep(0.01)

    def stop(self) -> None:
        """Send no more; claim and settle what there is."""
        self._is_over.set()
        self._thread.join(_WITHIN)
        assert not self._thread.is_alive(), "the load does not end"

    async def _run(self) -> None:
        self._clock = SystemClock()
        self._store = PostgresStore.open(self._url, clock=self._clock, slots={})
        try:
            self._worker = await self._store.register(
                WorkerIdentity(node="here", boot="now", name="1")
            )
            self._ids = IdSource(self._worker)
            keeping = asyncio.ensure_future(self._keep_leases())
            await asyncio.gather(self._claim(), *map(self._produce, range(self._producers)))
            while await self._claim_some():
                pass
            keeping.cancel()
            await self._store.close()
        except BaseException as exc:  # noqa: BLE001 -- the judge tells it
            self.ledger.died.append(exc)

    async def _produce(self, number: int) -> None:
        turn = number
        while not self._is_over.is_set():
            turn += 1
            entry = self._new()
            now = self._clock.now()
            message = a_message("a@x.test", at=now, content=entry.content)
            message = replace(message, id=entry.id)
            lease_for = LEASE if turn % 2 else None
            try:
                works = await self._store.enqueue(
                    message, worker=self._worker.number, lease_for=lease_for
                )
            except CommitUnknown:
                entry.put = Fate.UNKNOWN
            except StoreError:
                entry.put = Fate.REFUSED
                await asyncio.sleep(_REST)
            else:
                self.ledger.ack(entry)
                await self._deal_with(works)

    def _new(self) -> Entry:
        message_id = self._ids.next_id(self._clock.now())
        content = f"Subject: {message_id}\r\n\r\n".encode().ljust(self._octets, b"x")
        entry = Entry(message_id, content, is_kept=len(self.ledger.entries) % _KEPT == 0)
        self.ledger.entries[message_id] = entry
        return entry

    async def _claim(self) -> None:
        while not self._is_over.is_set():
            await self._claim_some()
            await asyncio.sleep(_REST)

    async def _claim_some(self) -> bool:
        try:
            works = await self._store.claim(self._worker.number, limit=100, lease_for=LEASE)
        except StoreError:
            await asyncio.sleep(_REST)
            return True
        await self._deal_with(works)
        return bool(works)

    async def _deal_with(self, works: Sequence[Work]) -> None:
        for work in works:
            self.ledger.in_hand[work.message.id] = work.lease
        await asyncio.gather(*map(self._settle, works))

    async def _settle(self, work: Work) -> None:
        entry = self.ledger.entries[work.message.id]
        if entry.is_kept:
            return
        while entry.settled is Fate.SENT:
            try:
                written = await self._store.settle(work.lease, settlements_of(work))
            except LeaseLost:
                entry.settled = Fate.REFUSED
            except StoreError:  # S-52, S-55: once more
                await asyncio.sleep(_REST)
            else:
                entry.settled = Fate.ACKED if written else Fate.REFUSED
        self.ledger.in_hand.pop(work.message.id, None)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(1)
            held = tuple(set(self.ledger.in_hand.values()))
            try:
                lost = await self._store.extend(held, worker=self._worker.number, lease_for=LEASE)
                await self._store.reap()
            except StoreError:
                continue
            for message_id, lease in tuple(self.ledger.in_hand.items()):
                if lease in lost:
                    del self.ledger.in_hand[message_id]


@dataclass(frozen=True, slots=True)
class Found:
    """What the judge found."""

    figures: Counter[str]
    wrong: dict[str, int]  # how many of each kind; empty: the store told the truth


def judge(ledger: Ledger, server: Server) -> Found:
    """Compare what the store said with what is in its tables, once the load is over."""
    told = ledger.entries.values()
    there = {int(each) for each in _rows(server, "SELECT id FROM message")}
    queued = _pairs(server, "SELECT message_id, coalesce(slot, 0) FROM queue")
    relayed = _pairs(server, "SELECT message_id, state FROM recipient WHERE state = 'relayed'")
    events = _pairs(
        server, "SELECT message_id, count(*) FROM event WHERE kind = 'relayed' GROUP BY message_id"
    )
    contents = _pairs(server, "SELECT message_id, md5(body) FROM content")
    acked = {each.id for each in told if each.put is Fate.ACKED}
    refused = {each.id for each in told if each.put is Fate.REFUSED}
    settled = {each.id for each in told if each.settled is Fate.ACKED}
    kept = {each.id for each in told if each.is_kept}
    right = {each.id: md5(each.content).hexdigest() for each in told}
    leased = {message_id for message_id, slot in queued.items() if slot != "0"}
    counted: dict[str, AbstractSet[int]] = {
        "acknowledged and lost": acked - there,
        "refused and there": refused & there,
        "relayed and not so": settled - relayed.keys() | settled & queued.keys(),
        "relayed, and the worker was told otherwise": relayed.keys() - settled,
        "relayed twice": {each for each, count in events.items() if count != "1"},
        "waiting and not in the queue": kept & there - queued.keys(),
        "leased to nobody": leased - ledger.in_hand.keys(),
        "never due": queued.keys() - leased,
        "with other octets": {each for each in queued if contents.get(each) != right[each]},
        "dead workers": set(map(id, ledger.died)),
    }
    figures = Counter(
        {
            "messages": len(told),
            "acknowledged": len(acked),
            "refused": len(refused),
            "unknown": sum(each.put is Fate.UNKNOWN for each in told),
            "relayed": len(settled),
            "contents compared": len(queued),
            "longest gap, ms": round(ledger.gap * 1000),
        }
    )
    return Found(figures, {name: len(which) for name, which in counted.items() if which})


def _rows(server: Server, sql: str) -> list[str]:
    return server.run(sql).split()


def _pairs(server: Server, sql: str) -> dict[MessageId, str]:
    rows = (row.partition("|") for row in _rows(server, sql))
    return {MessageId(int(message_id)): value for message_id, _, value in rows}


@contextmanager
def nobody_looks() -> Iterator[None]:
    """The control: what nobody knows counts as not done, and is not looked for."""

    async def guess(*_: object, **__: object) -> None:
        pass

    with patch.object(line, "resolve", guess):
        yield

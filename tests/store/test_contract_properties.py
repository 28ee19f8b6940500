"""Any run of verbs, on every store and on all of them side by side.

A machine plays two workers, an operator and the passing of time. After each step: every recipient is
in exactly one state, final states stay, nobody leases what another one has, content is there exactly
while somebody waits for it, and all stores tell the same.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relayd.errors import LeaseLost
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId, WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import (
    TRANSITIONS,
    Held,
    NoAttempt,
    NotTried,
    Outcome,
    RecipientState,
    Relayed,
    Rerouted,
    Sent,
)
from relayd.mail.suppression import ToSuppress
from relayd.mail.tally import Dimension
from relayd.ports.queue import Settlement, Work
from relayd.ports.tally import TallyQuery
from relayd.ports.view import Query, RecipientRow, Status
from tests.support import postgres
from tests.support.builders import (
    a_bounce,
    a_deferral,
    a_message,
    a_recipient,
    a_rerouting,
    a_settlement,
)
from tests.support.clock import START
from tests.support.stores import ALL, LEASE, OPENERS, SLOTS, WIDE, Box
from tests.support.tallies import told
from tests.support.workers import registered

T = TypeVar("T")
Key = tuple[MessageId, int]

DESTINATIONS = ("one.test", "two.test", WIDE)
FINAL = (Status.RELAYED, Status.SENT, Status.BOUNCED, Status.DROPPED)
# Seconds that never add up to a lease: whether it ends on the dot is for the contract to say.
STEPS = (7, 61, 607)
WORKERS = st.sampled_from(["ann", "bob"])


def outcomes(now: datetime) -> dict[str, Outcome | NoAttempt]:
    return {
        "relayed": Relayed(),
        "sent": Sent(),
        "bounced": a_bounce(),
        "deferred": a_deferral(now + timedelta(minutes=5)),
        "unknown": a_deferral(now, possible_duplicate=True),
        "not tried": NotTried(reason="login refused"),
        "held": Held(),
        **{f"moved to {name}": Rerouted(name) for name in DESTINATIONS},
    }


OUTCOME = st.sampled_from(sorted(outcomes(START)))


@dataclass
class Bench:
    """One store, with what was taken from it so far."""

    box: Box
    works: list[Work] = field(default_factory=list)


class Queue(RuleBasedStateMachine):
    names: ClassVar[tuple[str, ...]] = ("memory", "sqlite")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name)
        self.benches = [Bench(self.run_in_loop(partial(opened, name, path))) for name in self.names]
        self.messages: list[NewMessage] = []
        self.workers: dict[str, WorkerNumber] = {}
        self.before: Mapping[Key, RecipientRow] = {}
        for name in ("ann", "bob"):
            self.restart(name)

    def teardown(self) -> None:
        for bench in self.benches:
            self.run_in_loop(bench.box.close)
        self.runner.close()
        self.directory.cleanup()

    def run_in_loop(self, verb: Callable[[], Awaitable[T]]) -> T:
        async def call() -> T:
            return await verb()

        return self.runner.run(call())

    def on_all(self, verb: Callable[[Bench], Awaitable[T]]) -> T:
        """Do the same with every store; return what they all said."""
        said = [self.run_in_loop(partial(verb, bench)) for bench in self.benches]
        assert all(one == said[0] for one in said), said
        return said[0]

    @property
    def now(self) -> datetime:
        return self.benches[0].box.clock.now()

    # --- what workers do

    @rule(worker=WORKERS)
    def restart(self, worker: str) -> None:
        number = self.on_all(lambda bench: registered(bench.box.store, worker))
        assert number not in self.workers.values()
        self.workers[worker] = number

    @rule(
        worker=WORKERS,
        leased=st.booleans(),
        destinations=st.lists(st.sampled_from(DESTINATIONS), min_size=1, max_size=4),
    )
    def enqueue(self, worker: str, destinations: list[str], *, leased: bool) -> None:
        recipients = [
            a_recipient(f"u{len(self.messages)}@{name}", destination=name) for name in destinations
        ]
        message = a_message(*recipients, at=self.now, count=len(self.messages))
        self.messages.append(message)
        self.on_all(lambda bench: self.put(bench, message, worker, leased=leased))
        assert set(keys_of(message)) <= set(self.rows())

    async def put(
        self, bench: Bench, message: NewMessage, worker: str, *, leased: bool
    ) -> list[object]:
        number = self.workers[worker]
        return self.took(bench, await bench.box.put(message, worker=number, leased=leased))

    @rule(
        worker=WORKERS,
        limit=st.sampled_from([1, 2, 50]),
        but=st.sampled_from([(), (), (WIDE,), DESTINATIONS[:2]]),
    )
    def claim(self, worker: str, limit: int, but: Sequence[str]) -> None:
        async def claim(bench: Bench) -> list[object]:
            number = self.workers[worker]
            works = await bench.box.claim(number, limit=limit, but=but)
            assert not {work.lease.destination for work in works} & set(but)
            return self.took(bench, works)

        self.on_all(claim)

    def took(self, bench: Bench, works: Sequence[Work]) -> list[object]:
        """Note what a store gave; return it without what stores may choose for themselves."""
        for work in works:
            for earlier in bench.works:
                if earlier.lease == work.lease:
                    continue
                same = (earlier.lease.destination, earlier.lease.slot)
                if same == (work.lease.destination, work.lease.slot):
                    assert work.lease.epoch > earlier.lease.epoch, "epochs only rise"
            for one in work.recipients:
                row = self.before.get((work.message.id, one.number))
                assert row is None or row.status not in (*FINAL, Status.HELD)
                assert row is None or not row.leased or one.possible_duplicate, "leased twice"
                attempts = 0 if row is None else row.attempts
                assert one.attempt == attempts + 1
        bench.works += works
        return [(work.lease.destination, work.message, work.recipients) for work in works]

    @precondition(lambda self: self.benches[0].works)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Settle any work ever taken, current or stale, in part or whole."""
        index = self.some_work(data)
        recipients = self.benches[0].works[index].recipients
        chosen = [data.draw(st.none() | OUTCOME) for _ in recipients]

        async def settle(bench: Bench) -> bool:
            work = bench.works[index]
            settlements = [
                settlement_of(work, one.number, outcomes(self.now)[name], self.now)
                for one, name in zip(work.recipients, chosen, strict=True)
                if name is not None
            ]
            try:
                await bench.box.store.settle(work.lease, settlements)
            except LeaseLost:
                return False
            return True

        self.on_all(settle)

    @precondition(lambda self: self.benches[0].works)
    @rule(data=st.data(), pause=st.booleans())
    def release(self, data: st.DataObject, *, pause: bool) -> None:
        index = self.some_work(data)
        until = self.now + timedelta(minutes=10) if pause else None
        self.on_all(
            lambda bench: bench.box.store.release(bench.works[index].lease, paused_until=until)
        )

    @precondition(lambda self: self.benches[0].works)
    @rule(data=st.data(), worker=WORKERS)
    def extend(self, data: st.DataObject, worker: str) -> None:
        index = self.some_work(data)

        async def extend(bench: Bench) -> int:
            lease, number = bench.works[index].lease, self.workers[worker]
            return len(await bench.box.store.extend([lease], worker=number, lease_for=LEASE))

        self.on_all(extend)

    def some_work(self, data: st.DataObject) -> int:
        return data.draw(st.integers(0, len(self.benches[0].works) - 1))

    # --- what happens to them

    @rule(seconds=st.sampled_from(STEPS))
    def advance(self, seconds: int) -> None:
        for bench in self.benches:
            bench.box.advance(seconds)

    @rule()
    def reap(self) -> None:
        freed = self.on_all(lambda bench: bench.box.store.reap())
        assert freed <= sum(row.leased for row in self.before.values())

    @rule(action=st.sampled_from(Action), domain=st.sampled_from(DESTINATIONS))
    def act(self, action: Action, domain: str) -> None:
        async def act(bench: Bench) -> object:
            query = Query(domain=(domain,))
            acted = await bench.box.store.act(query, action, by="ann", reason="why")
            return sorted((one.message_id, one.recipient, one.kind, one.at) for one in acted.events)

        self.on_all(act)

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def unsuppress(self, data: st.DataObject) -> None:
        message = data.draw(st.sampled_from(self.messages))
        address = str(message.recipients[0].address)
        self.on_all(lambda bench: bench.box.store.unsuppress(address))

    @precondition(lambda self: self.messages)
    @rule(data=st.data(), scope=st.sampled_from(["", "app@app.test"]))
    def suppress(self, data: st.DataObject, scope: str) -> None:
        message = data.draw(st.sampled_from(self.messages))
        wanted = [ToSuppress(address=str(one.address), scope=scope) for one in message.recipients]
        self.on_all(lambda bench: bench.box.store.suppress(wanted, by="ann"))

    @rule()
    def purge(self) -> None:
        old = self.now - timedelta(minutes=5)
        unfinished = {key for key, row in self.before.items() if row.status not in FINAL}
        self.on_all(lambda bench: bench.box.store.purge(old))
        assert unfinished <= set(self.rows())

    @rule(at_once=st.sampled_from([1, 2, 5, 20]))
    def count(self, at_once: int) -> None:
        """Count some of the history, as one store needs and another does not."""
        for bench in self.benches:
            self.run_in_loop(partial(bench.box.store.tally_up, at_once))

    # --- what always holds

    def rows(self) -> dict[Key, RecipientRow]:
        told = [
            {(row.message_id, row.recipient): row for row in bench.box.rows()}
            for bench in self.benches
        ]
        for others in told:
            assert others == told[0]
        return told[0]

    @invariant()
    def each_recipient_is_in_one_state(self) -> None:
        rows = self.rows()
        self.states_follow_the_transitions(rows)
        for key, row in rows.items():
            assert not row.leased or row.status in (Status.QUEUED, Status.DEFERRED), key
            assert (row.next_attempt_at is None) == (row.status in (*FINAL, Status.HELD)), key
        self.before = rows

    def states_follow_the_transitions(self, rows: Mapping[Key, RecipientRow]) -> None:
        for key, old in self.before.items():
            if key not in rows:
                assert old.status in FINAL, "only finished mail is purged"
                continue
            was, is_now = state_of(old), state_of(rows[key])
            assert was == is_now or (old.status not in FINAL and is_now in TRANSITIONS[was]), key
            assert rows[key].possible_duplicate or not old.possible_duplicate, key

    @invariant()
    def nothing_was_lost(self) -> None:
        """Each accepted recipient is there, or was final for long; content as long as needed."""
        rows = self.rows()
        for message in self.messages:
            statuses = [rows[key].status for key in keys_of(message) if key in rows]
            assert len(statuses) in (0, len(message.recipients))
            unfinished = any(status not in FINAL for status in statuses)
            content = self.on_all(lambda bench: bench.box.store.content(message.id))  # noqa: B023
            assert content == (message.content if unfinished else None)

    @invariant()
    def slots_are_not_overbooked(self) -> None:
        for bench in self.benches:
            for name in DESTINATIONS:
                slots = {work.lease.slot for work in bench.works if work.lease.destination == name}
                assert len(slots) <= SLOTS.get(name, 1)

    @invariant()
    def what_happened_is_counted(self) -> None:
        """However much of it was counted before it was asked for; also what is purged by now."""
        if len(self.benches) == 1:
            return
        query = TallyQuery(by=Dimension.DOMAIN)
        answers = [bench.box.view.tally(query) for bench in self.benches]
        assert all(told(one) == told(answers[0]) for one in answers)
        assert all(one.total == answers[0].total for one in answers)
        assert all(one.begins == answers[0].begins for one in answers)

    @invariant()
    def stores_agree(self) -> None:
        views = [bench.box.view for bench in self.benches]
        assert all(view.counts() == views[0].counts() for view in views)
        suppressed = [
            {row.address for row in view.addresses(Query(), limit=ALL) if row.suppress}
            for view in views
        ]
        assert all(some == suppressed[0] for some in suppressed)
        in_force = [view.suppressions(limit=ALL) for view in views]
        assert all(some == in_force[0] for some in in_force)
        for message in self.messages[-3:]:
            told = [
                [(one.kind, one.at, one.recipient) for one in view.history(message.id)]
                for view in views
            ]
            assert all(history == told[0] for history in told)


async def opened(name: str, directory: Path) -> Box:
    return OPENERS[name](directory)


def settlement_of(
    work: Work, recipient: int, outcome: Outcome | NoAttempt, at: datetime
) -> Settlement:
    if isinstance(outcome, Rerouted | Held):
        return a_rerouting(work.message.id, recipient, outcome, at=at)
    return a_settlement(work.message.id, recipient, outcome, at=at)


def keys_of(message: NewMessage) -> list[Key]:
    return [(message.id, number) for number in range(len(message.recipients))]


def state_of(row: RecipientRow) -> RecipientState:
    if row.status is Status.DEFERRED:
        return RecipientState.QUEUED
    return RecipientState(row.status.value)


# A failing run is short enough to read as it is; to shrink it takes minutes.
MODEST = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


class MemoryQueue(Queue):
    names: ClassVar[tuple[str, ...]] = ("memory",)


TestMemoryAlone = MemoryQueue.TestCase
TestMemoryAlone.settings = MODEST
TestSqliteAgrees = Queue.TestCase
TestSqliteAgrees.settings = MODEST


class PostgresQueue(Queue):
    names: ClassVar[tuple[str, ...]] = ("memory", "postgresql")


TestPostgresAgrees = postgres.needs_postgres(PostgresQueue.TestCase)
TestPostgresAgrees.settings = settings(MODEST, max_examples=10)  # each takes two seconds

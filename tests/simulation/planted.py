"""Faults that are put into relayd: the simulation has to find each of them, and how soon is told."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from relayd.deliverer import leases as held
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.mail.outcome import Deferred, RecipientState
from relayd.mail.reply import Reply
from relayd.policy.delivery import verdict
from relayd.policy.pausing import Pausing
from relayd.ports.queue import Lease, Settlement
from relayd.store.memory import outcomes
from relayd.store.memory.leases import Leases
from relayd.store.memory.queue import MemoryStore
from relayd.store.memory.tables import Message, Recipient
from relayd.worker.intake import Intake

Plant = Callable[[object, str, object], None]


def _settle_without_the_epoch(plant: Plant) -> None:
    kept = MemoryStore.settle

    def settle(
        self: MemoryStore,
        lease: Lease,
        settlements: Sequence[Settlement],
        reports: Sequence[NewMessage] = (),
    ) -> "asyncio.Future[Sequence[Settlement]]":
        slots = self._tables.slots.get(lease.destination, [])
        lease = replace(lease, epoch=slots[lease.slot].epoch)
        for each in settlements:
            message = self._tables.messages.get(each.message_id)
            if message is not None:
                message.recipients[each.recipient].lease = lease
        return kept(self, lease, [replace(each, attempt=None) for each in settlements], reports)

    plant(MemoryStore, "settle", settle)


def _a_lease_that_nobody_checks(plant: Plant) -> None:
    kept = Leases.take

    def take(
        self: Leases, destination: str, worker: WorkerNumber, lease_for: timedelta
    ) -> Lease | None:
        for slot in self._tables.slots.get(destination, []):
            if slot.owner != worker:
                slot.ends_at = min(slot.ends_at, self._clock.monotonic())
        return kept(self, destination, worker, lease_for)

    plant(Leases, "take", take)


def _a_retry_that_counts_twice(plant: Plant) -> None:
    kept = outcomes._apply

    def apply(recipient: Recipient, settlement: Settlement, now: datetime, served: float) -> None:
        kept(recipient, settlement, now, served)
        if isinstance(settlement.outcome, Deferred) and recipient.soft_failures:
            recipient.soft_failures += 1

    plant(outcomes, "_apply", apply)


def _held_mail_that_is_claimed(plant: Plant) -> None:
    states = (RecipientState.QUEUED, RecipientState.HELD)

    def is_waiting(self: Recipient) -> bool:
        return self.state in states and self.lease is None and not self.stopped_by

    plant(Recipient, "is_waiting", is_waiting)


def _a_double_claim(plant: Plant) -> None:
    def is_waiting(self: Recipient) -> bool:
        return self.state is RecipientState.QUEUED and not self.stopped_by

    plant(Recipient, "is_waiting", is_waiting)


def _a_reply_before_the_commit(plant: Plant) -> None:
    kept = Intake.submit

    def submit(self: Intake, message: NewMessage) -> "asyncio.Future[Any]":
        kept(self, message)
        early = self._loop.create_future()
        early.set_result(())
        return early

    plant(Intake, "submit", submit)


def _a_worker_that_does_not_ask_for_its_lease(plant: Plant) -> None:
    async def holds(_: held.Leases, queue: Any) -> bool:
        return not queue.is_closed

    plant(held.Leases, "holds", holds)


def _a_kill_that_leaves_no_mark(plant: Plant) -> None:
    kept = Leases._abandon

    def abandon(self: Leases, destination: str, index: int) -> int:
        slot = self._tables.slots[destination][index]
        leased = self.leased(Lease(destination, index, slot.epoch))
        before = [one.unknown_outcomes for one in leased]
        freed = kept(self, destination, index)
        for one, count in zip(leased, before, strict=True):
            one.unknown_outcomes = count
        return freed

    plant(Leases, "_abandon", abandon)


def _a_pause_that_workers_do_not_see(plant: Plant) -> None:
    def look_again(self: Pausing) -> None:
        self.seen = self.stamp[0]

    plant(Pausing, "look_again", look_again)


def _content_that_goes_with_the_first_recipient(plant: Plant) -> None:
    def drop_content(self: Message) -> None:
        self.content = None

    plant(Message, "drop_content", drop_content)


def _a_refusal_that_is_tried_again(plant: Plant) -> None:
    kept = verdict._of_reply

    def of_reply(reply: Reply, *facts: Any, **scope: Any) -> Any:
        return kept(replace(reply, code=451) if reply.code == 550 else reply, *facts, **scope)

    plant(verdict, "_of_reply", of_reply)


PLANTED: Mapping[str, Callable[[Plant], None]] = {
    each.__name__.strip("_").replace("_", " "): each
    for each in (
        _settle_without_the_epoch,
        _a_lease_that_nobody_checks,
        _a_retry_that_counts_twice,
        _held_mail_that_is_claimed,
        _a_double_claim,
        _a_reply_before_the_commit,
        _a_worker_that_does_not_ask_for_its_lease,
        _a_kill_that_leaves_no_mark,
        _a_pause_that_workers_do_not_see,
        _content_that_goes_with_the_first_recipient,
        _a_refusal_that_is_tried_again,
    )
}


@contextmanager
def planted(fault: str) -> Iterator[None]:
    """Have a fault in relayd."""
    with ExitStack() as stack:

        def plant(where: object, name: str, what: object) -> None:
            stack.callback(setattr, where, name, getattr(where, name))
            setattr(where, name, what)

        PLANTED[fault](plant)
        yield

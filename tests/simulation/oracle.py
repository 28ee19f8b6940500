"""What has to be true after each step of a run, by an account of its own.

It sees what the store was asked, what the server took and what was heard of that; it trusts neither leases nor states of
relayd. A message of `fail` says which rule was broken.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relayd.deliverer.leases import LEASE_FOR
from relayd.mail.attempt import AttemptFacts
from relayd.mail.envelope import QueuedRecipient
from relayd.mail.ids import MessageId
from relayd.mail.outcome import (
    FINAL_STATES,
    TRANSITIONS,
    Bounced,
    Deferred,
    NoAttempt,
    NotTried,
    Outcome,
    RecipientState,
    Relayed,
)
from relayd.mail.pause import PauseRule
from relayd.mail.words import BounceClass, EventKind
from relayd.ports.queue import Lease, Settlement, Work
from relayd.store.memory.tables import Message, Recipient

if TYPE_CHECKING:
    from tests.simulation.peers import Transaction
    from tests.simulation.worker import Worker
    from tests.simulation.world import World

_FINAL_RECIPIENT = re.compile(rb"Final-Recipient: rfc822; *(\S+)")
Key = tuple[int, int]  # a message, and the number of a recipient
_LEADS_TO = {
    EventKind.RECEIVED: "queued",
    EventKind.RELAYED: "relayed",
    EventKind.DEFERRED: "deferred",
    EventKind.BOUNCED: "bounced",
    EventKind.HELD: "held",
    EventKind.DROPPED: "dropped",
}


@dataclass(slots=True, eq=False)
class Grant:
    """A worker's right to make one attempt."""

    worker: "Worker"
    lease: Lease
    recipient: QueuedRecipient
    ended_by: str = (
        ""  # what took it away: "lease end", "kill", "operator", or "settled", "released"
    )
    seen: AttemptFacts | None = None  # what the server let its worker know last

    @property
    def was_revoked(self) -> bool:
        """It ended while its attempt may have been open."""
        return self.ended_by in ("lease end", "kill", "operator")


@dataclass(slots=True, eq=False)
class Copy:
    """One that the server took."""

    grant: Grant
    is_lost: bool  # nobody heard that


@dataclass(slots=True)
class Known:
    """One recipient."""

    address: str
    state: RecipientState = RecipientState.QUEUED
    status: str = "queued"  # by its history
    attempts: int = 0
    soft: int = 0  # 452 of it on record
    grants: list[Grant] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)

    @property
    def grant(self) -> Grant | None:
        """The right that somebody has now."""
        return self.grants[-1] if self.grants and not self.grants[-1].ended_by else None


class Oracle:
    """See the module."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.known: dict[Key, Known] = {}
        self._events: dict[int, int] = {}  # of a message, that were looked at
        self._ends: dict[Lease, float] = {}
        self._paused: list[PauseRule] = []

    # --- what the store does -----------------------------------------------------------------

    def granted(self, worker: "Worker", works: Sequence[Work]) -> None:
        now = self._world.loop.time()
        for work in works:
            for each in work.recipients:
                known = self._of(work.message.id, each.number)
                before = known.grant
                if before is not None and before.lease != work.lease:
                    self._end_by_time(known, before)
                elif before is not None:
                    self._fail(known, "was given out twice")
                if known.state is not RecipientState.QUEUED:
                    self._fail(known, f"was given out while it was {known.state}")
                is_freed = before is not None and before.lease != work.lease
                if (
                    self._is_stopped(known) and not is_freed
                ):  # its worker looks again before it sends
                    self._fail(known, "was given out though a rule stops it")
                known.attempts += 1
                known.grants.append(Grant(worker, work.lease, each))
            self._ends[work.lease] = now + LEASE_FOR.total_seconds()

    def handed_back(self, work: Work) -> None:
        """A claim that nobody knows of is undone."""
        for each in work.recipients:
            known = self._of(work.message.id, each.number)
            known.attempts -= 1
            known.grants[-1].ended_by = "released"

    def extended(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self._ends[lease] = self._world.loop.time() + LEASE_FOR.total_seconds()

    def settled(self, worker: "Worker", lease: Lease, written: Sequence[Settlement]) -> None:
        for each in written:
            known = self._of(each.message_id, each.recipient)
            grant = known.grant
            if (
                grant is None
                or grant.worker is not worker
                or grant.lease != lease
                or grant.recipient.attempt != each.attempt
            ):
                self._fail(known, "was settled by who had no lease of it")
                continue
            grant.ended_by = "settled"
            if isinstance(each.outcome, NotTried):
                known.attempts -= 1
            self._judge(known, grant, each.outcome)

    def look(self, verb: str, worker: "Worker", lease: Lease | None = None) -> None:
        """Look at the tables after a verb."""
        for message in self._world.store._tables.messages.values():
            for recipient in message.recipients:
                self._look_at(message, recipient, verb, worker, lease)

    def _look_at(
        self,
        message: Message,
        recipient: Recipient,
        verb: str,
        worker: "Worker",
        freed: Lease | None,
    ) -> None:
        known = self._of(recipient.message_id, recipient.number)
        grant = known.grant
        if grant is not None and recipient.lease != grant.lease:
            self._end(known, grant, verb, worker, freed)
        elif grant is None and recipient.lease is not None:
            self._fail(known, "is leased, and nobody was told")
        state = recipient.state
        if state is not known.state and state not in TRANSITIONS[known.state]:
            self._fail(known, f"became {state} after {known.state}")
        known.state = state
        count = self._events.get(recipient.message_id, 0)
        if recipient.number == 0 and len(message.events) > count:
            self._read(message, count)
        self._compare(known, message, recipient)

    def _end(
        self, known: Known, grant: Grant, verb: str, worker: "Worker", freed: Lease | None
    ) -> None:
        """Somebody has no right to a recipient any more, since a verb of `worker`."""
        match verb:
            case "release":
                if freed != grant.lease or worker is not grant.worker:
                    self._fail(known, "was released by who had no lease of it")
                grant.ended_by = "released"
                known.attempts -= 1
            case "act":
                grant.ended_by = "operator"
            case "register":
                if grant.worker.process.is_alive and not grant.worker.has_ended:
                    self._fail(known, "was taken from a worker that is alive")
                grant.ended_by = "kill"
            case _:
                self._end_by_time(known, grant)

    def _compare(self, known: Known, message: Message, recipient: Recipient) -> None:
        """Compare what is stored of a recipient with what became of it."""
        is_final = recipient.state in FINAL_STATES
        if recipient.attempts != known.attempts:
            self._fail(known, f"has {recipient.attempts} attempts, and had {known.attempts}")
        if recipient.soft_failures != known.soft and not is_final:
            self._fail(known, f"counts {recipient.soft_failures} refusals, and had {known.soft}")
        if message.content is None and not is_final:
            self._fail(known, "has lost its content")
        if recipient.status.value != known.status:
            self._fail(known, f"is {recipient.status}, and by its history {known.status}")

    def _read(self, message: Message, count: int) -> None:
        """Read what is new in the history of a message."""
        self._events[message.new.id] = len(message.events)
        for event in message.events[count:]:
            known = self._of(event.message_id, event.recipient)
            if known.state in FINAL_STATES and known.status == known.state.value:
                self._fail(known, f"has an event {event.kind} after it was {known.status}")
            known.status = str(
                event.detail.get("status") or _LEADS_TO.get(event.kind, known.status)
            )

    def _end_by_time(self, known: Known, grant: Grant) -> None:
        """A lease was taken over, or freed: that is right only when its time was over."""
        if self._world.loop.time() < self._ends[grant.lease]:
            self._fail(known, "was taken from its worker before the lease ended")
        grant.ended_by = "lease end"

    # --- what the server sees ----------------------------------------------------------------

    def begun(
        self, worker: "Worker", message_id: int, recipients: Sequence[QueuedRecipient]
    ) -> None:
        """A worker begins a transaction: it has a connection, and goes by what it knows now."""
        for each in recipients:
            known = self._of(message_id, each.number)
            grant = self._grant_of(known, worker, each)
            if grant is None:
                self._fail(known, "was sent without a lease")
                continue
            if grant.ended_by not in ("", "operator"):
                self._fail(known, f"was sent after its lease was over ({grant.ended_by})")
            if known.copies and not each.possible_duplicate and not grant.was_revoked:
                self._fail(known, "is sent again, and not marked as a possible duplicate")
            if not grant.was_revoked and self._is_stopped(known):
                self._fail(known, "was sent though a rule stops it")

    def taken(self, transaction: "Transaction") -> None:
        for letter, each in zip(transaction.letters, transaction.recipients, strict=True):
            if letter in "shtm":
                continue
            known = self._of(transaction.message.id, each.number)
            grant = self._grant_of(known, transaction.worker, each)
            if grant is None:
                self._fail(known, "was sent without a lease")
                continue
            for copy in known.copies:
                if not (copy.is_lost or copy.grant.was_revoked or grant.was_revoked):
                    self._fail(known, "was delivered twice, with no attempt open at a kill")
            seen = grant.seen  # of a connection that broke while the message was on its way
            is_lost = seen is not None and seen.dot_sent and seen.reply is None
            known.copies.append(Copy(grant, is_lost=is_lost or transaction.dot == "l"))

    def heard(
        self, worker: "Worker", message_id: int, recipient: QueuedRecipient, facts: AttemptFacts
    ) -> None:
        """The deliverer is told what came of a transaction."""
        known = self._of(message_id, recipient.number)
        grant = self._grant_of(known, worker, recipient)
        if grant is not None:
            grant.seen = facts
            if facts.dot_sent and facts.reply is None:
                for copy in known.copies:
                    copy.is_lost |= copy.grant is grant

    def _judge(self, known: Known, grant: Grant, outcome: Outcome | NoAttempt) -> None:
        """Compare what is on record of an attempt with what the server said."""
        seen = grant.seen
        reply = None if seen is None else seen.reply
        is_taken = reply is not None and reply.is_positive
        is_refused = reply is not None and reply.is_permanent and seen is not None
        if is_taken is not isinstance(outcome, Relayed):
            self._fail(known, f"is on record as {outcome}, and the server said {reply}")
        if is_refused and not (
            isinstance(outcome, Bounced) and outcome.bounce_class is not BounceClass.SOFT
        ):
            self._fail(known, f"was refused for good, and is on record as {outcome}")
        if reply is not None and reply.enhanced == "4.2.2":
            if not (grant.recipient.is_extra and known.soft):
                known.soft += 1
            is_over = known.soft > 1 and not grant.recipient.is_extra
            if is_over is not isinstance(outcome, Bounced):
                self._fail(known, f"was refused for now {known.soft} times, and is {outcome}")
        if (
            seen is not None
            and seen.dot_sent
            and reply is None
            and not (isinstance(outcome, Deferred | Bounced) and outcome.possible_duplicate)
        ):
            self._fail(known, f"may have arrived, and is on record as {outcome}")

    # --- at the end --------------------------------------------------------------------------

    def at_the_end(self) -> None:
        """What is relayed is there, and each bounce was told to the sender once."""
        bounced, told = Counter[str](), Counter[str]()
        for (message_id, _), known in self.known.items():
            message = self._world.store._tables.messages[MessageId(message_id)].new
            if known.state is RecipientState.RELAYED and not known.copies:
                self._fail(known, "is relayed, and nobody has it")
            if known.state is RecipientState.BOUNCED and message.reverse_path is not None:
                bounced[known.address] += 1
            if message.reverse_path is None:
                told.update(map(bytes.decode, _FINAL_RECIPIENT.findall(bytes(message.content[:]))))
        if told != bounced:
            self._world.fail(f"bounced are {dict(bounced)}, and told to the sender {dict(told)}")

    def paused(self, rules: Sequence[PauseRule]) -> None:
        self._paused += rules

    def _is_stopped(self, known: Known) -> bool:
        """Tell whether a rule stops it whose command has returned."""
        rules = self._world.store._tables.pause_rules
        return any(
            each.number in rules and known.address.endswith(f"@{each.named.value}")
            for each in self._paused
        )

    # --- what all use ------------------------------------------------------------------------

    def _of(self, message_id: int, number: int) -> Known:
        known = self.known.get((message_id, number))
        if known is None:
            message = self._world.store._tables.messages[MessageId(message_id)]
            address = str(message.new.recipients[number].address)
            known = self.known[message_id, number] = Known(address=address)
        return known

    @staticmethod
    def _grant_of(known: Known, worker: "Worker", recipient: QueuedRecipient) -> Grant | None:
        """Return the right that an attempt of a worker goes by."""
        for grant in reversed(known.grants):
            if grant.worker is worker and grant.recipient is recipient:
                return grant
        for grant in reversed(known.grants):
            if grant.worker is worker and grant.recipient.attempt == recipient.attempt:
                return grant
        return None

    def _fail(self, known: Known, why: str) -> None:
        self._world.fail(f"{known.address} {why}")

"""The smarthost of a run: a scripted server behind the deliverer's ports, with a ledger of what it took.

What it does with a recipient is written as letters, one for each time that it is asked:

a takes it; w takes it, and answers late; s 452, h 550 to RCPT; t 451 to RCPT; m too many recipients; q 421 at MAIL;
S 452, H 554, T 451 after the dot; b breaks off before the dot; l takes it, and breaks off before it answers; L breaks off
after the dot, and does not take it; x as L, after a long silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from relayd.deliverer.leases import LEASE_FOR
from relayd.mail.attempt import AttemptFacts, Breakdown, Peer
from relayd.mail.content import Content
from relayd.mail.envelope import QueuedMessage, QueuedRecipient
from relayd.mail.reply import Reply, Stage
from relayd.mail.tls_result import Proof
from relayd.mail.words import Category, Fault
from relayd.policy.tls.ladder import Requirement
from relayd.ports.outward import Delivery, SessionFailed, Target

if TYPE_CHECKING:
    import asyncio

    from tests.simulation.worker import Worker
    from tests.simulation.world import World

_NONE = timedelta()
_TAKEN = Reply(250, "2.0.0", ("2.0.0 taken",))
_TOO_MANY = Reply(452, "4.5.3", ("4.5.3 too many recipients",))
_RCPT = {
    "s": Reply(452, "4.2.2", ("4.2.2 mailbox full",)),
    "h": Reply(550, "5.1.1", ("5.1.1 no such user",)),
    "t": Reply(451, "4.3.0", ("4.3.0 not now",)),
}
_MAIL = Reply(421, "4.3.2", ("4.3.2 too many connections",))
_DOT = {
    "S": Reply(452, "4.2.2", ("4.2.2 mailbox full",)),
    "H": Reply(554, "5.6.0", ("5.6.0 content refused",)),
    "T": Reply(451, "4.3.0", ("4.3.0 not now",)),
}
_HEARS_BY = 15.0  # seconds until who has lost a lease knows it
_LATE, _SILENT = 70.0, 40.0  # seconds: longer than a lease, and less


@dataclass(slots=True)
class Transaction:
    """One of them, as the server sees it."""

    worker: "Worker"
    message: QueuedMessage
    recipients: Sequence[QueuedRecipient]
    letters: list[str]
    dot: str = "a"  # what it does with the message


@dataclass(slots=True, eq=False)
class Hop:
    """The server."""

    world: "World"
    fates: dict[tuple[int, int], str] = field(
        default_factory=dict
    )  # by recipient, as it was first asked
    asked: dict[tuple[int, int], int] = field(default_factory=dict)
    connections: dict["Connection", "Worker"] = field(default_factory=dict)
    refuses: Reply | Breakdown | None = None  # everybody, for now
    is_silent: bool = False  # it takes long to greet

    def begin(
        self, worker: "Worker", message: QueuedMessage, recipients: Sequence[QueuedRecipient]
    ) -> Transaction:
        """MAIL and all RCPT: draw what becomes of it."""
        letters = []
        for each in recipients:
            key = (message.id, each.number)
            count = self.asked[key] = self.asked.get(key, 0) + 1
            fate = self.fates.get(key) or self.world.fate_of(message, each)
            self.fates[key] = fate
            letters.append(fate[min(count, len(fate)) - 1])
        begun = Transaction(worker, message, recipients, letters)
        rest = [each for each in letters if each not in "sht" and each != "m"]
        if letters and all(each == "m" for each in letters):
            begun.letters = ["a"] * len(letters)  # it is not one too many
        begun.dot = rest[0] if rest else "a"
        return begun

    def open(self, connection: "Connection", worker: "Worker") -> None:
        self.connections[connection] = worker
        self.world.note("hop", "opened by", worker.name)
        # Who could not renew its leases has lost its part to another worker, and cannot know.
        now = self.world.loop.time()
        fresh = now - LEASE_FOR.total_seconds()
        of_set = sum(
            whose.generation == worker.generation and whose.renewed_at > fresh
            for each, whose in self.connections.items()
            if not each.is_excused and whose.lost_at < now - _HEARS_BY
        )
        if of_set > self.world.schedule.connections:
            self.world.fail(f"{of_set} connections at once")

    def close(self, connection: "Connection") -> None:
        worker = self.connections.pop(connection, None)
        if worker is not None:
            self.world.note("hop", "closed with", worker.name)

    def lost(self, worker: "Worker") -> None:
        """Its process is dead."""
        for connection in [each for each, whose in self.connections.items() if whose is worker]:
            self.close(connection)

    def is_back(self) -> None:
        """It lets everybody in."""
        self.refuses, self.is_silent = None, False

    def excuse(self, worker: "Worker") -> None:
        """It has lost a lease: what it has open ends as soon as it can."""
        worker.lost_at = self.world.loop.time()
        for connection, whose in self.connections.items():
            connection.is_excused |= whose is worker

    def break_all(self, *, idle: bool) -> None:
        """Close connections: those that are in no transaction, or all."""
        for connection in tuple(self.connections):
            if connection.is_idle or not idle:
                connection.is_closed_by_peer = True
                self.close(connection)
                connection.wake(heard=False)

    def arrived(self, connection: "Connection", transaction: Transaction) -> None:
        """The final dot has come."""
        world, letter = self.world, transaction.dot
        if letter in "awlm":
            world.oracle.taken(transaction)
            world.note("hop took", transaction.message.id, len(transaction.recipients))
            if world.dies_at("dot after", transaction.worker):
                return
        if letter in "lL":
            world.loop.call_in_later(world.outside, world.delay(), connection.ends, "dot")
        elif letter == "x":
            world.loop.call_in_later(world.outside, _SILENT, connection.ends, "dot")
        else:
            late = _LATE if letter == "w" else world.delay()
            world.loop.call_in_later(world.outside, late, connection.answers)


class Connection:
    """`relayd.ports.outward.Connection` to it."""

    def __init__(self, hop: Hop, worker: "Worker", peer: Peer) -> None:
        self._hop, self._world, self._worker = hop, hop.world, worker
        self.peer, self.proof = peer, Proof()
        self.transactions = 0
        self.is_after_dot = False
        self.is_idle = True
        self.is_closed_by_peer = self.is_excused = False
        self._is_closed = self._is_cut = False
        self._heard: asyncio.Future[bool] | None = None

    def serve(self, requirement: Requirement) -> None:
        raise NotImplementedError

    @property
    def is_usable(self) -> bool:
        return not self._is_closed and self.is_idle

    async def deliver(
        self,
        message: QueuedMessage,
        recipients: Sequence[QueuedRecipient],
        content: Content,  # noqa: ARG002 -- what it takes is counted, not read
    ) -> Delivery:
        reused, self.transactions = self.transactions > 0, self.transactions + 1
        self.is_idle, at = False, self._world.clock.now()
        self._world.oracle.begun(self._worker, message.id, recipients)
        try:
            delivery = await self._transact(message, recipients, at, reused=reused)
        finally:
            self.is_after_dot = False
        self.is_idle = not self.is_closed_by_peer and not self._is_closed
        if not self.is_idle:
            self._close()
        return delivery

    async def _transact(
        self,
        message: QueuedMessage,
        recipients: Sequence[QueuedRecipient],
        at: datetime,
        *,
        reused: bool,
    ) -> Delivery:
        if not await self._travel() and reused:
            return Delivery(facts=self._all(recipients, at, Stage.MAIL, None), stale=True)
        if self._is_broken:
            return self._told(message, recipients, self._all(recipients, at, Stage.MAIL, None))
        transaction = self._hop.begin(self._worker, message, recipients)
        letters = transaction.letters
        if transaction.dot == "q":
            self.is_closed_by_peer = True
            return self._told(message, recipients, self._all(recipients, at, Stage.MAIL, _MAIL))
        if not await self._travel():
            return self._told(message, recipients, self._all(recipients, at, Stage.MAIL, None))
        replies = [_RCPT.get(each) or (_TOO_MANY if each == "m" else None) for each in letters]
        facts = [self._facts(at, Stage.RCPT, reply) for reply in replies]
        too_many = tuple(index for index, each in enumerate(letters) if each == "m")
        if all(replies):
            return self._told(message, recipients, facts, not_tried=too_many)
        if transaction.dot == "b" or not await self._travel():
            self.is_closed_by_peer = True
            stage, ended_by, is_sent = Stage.DATA, None, False
        elif self._world.dies_at("dot before", self._worker):
            await self._world.for_ever()
            raise AssertionError
        else:
            ended_by = await self._send(transaction)
            stage, is_sent = Stage.DOT, True
        ending = self._facts(at, stage, ended_by, is_sent=is_sent)
        facts = [
            ending if reply is None else each for reply, each in zip(replies, facts, strict=True)
        ]
        return self._told(message, recipients, facts, not_tried=too_many)

    async def _send(self, transaction: Transaction) -> Reply | None:
        """Send the final dot, and wait for the answer; None: there was none."""
        self.is_after_dot = True
        self._heard = self._world.loop.create_future()
        self._world.loop.call_in_later(
            self._world.outside, self._world.delay(), self._hop.arrived, self, transaction
        )
        if await self._heard and not self._is_broken:
            return _DOT.get(transaction.dot, _TAKEN)
        return None

    def answers(self) -> None:
        """The server answers the final dot."""
        self.wake(heard=True)

    def ends(self, _: str) -> None:
        """The server breaks off."""
        self.is_closed_by_peer = True
        self._hop.close(self)
        self.wake(heard=False)

    def wake(self, *, heard: bool) -> None:
        if self._heard is not None:
            self._world.loop.call_in(self._worker.process, _resolve, self._heard, heard)

    @property
    def _is_broken(self) -> bool:
        return self.is_closed_by_peer or self._is_closed

    async def _travel(self) -> bool:
        """Wait for the network; False: the connection is broken."""
        if not self._is_broken and (delay := self._world.delay()):
            self._heard = self._world.loop.create_future()
            timer = self._world.loop.call_later(delay, _resolve, self._heard, True)  # noqa: FBT003 -- it is heard
            try:
                await self._heard
            finally:
                timer.cancel()
                self._heard = None
        return not self._is_broken

    def _all(
        self, recipients: Sequence[QueuedRecipient], at: datetime, stage: Stage, reply: Reply | None
    ) -> tuple[AttemptFacts, ...]:
        return (self._facts(at, stage, reply),) * len(recipients)

    def _facts(
        self, at: datetime, stage: Stage, reply: Reply | None, *, is_sent: bool = False
    ) -> AttemptFacts:
        breakdown = None
        if reply is None:
            breakdown = Breakdown(
                category=Category.CONNECTION_FAILURE,
                fault=Fault.LOCAL if self._is_cut else Fault.PEER,
                reason="the connection was lost",
                by_stop=self._is_cut,
            )
        return AttemptFacts(
            peer=self.peer,
            stage=stage,
            reply=reply,
            breakdown=breakdown,
            dot_sent=is_sent,
            started_at=at,
            connect_for=_NONE,
            transaction_for=_NONE,
        )

    def _told(
        self,
        message: QueuedMessage,
        recipients: Sequence[QueuedRecipient],
        facts: Sequence[AttemptFacts],
        *,
        not_tried: tuple[int, ...] = (),
    ) -> Delivery:
        for index, (recipient, each) in enumerate(zip(recipients, facts, strict=True)):
            if index not in not_tried:
                self._world.oracle.heard(self._worker, message.id, recipient, each)
        return Delivery(facts=tuple(facts), not_tried=not_tried)

    async def quit(self) -> None:
        await self._travel()
        self._close()

    def abort(self) -> None:
        self._close()
        if self._heard is not None:
            _resolve(self._heard, False)  # noqa: FBT003 -- it is not heard

    def cut_off(self) -> None:
        self._is_cut = True
        self.abort()

    def _close(self) -> None:
        self._is_closed = True
        self._hop.close(self)


class Transport:
    """`relayd.ports.outward.Transport` of one worker."""

    def __init__(self, hop: Hop, worker: "Worker") -> None:
        self._hop, self._worker = hop, worker

    async def resolve(self, host: str, port: int) -> Sequence[str]:  # noqa: ARG002 -- there is one
        return ("192.0.2.1",)

    async def connect(self, target: Target) -> Connection:
        await self._hop.world.pause(_SILENT if self._hop.is_silent else 0.0)
        peer = Peer(route=target.route, host=target.host, ip=target.ip, port=target.port)
        if self._hop.refuses is not None:
            stage = Stage.CONNECT if isinstance(self._hop.refuses, Breakdown) else Stage.GREETING
            raise SessionFailed(stage, self._hop.refuses, peer=peer)
        connection = Connection(self._hop, self._worker, peer)
        self._hop.open(connection, self._worker)
        return connection


REFUSED = Breakdown(
    category=Category.CONNECTION_FAILURE, fault=Fault.PEER, reason="connection refused"
)
TURNED_AWAY = _MAIL


def _resolve(future: "asyncio.Future[bool]", heard: bool) -> None:  # noqa: FBT001 -- it is what is heard
    if not future.done():
        future.set_result(heard)

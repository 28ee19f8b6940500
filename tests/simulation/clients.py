"""The clients of a run: each sends one message until it is acknowledged, as a client in doubt does."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from relayd.errors import CommitUnknown
from relayd.mail.envelope import NewMessage
from tests.support.builders import a_message

if TYPE_CHECKING:
    import asyncio

    from tests.simulation.schedule import Step
    from tests.simulation.worker import Worker
    from tests.simulation.world import World

_AGAIN = 1.0  # seconds until a client tries again


@dataclass(slots=True)
class Mail:
    """What a client has to send, and what became of each try."""

    template: NewMessage
    who: int  # the worker that it asks first
    is_done: bool = False
    acknowledged: list[int] = field(default_factory=list)  # message ids
    refused: list[int] = field(default_factory=list)
    in_doubt: list[int] = field(default_factory=list)


class Clients:
    """All of them, in a process of their own."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._loop = world.loop
        self.process = world.loop.process("clients")
        self.mails: list[Mail] = []
        self.fates: dict[str, str] = {}  # of addresses
        self._sessions: list[tuple[Worker, asyncio.Future[str]]] = []

    def begin(self, step: "Step") -> None:
        """Let one have a message."""
        index = len(self.mails)
        addresses = []
        for number, fate in enumerate(step.how.split()):
            addresses.append(f"r{number}@m{index}.test")
            self.fates[addresses[-1]] = fate
        mail = Mail(a_message(*addresses, count=0), step.who)
        self.mails.append(mail)
        self._loop.spawn(self.process, self._send(mail))

    def hang_up(self, worker: "Worker") -> None:
        """A worker is dead: its clients never learn what became of their messages."""
        for whose, answered in self._sessions:
            if whose is worker:
                self._loop.call_in(self.process, _answer, answered, "lost")

    async def _send(self, mail: Mail) -> None:
        while not mail.is_done:
            up = self._world.up()
            if up:
                worker = up[mail.who % len(up)]
                mail.who += 1
                answered: asyncio.Future[str] = self._loop.create_future()
                self._sessions.append((worker, answered))
                self._loop.call_in(worker.process, self._receive, worker, mail, answered)
                if await answered == "250":
                    mail.is_done = True
                    break
            await self._world.pause(_AGAIN)

    def _receive(self, worker: "Worker", mail: Mail, answered: "asyncio.Future[str]") -> None:
        """A worker has a whole message."""
        if not worker.is_up or worker.stopping.is_set():
            self._loop.call_in(self.process, _answer, answered, "421")
            return
        now = self._world.clock.now()
        message = replace(mail.template, id=worker.intake.next_id(now), received_at=now)
        mail.in_doubt.append(message.id)
        worker.sessions += 1

        def stored(done: "asyncio.Future[Any]") -> None:
            worker.sessions -= 1
            worker.idle.set()
            reply = self._note(mail, message, done.exception())
            self._loop.call_in(self.process, _answer, answered, reply)

        worker.intake.submit(message).add_done_callback(stored)

    def _note(self, mail: Mail, message: NewMessage, error: BaseException | None) -> str:
        """Note what became of a message; return the reply to its client."""
        if isinstance(error, CommitUnknown):
            return "lost"
        mail.in_doubt.remove(message.id)
        if error is not None:
            mail.refused.append(message.id)
            return "451"
        if message.id not in self._world.store._tables.messages:
            self._world.fail("a message was acknowledged, and is not stored")
        mail.acknowledged.append(message.id)
        return "250"

    @property
    def are_done(self) -> bool:
        return all(each.is_done for each in self.mails)

    def judge(self) -> None:
        """What was acknowledged is there, and what was refused is not."""
        messages = self._world.store._tables.messages
        for mail in self.mails:
            if not mail.acknowledged or any(each not in messages for each in mail.acknowledged):
                self._world.fail("an acknowledged message is lost")
            if any(each in messages for each in mail.refused):
                self._world.fail("a refused message is stored")


def _answer(answered: "asyncio.Future[str]", reply: str) -> None:
    if not answered.done():
        answered.set_result(reply)

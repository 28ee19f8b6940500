"""What takes its time in a session: handshakes, logins, questions, content checks, commits.

Owns the way from an effect of the machine to the verb that tells it what came of that. A commit cannot
be cancelled: a client that leaves meanwhile changes nothing (S-05), and neither does one that leaves
while its report is being read, since the commit follows by itself. Before that nothing has been taken:
a client that hangs up while its message is being checked has sent nothing (E-24).
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import structlog

from relayd.errors import (
    CommitUnknown,
    ComplaintUnknown,
    ReaderUnavailable,
    RelaydError,
    ReturnPathSpent,
    StoreError,
    StoreFull,
)
from relayd.mail.envelope import NewMessage
from relayd.mail.finish import signed
from relayd.mail.once import AlreadyTaken, FirstMessage, Once, OtherBody
from relayd.mail.reply import Reply
from relayd.policy.intake import admit
from relayd.policy.intake.content import Refusal
from relayd.receiver import console
from relayd.receiver.acceptance import NO_READER, NO_STORE
from relayd.receiver.context import SessionContext
from relayd.receiver.effects import (
    AskAbout,
    CheckContent,
    CheckLogin,
    Effect,
    Readmit,
    StartTls,
)
from relayd.receiver.machine import Machine
from relayd.receiver.tls import ServerTls
from relayd.receiver.transaction import NO_HISTORY

_REFUSALS: Mapping[type[BaseException], Reply] = {
    StoreFull: admit.NO_ROOM,
    ReturnPathSpent: admit.RETURN_PATH_BUSY,  # others were faster than this since RCPT
    ComplaintUnknown: admit.COMPLAINT_UNKNOWN,
    ReaderUnavailable: NO_READER,
}
Spawn = Callable[[Coroutine[None, None, None]], object]

log = structlog.get_logger()


class Held(Protocol):
    """The connection of a client that waits."""

    @property
    def is_over(self) -> bool:
        """Nothing can be said to the client any more."""
        ...

    def hold(self) -> None:
        """Read nothing until `resume`."""
        ...

    def resume(self) -> None:
        """What was waited for is over: answer, and go on with what has come in meanwhile."""
        ...

    def restart_clock(self) -> None:
        """Give what follows its full time."""
        ...

    def when_heard(self, heard: Callable[[], None]) -> None:
        """Call `heard` once the client shows that it has read the next reply; where it cannot show it, never."""
        ...

    def readmit(self, reply: bytes) -> None:
        """Say `reply` if the client has a place, now that it is another one."""
        ...

    async def start_tls(self, tls: ServerTls) -> bool:
        """Shake hands; False: the connection is over."""
        ...

    def abort(self) -> None: ...


class Work:
    """Carries out the effects of one session."""

    def __init__(self, held: Held, machine: Machine, context: SessionContext, spawn: Spawn) -> None:
        self._held = held
        self._machine = machine
        self._context = context
        self._spawn = spawn
        self.needs_client = False  # what is under way means nothing when the client has left

    def begin(self, effect: Effect) -> None:
        """Carry an effect out, or begin to."""
        match effect:
            case NewMessage():
                self._store(effect)
            case Readmit():
                self._held.readmit(effect.reply)
            case CheckContent():
                # The connection is read on, so that we notice when the client leaves.
                self.needs_client = True
                self._spawn(self._run(effect))
            case AskAbout():
                self._spawn(self._run(effect))
            case CheckLogin() | StartTls():
                self._held.hold()
                self._spawn(self._run(effect))

    async def _run(self, effect: CheckContent | AskAbout | CheckLogin | StartTls) -> None:
        """Let a bug that this session trips over end no other."""
        try:
            match effect:
                case CheckContent():
                    await self._check_content(effect)
                case AskAbout():
                    await self._ask(effect)
                case CheckLogin():
                    await self._check_login(effect)
                case StartTls():
                    await self._secure()
        except Exception:
            log.exception("session_failed", client_ip=self._client_ip, fault="local")
            self._held.abort()

    @property
    def _client_ip(self) -> str:
        return self._machine.dialogue.client.origin.ip

    async def _secure(self) -> None:
        tls = self._context.tls
        assert tls is not None
        if await self._held.start_tls(tls):
            self._held.readmit(self._machine.secured().reply)
            self._held.resume()

    async def _check_login(self, effect: CheckLogin) -> None:
        users = self._context.users
        assert users is not None
        result = await users.check(effect.credentials, self._machine.dialogue.client.origin)
        readmit = self._machine.login_checked(result)
        if readmit is not None:
            self._held.readmit(readmit.reply)
        self._held.resume()

    async def _ask(self, effect: AskAbout) -> None:
        try:
            refusal = await effect.refusal
        except StoreError:
            refusal = NO_HISTORY
        if not self._held.is_over:
            self._machine.recipient_judged(effect, refusal)
        self._held.resume()

    async def _check_content(self, effect: CheckContent) -> None:
        checker = self._context.checker
        assert checker is not None
        try:
            verdict = await checker.judge(effect.message)
        except BaseException:
            effect.received.discard()
            raise
        self.needs_client = False
        if self._held.is_over:
            effect.received.discard()
            self._machine.message_left()
            self._held.resume()
        elif isinstance(verdict, Refusal):
            effect.received.discard()
            more = {"content_score": verdict.score, "reason": verdict.reason}
            sender = effect.message.reverse_path
            self._machine.message_refused(verdict.reply, sender=sender, more=more)
            self._held.resume()
        else:
            self._held.restart_clock()
            self._store(
                effect.message
                if verdict is None
                else replace(effect.message, content_check=verdict)
            )

    def _store(self, message: NewMessage) -> None:
        """Sign the message and queue it; its reply comes with the commit."""
        message = signed(message, self._context.signer)
        stored = self._context.intake.submit(message)
        stored.add_done_callback(partial(self._stored, message))

    def _stored(self, message: NewMessage, stored: "asyncio.Future[Any]") -> None:
        if stored.cancelled():  # the worker ends
            self._held.abort()
            return
        error = stored.exception()
        if error is None:
            self._taken(message)
            return
        if isinstance(error, CommitUnknown):
            self._held.abort()  # neither yes nor no may be said (S-55)
            return
        if isinstance(error, AlreadyTaken):
            self._known(message.once, error.first)
        elif isinstance(error, OtherBody):
            self._machine.message_known(None)
        else:
            if not isinstance(error, RelaydError):
                log.error("session_failed", client_ip=self._client_ip, exc_info=error)
            self._machine.message_refused(_REFUSALS.get(type(error), NO_STORE))
        self._held.resume()

    def _taken(self, message: NewMessage) -> None:
        if message.is_awaited and not message.is_held:
            self._spawn(self._answer(message))
        else:
            self._machine.message_stored(message.id)
            self._held.resume()

    async def _answer(self, message: NewMessage) -> None:
        """Tell the client what became of its message; a bug here ends this session alone."""
        intake, within = self._context.intake, self._context.listener.cut_through
        try:
            answer = await intake.answer(message.id, within=within)
            if self._held.is_over:
                return
            self._machine.message_answered(answer.line)
            if answer.report is not None:
                self._held.when_heard(partial(intake.told, answer.report, message))
            self._held.resume()
        except Exception:
            log.exception("session_failed", client_ip=self._client_ip, fault="local")
            self._held.abort()

    def _known(self, once: Once | None, first: FirstMessage) -> None:
        if once is not None and console.is_answered_alike(once, first):
            self._machine.message_known(first.id)
        else:
            self._machine.message_refused(NO_STORE)

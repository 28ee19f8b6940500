"""The outbound side of SMTP, as the deliverer sees it: connect, deliver, quit.

Owns a connection's life over several transactions and turns what happened into facts, one per
recipient. It judges nothing and retries nothing (`relayd.policy.delivery.verdict` and the deliverer do).

Sources: RFC 5321 §3.3, §4.5.3.1.10 (too many recipients), §3.8 (lost connections).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from relayd.mail.attempt import AttemptFacts, Peer
from relayd.mail.content import Content
from relayd.mail.envelope import QueuedMessage, QueuedRecipient
from relayd.mail.header import header_end
from relayd.mail.words import Category
from relayd.net.smtp.commands import Plan, plan
from relayd.net.smtp.dial import resolve
from relayd.net.smtp.opening import open_session
from relayd.net.smtp.protocol import Timers
from relayd.net.smtp.session import Session
from relayd.net.smtp.tls import TlsContexts
from relayd.net.smtp.transaction import Ending, Result, transact
from relayd.policy.tls.ladder import Requirement
from relayd.ports.outward import Clock, Delivery, SessionFailed, Target
from relayd.trace import tracing

__all__ = [
    "Connection",
    "Delivery",
    "SessionFailed",
    "Target",
    "Timers",
    "TlsContexts",
    "connect",
    "resolve",
]

_BLOCK = 1 << 20  # octets looked at in one go
_NO_TIME = timedelta(0)
_NOT_UNDERSTOOD = range(500, 505)  # replies about a command, or its place in the session


async def connect(
    target: Target, *, helo: str, timers: Timers, tls: TlsContexts, clock: Clock
) -> "Connection":
    """Return a connection that may take mail. Raises SessionFailed."""
    began = clock.monotonic()
    session = await open_session(target, helo=helo, timers=timers, tls=tls, clock=clock)
    return Connection(session, clock, timedelta(seconds=clock.monotonic() - began))


class Connection:
    """An open session with a next hop; one coroutine at a time may use it."""

    __slots__ = (
        "__weakref__",
        "_clock",
        "_protocol",
        "_session",
        "_unfinished",
        "connected_for",
        "peer",
        "proof",
        "transactions",
    )

    def __init__(self, session: Session, clock: Clock, connected_for: timedelta) -> None:
        self._session = session
        self._protocol = session.protocol
        self._clock = clock
        self._unfinished = False  # RSET is due before the next transaction
        self.peer: Peer = session.peer()
        self.proof = session.proof
        self.transactions = 0
        self.connected_for = connected_for

    def serve(self, requirement: Requirement) -> None:
        """Note what the next mail asks of the session."""
        self._session.target = replace(self._session.target, requirement=requirement)
        self.peer = self._session.peer()

    @property
    def is_usable(self) -> bool:
        """May take another transaction, as far as we can tell."""
        return self._protocol.is_idle

    @property
    def is_open(self) -> bool:
        """Neither side has closed it yet, as far as we can tell."""
        return self._protocol.failure is None

    @property
    def is_after_dot(self) -> bool:
        """The server may have the message that was sent last."""
        return self._protocol.is_after_dot

    async def deliver(
        self, message: QueuedMessage, recipients: Sequence[QueuedRecipient], content: Content
    ) -> Delivery:
        """Carry out one transaction. Never raises for what the peer does; cancelled, it hangs up.

        What a reused connection says of itself goes once more over a fresh one (S-15): it is stale,
        or, where other recipients have their answers, those whom it concerns are not tried yet.
        Raises ValueError, with nothing sent, if a command would carry a control character.
        """
        started_at, began = self._clock.now(), self._clock.monotonic()
        reused = self.transactions > 0
        if tracing.is_on or self._protocol.trace is not None:
            self._session.look_on()
        size = len(content) if content[-2:] == b"\r\n" else len(content) + 2
        is_8bit = _has_8bit_body(message, content)
        todo = plan(
            message,
            recipients,
            size,
            self._session.offers,
            self._session.target,
            is_8bit=is_8bit,
            proof=self._session.proof.kind,
        )
        result = await self._transact(todo, content)
        endings = _merge(todo, result.endings, len(recipients))
        worn = self._worn(endings) if reused else [False] * len(endings)
        stale = reused and (not result.heard or all(worn))
        if stale or any(worn):
            await self.quit()
        return Delivery(
            facts=self._facts(endings, started_at, began, reused=reused),
            not_tried=tuple(
                index for index, one in enumerate(endings) if one.too_many or worn[index]
            ),
            stale=stale,
        )

    def _worn(self, endings: Sequence[Ending]) -> list[bool]:
        """Tell of each ending whether it is about the session, which has seen other mail before.

        A reply too many may come from the transaction before: then all of this one is in doubt.
        """
        if self._protocol.out_of_step and not any(one.dot_sent for one in endings):
            return [True] * len(endings)
        return [_is_of_session(one) for one in endings]

    async def quit(self) -> None:
        """Say goodbye and close. Takes a few seconds at most and never raises."""
        await self._session.leave(within=self._session.timers.quit)

    def abort(self) -> None:
        """Close the connection without a word."""
        self._session.abort()

    def cut_off(self) -> None:
        """Do the same because relayd stops: what is under way ends by our doing."""
        self._session.cut_off()

    async def _transact(self, todo: Plan, content: Content) -> Result:
        if not todo.rcpts:
            return Result(endings=[], heard=True, complete=True)
        reset, self._unfinished = self._unfinished, True
        self.transactions += 1
        try:
            result = await transact(
                self._protocol,
                todo,
                content,
                pipelining=self._session.offers.pipelining,
                reset=reset,
            )
        except BaseException:  # cancelled: the session is somewhere in the middle of a transaction
            self.abort()
            raise
        self._unfinished = not result.complete
        return result

    def _facts(
        self, endings: Sequence[Ending], started_at: datetime, began: float, *, reused: bool
    ) -> tuple[AttemptFacts, ...]:
        """Give every recipient its facts; those with the same ending share them."""
        lasted = timedelta(seconds=self._clock.monotonic() - began)
        connect_for = _NO_TIME if reused else self.connected_for
        made: dict[int, AttemptFacts] = {}
        for ending in endings:
            if id(ending) not in made:
                made[id(ending)] = AttemptFacts(
                    peer=self.peer,
                    stage=ending.stage,
                    reply=ending.reply,
                    breakdown=ending.breakdown,
                    own_refusal=ending.own_refusal,
                    dot_sent=ending.dot_sent,
                    started_at=started_at,
                    connect_for=connect_for,
                    transaction_for=lasted,
                )
        return tuple(made[id(ending)] for ending in endings)


def _has_8bit_body(message: QueuedMessage, content: Content) -> bool:
    """Tell whether the body has octets above 127; a header that has them needs no 8BITMIME."""
    if not (message.is_8bit and message.utf8_headers):
        return message.is_8bit
    end = header_end(content[:_BLOCK])  # of a longer header the rest counts as body
    return any(
        not content[start : start + _BLOCK].isascii() for start in range(end, len(content), _BLOCK)
    )


def _is_of_session(ending: Ending) -> bool:
    """Tell whether the server did not understand a command, or we did not understand the server."""
    if ending.dot_sent:
        return False
    if ending.reply is None:
        assert ending.breakdown is not None
        return ending.breakdown.category is Category.PROTOCOL_ERROR
    return ending.reply.code in _NOT_UNDERSTOOD


def _merge(todo: Plan, sent: Sequence[Ending], count: int) -> list[Ending]:
    """Endings of all recipients: our own refusals, and in between what the server said."""
    if not todo.refused:
        return list(sent)
    refused = {
        id(one): Ending(stage=one.stage, reply=one.reply, own_refusal=one.reason)
        for one in todo.refused.values()
    }
    rest = iter(sent)
    return [
        refused[id(todo.refused[index])] if index in todo.refused else next(rest)
        for index in range(count)
    ]

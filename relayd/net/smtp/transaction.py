"""One mail transaction on an open session: MAIL, RCPTs, DATA, content, dot.

Owns the order of commands and which reply ends it for whom. It judges nothing: a code's meaning
for the mail is decided in policy; here it only says whether the dialog goes on.

With PIPELINING the commands go out in one write, and their replies answer them in order. A server
that proves to be out of step has said a reply too many somewhere: what it can have said of another
recipient is then void, and nobody is accused by guess (A-46).

Sources: RFC 5321 §3.3, §4.2.1, §4.3.2; RFC 2920 §3.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from relayd.mail.attempt import Breakdown
from relayd.mail.content import Content
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import Category
from relayd.net.smtp.breakdown import broken
from relayd.net.smtp.commands import Plan
from relayd.net.smtp.protocol import RelayProtocol
from relayd.net.smtp.stuffing import stuffed_blocks

_DATA = b"DATA\r\n"
_RSET = b"RSET\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a transaction ended for one recipient."""

    stage: Stage
    reply: Reply | None = None
    breakdown: Breakdown | None = None
    dot_sent: bool = False
    own_refusal: str = ""  # why it was not even asked; empty: `reply` is the server's
    too_many: bool = False  # one recipient more than the server takes at once (S-19)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    endings: list[Ending]  # one per RCPT of the plan, in its order
    heard: bool  # some reply to MAIL arrived, and it was not 421
    complete: bool  # the server took the message: no RSET is needed before the next one


async def transact(
    protocol: RelayProtocol, plan: Plan, content: Content, *, pipelining: bool, reset: bool = False
) -> Result:
    """Carry out the transaction; with `reset`, end the one before it first.

    Never raises for what the peer does.
    """
    if protocol.failure is not None:  # it broke while it was idle
        ending = Ending(stage=Stage.MAIL, breakdown=protocol.failure)
        return Result(endings=[ending] * len(plan.rcpts), heard=False, complete=False)
    commands = (plan.mail, *plan.rcpts, _DATA)
    stages = (Stage.MAIL, *[Stage.RCPT] * len(plan.rcpts), Stage.DATA)
    if reset:
        replies = await _exchange(
            protocol, (_RSET, *commands), (Stage.MAIL, *stages), pipelining=pipelining
        )
        if replies and not replies[0].is_positive:
            return _without_reset(protocol, plan, replies)
        replies = replies[1:]
    else:
        replies = await _exchange(protocol, commands, stages, pipelining=pipelining)
    heard = bool(replies) and replies[0].code != 421
    if protocol.out_of_step:
        replies = _certain(replies, recipients=len(plan.rcpts))
    endings = _own_endings(stages, replies)
    common = _common_ending(protocol, stages, replies)
    goes_ahead = len(replies) == len(stages) and 300 <= replies[-1].code < 400
    if goes_ahead and common is None and None in endings:
        common = await _send_content(protocol, content)
    elif goes_ahead:
        await _send_nothing(protocol)
    return Result(
        endings=[_one_of(own, common) for own in endings],
        heard=heard,
        complete=_is_success(common),
    )


async def _exchange(
    protocol: RelayProtocol, commands: Sequence[bytes], stages: Sequence[Stage], *, pipelining: bool
) -> list[Reply]:
    """Send the commands and return the replies, as many as came."""
    if pipelining:
        protocol.expect(b"".join(commands), stages)
        return await protocol.answers(len(commands))
    replies: list[Reply] = []
    accepted = False
    for command, stage in zip(commands, stages, strict=True):
        if stage is Stage.DATA and not accepted:
            break
        protocol.expect(command, (stage,))
        answer = await protocol.answers(1)
        if not answer:
            break
        replies += answer
        if stage is Stage.MAIL and not answer[0].is_positive:
            break
        accepted = accepted or (stage is Stage.RCPT and answer[0].is_positive)
    return replies


def _certain(replies: list[Reply], *, recipients: int) -> list[Reply]:
    """The replies of a server that is out of step which concern the right recipients all the same.

    A reply too many moves those behind it on to later commands. What stands for MAIL or the first
    RCPT was said of all or of the first, and where there is one recipient all of it was.
    """
    return replies if recipients == 1 else replies[:2]


def _without_reset(protocol: RelayProtocol, plan: Plan, replies: Sequence[Reply]) -> Result:
    """End it: a server that refuses RSET is no good for another transaction."""
    reason = f"RSET refused: {replies[0]}"
    if 300 <= replies[-1].code < 400:  # it waits for content, and would take QUIT for that
        protocol.fail(reason, at=Stage.MAIL)
    breakdown = broken(Category.CONNECTION_FAILURE, reason)
    ending = Ending(stage=Stage.MAIL, breakdown=breakdown)
    return Result(endings=[ending] * len(plan.rcpts), heard=False, complete=False)


def _own_endings(stages: Sequence[Stage], replies: Sequence[Reply]) -> list[Ending | None]:
    """What RCPT said about each recipient; None for those who share the common ending."""
    own: list[Ending | None] = [None] * (len(stages) - 2)
    if replies and replies[0].is_positive:
        accepted = False
        for index, reply in enumerate(replies[1 : len(stages) - 1]):
            if reply.is_positive:
                accepted = True
            elif reply.code != 421:
                too_many = accepted and _says_too_many(reply)
                own[index] = Ending(stage=Stage.RCPT, reply=reply, too_many=too_many)
    return own


def _says_too_many(reply: Reply) -> bool:
    """452, or a 552 that does not say anything else (RFC 5321 §4.5.3.1.10)."""
    if reply.code != 552:
        return reply.code == 452
    enhanced = reply.enhanced or ""
    return not enhanced.startswith("5.2.") and enhanced != "5.3.4"


def _common_ending(
    protocol: RelayProtocol, stages: Sequence[Stage], replies: Sequence[Reply]
) -> Ending | None:
    """What ended it for all who have no ending of their own; None if nothing did so far."""
    if replies and not replies[0].is_positive:
        return Ending(stage=Stage.MAIL, reply=replies[0])
    if replies and (replies[-1].code == 421 or len(replies) == len(stages)):
        last = replies[-1]
        ended = last.is_transient or last.is_permanent
        return Ending(stage=stages[len(replies) - 1], reply=last) if ended else None
    if protocol.failure is not None:
        return Ending(stage=protocol.failed_at, breakdown=protocol.failure)
    return None


async def _send_content(protocol: RelayProtocol, content: Content) -> Ending:
    if protocol.trace is not None:
        protocol.trace.content("smtp_sent", content)
    dot_sent = await protocol.send_content(stuffed_blocks(content))
    answer = await protocol.answers(1)
    stage = Stage.DOT if dot_sent else Stage.DATA
    if answer:
        reply = answer[0]
        if dot_sent or not reply.is_positive:
            if not dot_sent:
                protocol.fail("the server ended the transaction before its time")
            return Ending(stage=stage, reply=reply, dot_sent=dot_sent)
        protocol.violate(f"{reply.code} before the final dot")
    return Ending(stage=stage, breakdown=protocol.failure, dot_sent=dot_sent)


async def _send_nothing(protocol: RelayProtocol) -> None:
    """End a DATA that nobody is to profit from; what the server says to it changes nothing."""
    protocol.expect(b".\r\n", (Stage.DOT,))
    await protocol.answers(1)


def _one_of(own: Ending | None, common: Ending | None) -> Ending:
    ending = own or common
    assert ending is not None, "every recipient has an ending"
    return ending


def _is_success(common: Ending | None) -> bool:
    return (
        common is not None
        and common.stage is Stage.DOT
        and common.reply is not None
        and common.reply.is_positive
    )

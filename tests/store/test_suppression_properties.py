"""On any history, what a store keeps of addresses tells the same as that history itself; and it outlives it."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayd.mail.envelope import REPORT
from relayd.mail.event import Event
from relayd.mail.ids import MessageId, WorkerNumber
from relayd.mail.outcome import Bounced, Relayed
from relayd.mail.words import BounceClass, Category, EventKind
from relayd.policy.verp import VerpToken
from relayd.ports.queue import LateNotice
from relayd.ports.view import Query, RecipientRow, Status
from tests.support.builders import a_bounce, a_message, settlements_of
from tests.support.stores import ALL, Box, openers_of
from tests.support.workers import registered

OPENERS = openers_of(__name__)

ADDRESSES = ("a@x.test", "A@X.test", "b@x.test")
SENDERS = ("app@app.test", "Shop@app.test")
BOUNCES = {
    "proof": a_bounce(),
    "inactive": a_bounce(BounceClass.BLOCK, category=Category.INACTIVE_MAILBOX),
    "blocked": a_bounce(BounceClass.BLOCK, category=Category.POLICY),
}


@dataclass(frozen=True)
class Mail:
    """One message, and what became of each of its recipients."""

    sender: str
    recipients: Sequence[tuple[str, str]]  # address, bounce
    way: Literal["refused", "returned", "our own"]


@dataclass(frozen=True)
class Lifted:
    address: str


_MAIL = st.builds(
    Mail,
    sender=st.sampled_from(SENDERS),
    recipients=st.lists(
        st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(sorted(BOUNCES))),
        min_size=1,
        max_size=2,
    ),
    way=st.sampled_from(["refused", "refused", "returned", "returned", "our own"]),
)
HISTORIES = st.lists(_MAIL | st.builds(Lifted, st.sampled_from(ADDRESSES)), max_size=9)


class Speaking(NamedTuple):
    message_id: MessageId
    is_proof: bool
    scope: str


def derived(box: Box, address: str, sender: str, lifted: Mapping[str, datetime]) -> bool:
    """What relayd told while it read it off the history: the rule that was, word for word."""
    speaking = [
        Speaking(row.message_id, row.suppress, scope_of(box, row))
        for row in box.rows(Query(status=(Status.BOUNCED,)))
        if row.address.lower() == address.lower()
        and row.reverse_path
        and (row.suppress or row.category is Category.INACTIVE_MAILBOX)
        and (row.address.lower() not in lifted or row.updated_at > lifted[row.address.lower()])
    ]
    counted = [each for each in speaking if each.scope in ("", sender.lower())]
    inactive = {each.message_id for each in counted if not each.is_proof}
    return any(each.is_proof for each in counted) or len(inactive) >= 2


def scope_of(box: Box, row: RecipientRow) -> str:
    is_late = any(
        each.kind == EventKind.LATE_BOUNCED and each.recipient == row.recipient
        for each in box.view.history(row.message_id)
    )
    return row.reverse_path.lower() if is_late else ""


async def happens(box: Box, worker: WorkerNumber, mail: Mail) -> None:
    addresses = [address for address, _ in mail.recipients]
    outcomes = [BOUNCES[bounce] for _, bounce in mail.recipients]
    message = a_message(*addresses, at=box.clock.now(), reverse_path=mail.sender)
    if mail.way == "our own":
        own = replace(message, reverse_path=None)
        message = replace(own, client=replace(own.client, listener=REPORT))
        [first] = await box.put(
            a_message("c@x.test", at=box.clock.now()), worker=worker, leased=True
        )
        await box.store.settle(first.lease, settlements_of(first, Relayed()), [message])
    else:
        await box.put(message, worker=worker)
    [work] = await box.claim(worker)
    for one, outcome in zip(work.recipients, outcomes, strict=True):
        settled = Relayed() if mail.way == "returned" else outcome
        settlements = [
            each
            for each in settlements_of(work, settled, at=box.clock.now())
            if each.recipient == one.number
        ]
        await box.store.settle(work.lease, settlements)
        if mail.way == "returned":
            await returned(box, message.id, one.number, outcome)
    box.advance(1)
    for copy in await box.claim(worker):
        await box.store.settle(copy.lease, settlements_of(copy, Relayed()))


async def returned(box: Box, message_id: MessageId, number: int, outcome: Bounced) -> None:
    event = Event(
        kind=EventKind.LATE_BOUNCED,
        at=box.clock.now(),
        message_id=message_id,
        recipient=number,
        detail={},
    )
    copy = a_message("app@app.test", at=box.clock.now(), reverse_path="")
    path = VerpToken(message_id=message_id, recipient=number)
    assert await box.store.note_late(path, LateNotice(event=event, outcome=outcome), copy)


async def told(box: Box) -> dict[tuple[str, str], bool]:
    return {
        (address, sender): await box.is_suppressed(address, sender=sender)
        for address in ADDRESSES
        for sender in (*SENDERS, "other@app.test", "")
    }


async def compare(name: str, history: Sequence[Mail | Lifted]) -> None:
    lifted: dict[str, datetime] = {}
    with tempfile.TemporaryDirectory() as directory:
        box = OPENERS[name](Path(directory))
        try:
            worker = await registered(box.store, "1")
            for step in history:
                box.advance(60)
                if isinstance(step, Lifted):
                    before = any(derived(box, step.address, one, lifted) for one in (*SENDERS, ""))
                    assert await box.store.unsuppress(step.address) is before
                    if before:
                        lifted[step.address.lower()] = box.clock.now()
                else:
                    await happens(box, worker, step)
                now = await told(box)
                assert now == {key: derived(box, *key, lifted) for key in now}
            await outlives(box)
        finally:
            await box.close()


async def outlives(box: Box) -> None:
    before, listed = await told(box), box.view.suppressions(limit=ALL)
    box.advance(3600)
    while await box.store.purge(box.clock.now() + timedelta(minutes=1)):
        pass
    assert box.rows() == []
    assert (await told(box), box.view.suppressions(limit=ALL)) == (before, listed)


@pytest.mark.parametrize("name", OPENERS)
@given(history=HISTORIES)
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
def test_it_tells_what_the_history_tells(name: str, history: list[Mail | Lifted]) -> None:
    asyncio.run(compare(name, history))

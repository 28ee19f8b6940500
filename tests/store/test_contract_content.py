"""What every store must do: keep content, also what was too large to be held."""

from dataclasses import replace

import pytest

from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId, WorkerNumber
from relayd.mail.operator import Action
from relayd.policy.verp import VerpToken
from relayd.ports.view import Query
from tests.support.builders import a_message, a_settlement
from tests.support.stores import Box

HEAD = b"Received: from here\r\nSubject: large\r\n\r\n"
REST = [b"one\r\n" * 1000, b"two\r\n" * 2000]
WHOLE = HEAD + b"".join(REST)


def a_large_message(box: Box, *recipients: str) -> NewMessage:
    spool = box.store.spool()
    for octets in REST:
        spool.write(octets)
    return replace(a_message(*recipients), content=spool.finish(HEAD))


@pytest.mark.parametrize("leased", [True, False], ids=["born-leased", "claimed"])
async def test_large_content_comes_out_as_it_went_in(
    box: Box, worker: WorkerNumber, *, leased: bool
) -> None:
    message = a_large_message(box, "a@x.test")
    works = await box.put(message, worker=worker, leased=leased)
    if not leased:
        works = await box.claim(worker)
    [work] = works
    assert work.message.size == len(WHOLE)
    content = work.content or await box.store.content(message.id)
    assert content is not None
    assert len(content) == len(WHOLE)
    assert content[:] == WHOLE


@pytest.mark.parametrize(
    "part",
    [
        slice(0, 5),
        slice(len(HEAD) - 3, len(HEAD) + 3),
        slice(len(HEAD), len(HEAD) + 9),
        slice(-2, None),
        slice(None, -2),
        slice(len(WHOLE), None),
        slice(7, 7),
    ],
    ids=str,
)
async def test_it_is_cut_as_octets_are(
    box: Box, worker: WorkerNumber, part: "slice[int | None, int | None, None]"
) -> None:
    message = a_large_message(box, "a@x.test")
    await box.put(message, worker=worker)
    content = await box.store.content(message.id)
    assert content is not None
    assert content[part] == WHOLE[part]


async def test_it_goes_with_its_last_recipient(box: Box, worker: WorkerNumber) -> None:
    message = a_large_message(box, "a@x.test", "b@x.test")
    [work] = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, [a_settlement(message.id, 0)])
    assert await _content(box, message) == WHOLE
    await box.store.settle(work.lease, [a_settlement(message.id, 1)])
    assert await box.store.content(message.id) is None


async def test_it_goes_when_an_operator_drops_it(box: Box, worker: WorkerNumber) -> None:
    message = a_large_message(box, "a@x.test")
    await box.put(message, worker=worker)
    await box.store.act(Query(message_id=message.id), Action.DROP, by="ann", reason="")
    assert await box.store.content(message.id) is None


async def test_what_comes_back_may_be_large_too(box: Box, worker: WorkerNumber) -> None:
    message = a_large_message(box, "a@x.test")
    await box.store.note_late(VerpToken(message_id=MessageId(1), recipient=0), None, message)
    assert await _content(box, message) == WHOLE
    assert [work.message.id for work in await box.claim(worker)] == [message.id]


async def _content(box: Box, message: NewMessage) -> bytes | None:
    content: Content | None = await box.store.content(message.id)
    return None if content is None else content[:]

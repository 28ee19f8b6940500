"""What every store must do: give content to a person, on record, and none that is gone."""

from dataclasses import replace

from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.ports.view import Query
from tests.store.test_contract_content import WHOLE, a_large_message
from tests.support.builders import a_message, a_settlement
from tests.support.stores import Box


async def test_reading_is_on_record_for_each_recipient(box: Box, worker: WorkerNumber) -> None:
    message = a_message("a@x.test", "b@x.test", tag="news")
    await box.put(message, worker=worker)
    before = [replace(row) for row in box.rows()]
    read = await box.store.read(message.id, by="ann", reason="ticket 7")
    assert read is not None
    assert read.content[:] == message.content[:]
    assert [(one.recipient, one.kind.value) for one in read.events] == [(0, "read"), (1, "read")]
    assert {one.subject.tag for one in read.events if one.subject} == {"news"}
    told = [(one.kind, one.recipient, one.detail) for one in box.later_history(message)]
    said = {"by": "ann", "reason": "ticket 7"}
    assert told == [("read", 0, said), ("read", 1, said)]
    assert box.rows() == before  # nothing else has changed


async def test_large_content_is_read_to_its_end_when_it_is_deleted_meanwhile(
    box: Box, worker: WorkerNumber
) -> None:
    message = a_large_message(box, "a@x.test")
    await box.put(message, worker=worker)
    read = await box.store.read(message.id, by="ann", reason="")
    await box.store.act(Query(message_id=message.id), Action.DROP, by="ann", reason="")
    assert read is not None
    assert read.content[:] == WHOLE


async def test_what_is_gone_is_neither_given_nor_recorded(box: Box, worker: WorkerNumber) -> None:
    message = a_message("a@x.test")
    [work] = await box.put(message, worker=worker, leased=True)
    await box.store.settle(work.lease, [a_settlement(message.id, 0)])
    count = len(box.later_history(message))
    assert await box.store.read(message.id, by="ann", reason="") is None
    assert box.view.content_of(message.id) is None
    assert len(box.later_history(message)) == count


async def test_who_sees_own_messages_reads_those_that_came_with_the_login(
    box: Box, worker: WorkerNumber
) -> None:
    own = a_message("a@x.test", count=1, auth_user="shop (API key)")
    others = [a_message("a@x.test", count=2, auth_user="app (API key)"), a_message(count=3)]
    for message in (own, *others):
        await box.put(message, worker=worker)
    for message in others:
        assert await box.store.read(message.id, by="x", reason="", of="shop (API key)") is None
        assert box.later_history(message) == []
    read = await box.store.read(own.id, by="x", reason="", of="shop (API key)")
    assert read is not None
    assert read.content[:] == own.content[:]


async def test_nobody_reads_a_message_that_is_not_there(box: Box) -> None:
    message = a_message("a@x.test")
    assert await box.store.read(message.id, by="ann", reason="") is None
    assert box.view.content_of(message.id) is None


async def test_a_view_has_the_content_too(box: Box, worker: WorkerNumber) -> None:
    for message in (a_message("a@x.test"), a_large_message(box, "a@x.test")):
        await box.put(message, worker=worker)
        content = box.view.content_of(message.id)
        assert content is not None
        assert content[:] == message.content[:]
        assert not box.later_history(message)

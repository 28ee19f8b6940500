"""What every store must do with what the content check found: record it, and hold what it holds."""

from dataclasses import replace

import pytest

from relayd.mail.content import Content
from relayd.mail.envelope import ContentCheck, NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.ports.view import Query, Status
from tests.support.builders import CONTENT, a_message
from tests.support.stores import Box

HELD = ContentCheck(score=12.0, reason="content scored 12, held from 10 on", holds=True)
SCORED = ContentCheck(score=7.0, reason="content scored 7, noted from 6 on")
UNCHECKED = ContentCheck(score=None, reason="not checked: down")


def checked(check: ContentCheck) -> NewMessage:
    return replace(a_message("a@x.test", "b@x.test"), content_check=check)


@pytest.mark.parametrize("leased", [True, False], ids=["born-leased", "waiting"])
async def test_a_held_message_is_nobodys_work(
    box: Box, worker: WorkerNumber, *, leased: bool
) -> None:
    message = checked(HELD)
    assert not await box.put(message, worker=worker, leased=leased)
    assert not await box.claim(worker)
    assert [row.status for row in box.rows()] == [Status.HELD, Status.HELD]
    assert box.view.counts().by_status == {Status.HELD: 2}


async def test_who_is_released_is_tried(box: Box, worker: WorkerNumber) -> None:
    message = checked(HELD)
    await box.put(message, worker=worker, leased=True)
    chosen = Query(recipient=("b@x.test",))
    await box.store.act(chosen, Action.RELEASE, by="operator", reason="it is fine")
    [work] = await box.claim(worker)
    assert [each.address for each in work.recipients] == ["b@x.test"]
    content: Content | None = work.content or await box.store.content(message.id)
    assert content is not None
    assert content[:] == CONTENT
    assert box.row(message, 0).status is Status.HELD


@pytest.mark.parametrize(
    ("check", "kind"), [(SCORED, "scored"), (UNCHECKED, "unchecked"), (HELD, "held")]
)
async def test_it_is_recorded_for_each_recipient(
    box: Box, worker: WorkerNumber, check: ContentCheck, kind: str
) -> None:
    message = checked(check)
    works = await box.put(message, worker=worker, leased=True)
    assert bool(works) == (kind != "held")
    history = box.later_history(message)
    assert [(each.recipient, each.kind) for each in history] == [(0, kind), (1, kind)]
    for each in history:
        assert each.at == message.received_at
        assert each.detail["reason"] == check.reason
        assert each.detail.get("content_score") == check.score
        assert each.detail.get("by") == ("[content]" if kind == "held" else None)

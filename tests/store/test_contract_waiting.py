"""What every store must do: count what waits by what it has in common."""

from datetime import timedelta

import pytest

from relayd.mail.envelope import NewRecipient
from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import Outcome
from relayd.ports.view import Query
from relayd.ports.waiting import By
from tests.support.builders import a_bounce, a_deferral, a_message, a_recipient, a_settlement
from tests.support.clock import START
from tests.support.stores import Box

Told = dict[str, dict[str, int]]


def _to(*addresses: str) -> list[NewRecipient]:
    return [a_recipient(each, destination="smarthost") for each in addresses]


async def some_mail(box: Box, worker: WorkerNumber) -> None:
    """Mail of each status: b@x.test is deferred, c@y.test held, d@x.test bounced."""
    await box.put(
        a_message(*_to("a@X.test", "b@x.test"), tag="news", auth_user="shop"), worker=worker
    )
    await box.put(a_message(*_to("c@y.test", "d@x.test")), worker=worker)
    outcomes: dict[str, Outcome] = {"b@x.test": a_deferral(), "d@x.test": a_bounce()}
    works = await box.claim(worker)
    for work in works:
        settlements = [
            a_settlement(work.message.id, one.number, outcomes[one.address])
            for one in work.recipients
            if one.address in outcomes
        ]
        await box.store.settle(work.lease, settlements)
    for lease in {work.lease for work in works}:
        await box.store.release(lease)
    await box.store.act(Query(recipient=("c@y.test",)), Action.HOLD, by="ann", reason="")


def told(box: Box, by: By, query: Query | None = None) -> Told:
    found = box.view.waiting(query or Query(), by).groups
    assert [one.recipients for one in found] == sorted(
        (one.recipients for one in found), reverse=True
    )
    return {one.value: dict(one.by_status) for one in found}


X, Y = {"queued": 1, "deferred": 1}, {"held": 1}
ALL = X | Y


@pytest.mark.parametrize(
    ("by", "query", "expected"),
    [
        (By.DOMAIN, Query(), {"x.test": X, "y.test": Y}),
        (By.DESTINATION, Query(), {"smarthost": ALL}),
        (By.SENDER, Query(), {"app@app.test": ALL}),
        (By.TAG, Query(), {"news": X, "": Y}),
        (By.USER, Query(), {"shop": X, "": Y}),
        (By.DOMAIN, Query(tag=("news",)), {"x.test": X}),
        (By.TAG, Query(recipient=("c@y.test",)), {"": Y}),
        (By.DOMAIN, Query(domain=("z.test",)), {}),
    ],
)
async def test_only_what_waits_is_counted(
    box: Box, worker: WorkerNumber, by: By, query: Query, expected: Told
) -> None:
    await some_mail(box, worker)
    assert told(box, by, query) == expected


async def test_the_oldest_and_the_next_attempt(box: Box, worker: WorkerNumber) -> None:
    await some_mail(box, worker)
    found = {one.value: one for one in box.view.waiting(Query(), By.DOMAIN).groups}
    assert found["y.test"].next_attempt_at is None  # it is held
    due = [row.next_attempt_at for row in box.rows(Query(domain=("x.test",), unfinished=True))]
    assert found["x.test"].next_attempt_at == min(each for each in due if each is not None)
    assert START - timedelta(days=1) < found["x.test"].oldest <= box.clock.now()
    assert found["x.test"].oldest == min(row.received_at for row in box.rows())


async def test_values_are_the_same_without_case(box: Box, worker: WorkerNumber) -> None:
    for tag in ("News", "news", "NEWS"):
        await box.put(a_message("a@x.test", tag=tag), worker=worker)
    [one] = box.view.waiting(Query(), By.TAG).groups
    assert (one.value.lower(), one.recipients) == ("news", 3)


@pytest.mark.parametrize("most", [None, 1000])
async def test_all_is_counted_where_that_is_not_too_much(
    box: Box, worker: WorkerNumber, most: int | None
) -> None:
    await some_mail(box, worker)
    for query in (Query(), Query(domain=("x.test",)), Query(domain=("z.test",))):
        whole = box.view.waiting(query, By.DOMAIN)
        assert whole.since is None
        assert box.view.waiting(query, By.DOMAIN, most=most) == whole

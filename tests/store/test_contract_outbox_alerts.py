"""What every store must do: the mail about a webhook that is disabled is queued with that, once each time."""

from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from relayd.errors import StoreFull
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.mail.words import EventKind
from relayd.policy.console.webhook import Off
from relayd.ports.outbox import (
    DeliveryResult,
    Endpoint,
    EndpointId,
    Heard,
    Outgoing,
    Settled,
    Subscription,
    TellsDisabled,
)
from relayd.ports.people import Author
from relayd.ports.view import Query
from tests.support.builders import a_message, settlements_of
from tests.support.stores import ALL, LEASE, Box, open_sqlite
from tests.support.workers import registered

ANNA = Author(by="anna (console)", client="192.0.2.7")
WANTED = Subscription(url="https://app.test/hook", kinds=(EventKind.RELAYED,))
TO = "ops@example.org"
HOUR = 3600.0


class Teller:
    """Makes mails, and keeps what they are about."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self.told: list[Endpoint] = []

    def __call__(self, endpoint: Endpoint) -> NewMessage:
        self.told.append(endpoint)
        return a_message(TO, at=self._box.clock.now(), reverse_path="", count=500 + len(self.told))


async def begin(box: Box, worker: WorkerNumber, *addresses: str) -> EndpointId:
    """An endpoint that is to be told of some recipients."""
    endpoint = await box.store.outbox.put_endpoint(WANTED, author=ANNA)
    assert endpoint is not None
    message = a_message(*addresses, at=box.clock.now())
    for work in await box.put(message, worker=worker, leased=True):
        await box.store.settle(work.lease, settlements_of(work, at=box.clock.now()))
    return endpoint


async def claimed(box: Box) -> Sequence[Outgoing]:
    return await box.store.outbox.claim_deliveries(ALL, lease_for=LEASE)


def results(sent: Sequence[Outgoing], status: int | None) -> list[DeliveryResult]:
    heard = Heard(status=status, trouble="" if status else "timeout")
    return [
        DeliveryResult(endpoint=one.endpoint, number=one.number, claim=one.claim, heard=heard)
        for one in sent
    ]


async def settle(
    box: Box, sent: Sequence[Outgoing], status: int | None, tell: TellsDisabled | None
) -> Sequence[Settled]:
    return await box.store.outbox.settle_deliveries(results(sent, status), jitter=0.0, tell=tell)


def mails(box: Box) -> int:
    return len(box.rows(Query(recipient=(TO,))))


async def test_what_is_gone_is_told_once_and_can_be_delivered(
    box: Box, worker: WorkerNumber
) -> None:
    endpoint, tell = await begin(box, worker, "a@x.test", "b@x.test"), Teller(box)
    settled = await settle(box, await claimed(box), 410, tell)
    assert [each.mail is not None for each in settled] == [True, False]
    [told] = tell.told
    assert (told.id, told.wanted.url, told.off, told.waiting) == (
        endpoint,
        WANTED.url,
        Off.GONE,
        2,
    )
    assert told.last is not None
    assert told.last.status == 410
    assert mails(box) == 1
    [work] = await box.claim(worker)
    assert [each.address for each in work.recipients] == [TO]
    assert work.message.reverse_path == ""


async def test_five_days_without_success_are_told(box: Box, worker: WorkerNumber) -> None:
    await begin(box, worker, "a@x.test")
    tell, began = Teller(box), box.clock.now()
    for _ in range(20):
        await settle(box, await claimed(box), None, tell)
        assert mails(box) == 0
        box.advance(6 * HOUR)
        await box.store.reap()
    await settle(box, await claimed(box), None, tell)
    [told] = tell.told
    assert (told.off, told.failing_since, mails(box)) == (Off.UNREACHABLE, began, 1)
    assert told.last is not None
    assert told.last.trouble == "timeout"


async def test_nothing_more_is_told_until_it_was_enabled(box: Box, worker: WorkerNumber) -> None:
    endpoint, tell = await begin(box, worker, "a@x.test"), Teller(box)
    sent = await claimed(box)
    await settle(box, sent, 410, tell)
    await settle(box, sent, 410, tell)  # the same result once more: a worker did not answer
    await box.store.outbox.send_test(endpoint, author=ANNA)
    await settle(box, await claimed(box), 410, tell)
    assert (len(tell.told), mails(box)) == (1, 1)
    await box.store.outbox.put_endpoint(WANTED, endpoint, author=ANNA)
    await settle(box, await claimed(box), 410, tell)
    assert (len(tell.told), mails(box)) == (2, 2)


async def test_what_a_person_disabled_is_no_news(box: Box, worker: WorkerNumber) -> None:
    endpoint, tell = await begin(box, worker, "a@x.test"), Teller(box)
    sent = await claimed(box)
    off = Subscription(url=WANTED.url, kinds=WANTED.kinds, is_on=False)
    await box.store.outbox.put_endpoint(off, endpoint, author=ANNA)
    await settle(box, sent, 410, tell)
    assert (tell.told, mails(box)) == ([], 0)


async def test_without_anybody_to_tell_it_is_disabled_all_the_same(
    box: Box, worker: WorkerNumber
) -> None:
    await begin(box, worker, "a@x.test")
    [settled] = await settle(box, await claimed(box), 410, None)
    assert (settled.disabled, settled.mail, mails(box)) == (Off.GONE, None, 0)


async def test_neither_is_there_without_the_other(tmp_path: Path) -> None:
    """SQLite: a mail that cannot be queued leaves the endpoint as it was, and the result is told again."""
    box = open_sqlite(tmp_path)
    worker = await registered(box.store, "worker")
    await begin(box, worker, "a@x.test")
    sent, tell = await claimed(box), Teller(box)

    def fail(_: Endpoint) -> NewMessage:
        raise apsw.FullError("database or disk is full")

    with pytest.raises(StoreFull):
        await settle(box, sent, 410, fail)
    assert [each.off for each in box.view.outbox.endpoints()] == [Off.NO]
    await settle(box, sent, 410, tell)
    assert [each.off for each in box.view.outbox.endpoints()] == [Off.GONE]
    assert mails(box) == 1
    await box.close()

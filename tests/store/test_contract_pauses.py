"""What every store must do: pause rules, for mail that is there and mail to come."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import NotTried
from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.ports.queue import Work
from relayd.ports.view import Query, Status
from tests.support.builders import a_message, a_recipient, settlements_of
from tests.support.stores import LEASE, Box
from tests.support.workers import registered

BOTH = frozenset(Side)
DELIVERY = frozenset({Side.DELIVERY})
OF_SHOP = (  # a name of each scope, and whether it is that of the shop's mail
    (Named(Scope.ALL), True),
    (Named(Scope.SENDER, "Shop@app.test"), True),
    (Named(Scope.SENDER, ""), False),
    (Named(Scope.SENDER, "shop@app.tes"), False),
    (Named(Scope.TAG, "NEWS"), True),
    (Named(Scope.TAG, "new"), False),
    (Named(Scope.USER, "shop"), True),
    (Named(Scope.USER, "Shop"), False),
    (Named(Scope.DOMAIN, "X.test"), True),
    (Named(Scope.DOMAIN, "y.x.test"), False),
    (Named(Scope.DESTINATION, "mx:x.test"), True),
    (Named(Scope.DESTINATION, "smarthost"), False),
)


SHOP = Named(Scope.SENDER, "shop@app.test")


def a_rule(
    box: Box,
    named: Named = SHOP,
    *,
    sides: frozenset[Side] = DELIVERY,
    last: float | None = None,
    reason: str = "",
) -> PauseRule:
    now = box.clock.now()
    until = None if last is None else now + timedelta(seconds=last)
    return PauseRule(named=named, sides=sides, since=now, until=until, by="ann", reason=reason)


def of_shop() -> NewMessage:
    to = a_recipient("user@x.test", destination="mx:x.test")
    return a_message(to, reverse_path="shop@app.test", tag="news", auth_user="shop")


async def claimed(box: Box, worker: WorkerNumber) -> set[object]:
    return {work.message.id for work in await box.claim(worker)}


@pytest.mark.parametrize("there_before", [True, False])
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("named", "is_meant"), OF_SHOP)
async def test_whom_a_rule_names_is_leased_to_nobody(
    box: Box,
    worker: WorkerNumber,
    named: Named,
    is_meant: bool,  # noqa: FBT001 -- a column of the table
    side: Side,
    there_before: bool,  # noqa: FBT001
) -> None:
    """Mail that is there and mail to come; a rule for intake stops no delivery."""
    message = of_shop()
    if there_before:
        await box.put(message, worker=worker)
    [rule] = await box.store.pause([a_rule(box, named, sides=frozenset({side}))])
    leased: Sequence[Work] = ()
    if not there_before:
        leased = await box.put(message, worker=worker, leased=True)
    is_stopped = is_meant and side is Side.DELIVERY
    taken = {work.message.id for work in leased} | await claimed(box, worker)
    assert taken == (set() if is_stopped else {message.id})
    assert not (await box.claim(worker)), "nor the next time"
    assert box.view.pause_rules() == [rule]
    assert (rule.number, rule.by) == (1, "ann")
    [ended] = await box.store.unpause([rule.number], BOTH)
    assert (ended.named, ended.sides) == (named, frozenset({side}))
    assert not box.view.pause_rules()
    assert await claimed(box, worker) == ({message.id} if is_stopped else set())
    assert not await box.store.unpause([rule.number], BOTH), "there is no such rule any more"


async def test_other_mail_of_the_destination_goes_on(box: Box, worker: WorkerNumber) -> None:
    """The paused mail is older, and there is more of it than a claim takes."""
    paused = [of_shop() for _ in range(20)]
    for message in paused:
        await box.put(message, worker=worker)
    await box.store.pause([a_rule(box)])
    other = a_message(a_recipient("b@x.test", destination="mx:x.test"))
    box.advance(1)
    await box.put(other, worker=worker)
    [work] = await box.claim(worker, limit=2)
    assert work.message.id == other.id
    new = a_message(a_recipient("c@x.test", destination="mx:x.test"))
    [leased] = await box.put(new, worker=worker, leased=True)
    assert leased.message.id == new.id


async def test_one_recipient_of_a_message_waits_and_the_other_does_not(
    box: Box, worker: WorkerNumber
) -> None:
    await box.store.pause([a_rule(box, Named(Scope.DOMAIN, "x.test"))])
    message = a_message("a@x.test", "b@y.test")
    assert not await box.put(message, worker=worker, leased=True)
    [work] = await box.claim(worker)
    assert [one.address for one in work.recipients] == ["b@y.test"]
    assert (box.row(message).leased, box.row(message, 1).leased) == (False, True)
    assert box.row(message).attempts == 0
    assert box.row(message).status is Status.QUEUED


@pytest.mark.parametrize("name", ["例え.jp", "xn--r8jz45g.jp"])
async def test_a_domain_is_paused_and_let_go_in_either_writing(
    name: str, box: Box, worker: WorkerNumber
) -> None:
    [rule] = await box.store.pause([a_rule(box, Named(Scope.DOMAIN, "例え.jp"))])
    [again] = await box.store.pause([a_rule(box, Named(Scope.DOMAIN, "xn--r8jz45g.jp"))])
    assert again.number == rule.number, "one rule, said twice"
    await box.put(a_message("a@例え.jp", "b@xn--r8jz45g.jp"), worker=worker)
    assert not await box.claim(worker)
    await box.store.unpause([Named(Scope.DOMAIN, name)], frozenset(Side))
    [work] = await box.claim(worker)
    assert len(work.recipients) == 2


async def test_a_rule_ends_by_itself(box: Box, worker: WorkerNumber) -> None:
    message = of_shop()
    await box.put(message, worker=worker)
    await box.store.pause([a_rule(box, last=60)])
    box.advance(59)
    assert not await box.claim(worker)
    box.advance(1)
    assert await claimed(box, worker) == {message.id}
    assert not box.view.pause_rules()


async def test_a_side_at_a_time(box: Box, worker: WorkerNumber) -> None:
    message = of_shop()
    await box.put(message, worker=worker)
    [rule] = await box.store.pause([a_rule(box, sides=BOTH)])
    assert not await box.claim(worker)
    [ended] = await box.store.unpause([rule.number], [Side.DELIVERY])
    assert ended.sides == {Side.DELIVERY}
    [left] = box.view.pause_rules()
    assert left.sides == {Side.INTAKE}
    assert await claimed(box, worker) == {message.id}
    await box.store.unpause([rule.number], [Side.INTAKE])
    assert not box.view.pause_rules()


async def test_the_same_said_again_takes_the_place_of_the_rule(box: Box) -> None:
    [first] = await box.store.pause([a_rule(box, reason="first")])
    [again] = await box.store.pause(
        [a_rule(box, Named(Scope.SENDER, "SHOP@app.test"), last=60, reason="again")]
    )
    assert again.number == first.number
    assert box.view.pause_rules() == [again]
    [both] = await box.store.pause([a_rule(box, sides=BOTH)])
    assert both.number != first.number, "it says more"


async def test_under_two_rules_it_waits_for_both(box: Box, worker: WorkerNumber) -> None:
    message = of_shop()
    await box.put(message, worker=worker)
    one, two = await box.store.pause([a_rule(box), a_rule(box, Named(Scope.ALL))])
    assert not await box.claim(worker)
    await box.store.unpause([one.number], BOTH)
    assert not await box.claim(worker)
    await box.store.unpause([two.number], BOTH)
    assert await claimed(box, worker) == {message.id}


async def test_a_new_daemon_keeps_the_rules(box: Box, worker: WorkerNumber) -> None:
    message = of_shop()
    await box.put(message, worker=worker)
    [rule] = await box.store.pause([a_rule(box)])
    assert not await box.claim(worker)
    next_one = await registered(box.store, "1", boot="later")
    assert not await box.claim(next_one)
    await box.store.unpause([rule.number], BOTH)
    assert await claimed(box, next_one) == {message.id}


async def test_what_is_put_back_waits(box: Box, worker: WorkerNumber) -> None:
    """It was leased when the rule came, and its owner gives it back uncounted."""
    message = of_shop()
    [work] = await box.put(message, worker=worker, leased=True)
    await box.store.pause([a_rule(box)])
    await box.store.settle(work.lease, settlements_of(work, NotTried(reason="paused")))
    assert not await box.claim(worker)
    assert box.row(message).attempts == 0


async def test_what_a_dead_worker_had_is_stopped_by_the_claim_that_frees_it(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    """Beside mail that no rule stops; who is late with its own lease keeps it."""
    stopped, free = of_shop(), a_message(a_recipient("b@x.test", destination="mx:x.test"))
    [lost] = await box.put(stopped, worker=worker, leased=True)
    await box.put(free, worker=worker)
    await box.store.pause([a_rule(box)])
    box.advance(61)
    [work] = await box.claim(other)
    assert (work.message.id, box.row(stopped).leased) == (free.id, False)
    assert work.lease.epoch > lost.lease.epoch
    box.advance(61)
    await box.put(a_message(a_recipient("c@x.test", destination="mx:x.test")), worker=other)
    [more] = await box.claim(other)
    assert more.lease == work.lease


async def test_the_time_of_a_pause_is_no_part_of_the_age(box: Box, worker: WorkerNumber) -> None:
    message, other = of_shop(), a_message(a_recipient("b@x.test", destination="mx:x.test"))
    await box.put(message, worker=worker)
    box.advance(100)
    [rule] = await box.store.pause([a_rule(box)])
    assert not await box.claim(worker)
    box.advance(10_000)
    await box.store.unpause([rule.number], BOTH)
    await box.put(other, worker=worker)
    first, second = await box.claim(worker)
    assert first.message.age == timedelta(seconds=10_100)
    assert first.recipients[0].uncounted == timedelta(seconds=10_000)
    assert second.recipients[0].uncounted == timedelta()
    [held] = await box.store.pause([a_rule(box)])
    await box.store.settle(first.lease, settlements_of(first, NotTried(reason="paused")))
    assert not await box.claim(worker)
    box.advance(50)
    await box.store.unpause([held.number], BOTH)
    [again] = await box.claim(worker)
    assert again.recipients[0].uncounted == timedelta(seconds=10_050), "both times"


@pytest.mark.parametrize("action", [Action.HOLD, Action.EXPEDITE, Action.BOUNCE, Action.DROP])
async def test_operators_act_on_what_a_rule_holds(
    box: Box, worker: WorkerNumber, action: Action
) -> None:
    message = of_shop()
    await box.put(message, worker=worker)
    [rule] = await box.store.pause([a_rule(box)])
    assert not await box.claim(worker)
    box.advance(100)
    acted = await box.store.act(Query(message_id=message.id), action, by="ann", reason="")
    assert len(acted.events) == 1
    row = box.row(message)
    assert not row.possible_duplicate, "no attempt was running"
    assert (
        row.status
        is {
            Action.HOLD: Status.HELD,
            Action.EXPEDITE: Status.QUEUED,
            Action.BOUNCE: Status.BOUNCED,
            Action.DROP: Status.DROPPED,
        }[action]
    )
    assert not await box.claim(worker), "the rule holds"
    await box.store.unpause([rule.number], BOTH)
    if action is Action.HOLD:
        await box.store.act(Query(message_id=message.id), Action.RELEASE, by="ann", reason="")
    ends = action in (Action.BOUNCE, Action.DROP)
    assert await claimed(box, worker) == (set() if ends else {message.id})


async def test_more_than_one_look_can_see(
    box: Box, worker: WorkerNumber, other: WorkerNumber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other mail comes although more waits in front of it than one transaction looks at."""
    monkeypatch.setattr("relayd.store.sqlite.pausing.AT_ONCE", 3)
    paused = [of_shop() for _ in range(20)]
    for message in paused:
        await box.put(message, worker=worker)
    box.advance(1)
    last = a_message(a_recipient("b@x.test", destination="mx:x.test"))
    await box.put(last, worker=worker)
    [rule] = await box.store.pause([a_rule(box)])
    [work] = await box.claim(worker)
    assert work.message.id == last.id
    await box.store.release(work.lease)
    await box.store.unpause([rule.number], BOTH)
    seen: set[object] = set()
    while work_now := await box.store.claim(other, limit=2, lease_for=LEASE):
        seen |= {one.message.id for one in work_now}
    assert seen == {message.id for message in (*paused, last)}


@pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-400)])
async def test_a_clock_that_is_set_moves_the_end_of_a_pause(
    box: Box, worker: WorkerNumber, jump: timedelta
) -> None:
    """It lasts as long as it was meant to (F-30, F-31)."""
    message = of_shop()
    await box.put(message, worker=worker)
    await box.store.pause([a_rule(box, last=3600)])
    assert not await box.claim(worker)
    box.clock.jump(jump)
    await box.store.reap()
    box.advance(3590)
    assert not await box.claim(worker)
    box.advance(20)
    assert await claimed(box, worker) == {message.id}

"""What every store must keep for S-58: an operator's act makes no attempt the last one, and no mail old."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.deliverer.settlements import rerouted
from relayd.mail.attempt import AttemptFacts, Breakdown
from relayd.mail.envelope import ContentCheck
from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import Bounced, NotTried, Outcome
from relayd.mail.reply import Reply, Stage, make_reply
from relayd.mail.words import Category, Fault
from relayd.policy.delivery.retry import RetrySettings
from relayd.policy.delivery.route import Decision, OnHold, ViaMx
from relayd.policy.delivery.verdict import Moment, VerdictRules, decide
from relayd.policy.replies.ruleset import builtin_rules
from relayd.ports.queue import Settlement, Work
from relayd.ports.view import Query, Status
from tests.support.builders import a_message, settlements_of
from tests.support.stores import OPENERS, Box
from tests.support.workers import registered

WAIT, DAY = timedelta(minutes=15), timedelta(days=1)
RULES = VerdictRules(
    retry=RetrySettings(
        soft_bounce=(WAIT,),
        unknown_outcome=(WAIT, WAIT),
        unreachable=(WAIT,),
        give_up_after=5 * DAY,
    ),
    classifier=builtin_rules(),
)
FULL = make_reply(452, ("4.2.2 mailbox full",))
SILENT = Breakdown(category=Category.CONNECTION_FAILURE, fault=Fault.PEER, reason="it broke")
EVERYTHING = Query(unfinished=True)


async def act(box: Box, *actions: Action) -> None:
    for action in actions:
        await box.store.act(EVERYTHING, action, by="ann", reason="")


async def attempt(box: Box, work: Work, ended_by: Reply | Breakdown, *, dot: bool) -> Outcome:
    """Have an attempt fail, judged as by a deliverer."""
    now = box.clock.now()
    facts = AttemptFacts(
        peer=None,
        stage=Stage.DOT if dot else Stage.RCPT,
        reply=ended_by if isinstance(ended_by, Reply) else None,
        breakdown=None if isinstance(ended_by, Reply) else ended_by,
        dot_sent=dot,
        started_at=now,
        connect_for=timedelta(),
        transaction_for=timedelta(),
    )
    moment = Moment(received_at=work.message.began(now), now=now, jitter=0)
    outcome = decide(facts, work.recipients[0], RULES, moment=moment)
    await box.store.settle(work.lease, settlements_of(work, outcome))
    return outcome


def elsewhere(work: Work, way: Decision) -> Settlement:
    return rerouted(work, work.recipients[0], way, at=work.message.received_at)


ACTS: dict[str, tuple[Action, ...]] = {
    "expedite": (Action.EXPEDITE,),
    "hold and release": (Action.HOLD, Action.RELEASE),
    "all": (Action.EXPEDITE, Action.HOLD, Action.RELEASE, Action.EXPEDITE),
}


@pytest.mark.parametrize("actions", ACTS.values(), ids=ACTS)
async def test_the_one_retry_is_not_used_up(
    box: Box, worker: WorkerNumber, actions: tuple[Action, ...]
) -> None:
    """Mail that waits for its retry is tried now, refused again, and waits for it once more."""
    message = a_message(at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    await attempt(box, work, FULL, dot=False)
    for _ in range(3):
        await act(box, *actions)
        [work] = await box.claim(worker)
        await attempt(box, work, FULL, dot=False)
        assert box.row(message).status is Status.DEFERRED
        assert box.row(message).next_attempt_at == box.clock.now() + WAIT
    box.clock.advance(WAIT)
    [work] = await box.claim(worker)
    await attempt(box, work, FULL, dot=False)
    assert box.row(message).status is Status.BOUNCED, "its own retry is the last one"


LEFT_OPEN: dict[str, Callable[[Box, Work], Awaitable[object]]] = {
    "login refused": lambda box, work: box.store.settle(
        work.lease, settlements_of(work, NotTried(reason="no"))
    ),
    "rerouted": lambda box, work: box.store.settle(
        work.lease, [elsewhere(work, Decision(route=ViaMx("other.test")))]
    ),
    "handed back": lambda box, work: box.store.release(work.lease),
    "worker died": lambda box, _: registered(box.store, "after the crash", boot="next"),
}


@pytest.mark.parametrize("left", LEFT_OPEN.values(), ids=LEFT_OPEN)
async def test_what_ends_without_an_attempt_leaves_it_extra(
    box: Box, worker: WorkerNumber, left: Callable[[Box, Work], Awaitable[object]]
) -> None:
    """A reload, a restart, a crash, a refused login or a new route between the act and its attempt."""
    message = a_message(at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    await attempt(box, work, FULL, dot=False)
    await act(box, Action.EXPEDITE)
    [work] = await box.claim(worker)
    found = await left(box, work)
    worker = WorkerNumber(found) if isinstance(found, int) else worker
    [again] = await box.claim(worker)
    assert again.recipients[0].is_extra
    await attempt(box, again, FULL, dot=False)
    assert box.row(message).status is Status.DEFERRED


@pytest.mark.parametrize("how", ["operator", "content check", "routes"])
async def test_held_time_is_no_part_of_its_age(box: Box, worker: WorkerNumber, how: str) -> None:
    """Held for ten days, whoever did it: it has all of its five days after that, less what it had before."""
    message = a_message(at=box.clock.now())
    if how == "content check":
        message = replace(message, content_check=ContentCheck(score=9, reason="9", holds=True))
    works = await box.put(message, worker=worker, leased=True)
    box.clock.advance(DAY)
    if how == "routes":
        await box.store.settle(
            works[0].lease, [elsewhere(works[0], Decision(route=OnHold("x.test")))]
        )
    elif how == "operator":
        await box.store.release(works[0].lease)
        await act(box, Action.HOLD)
    held_at = timedelta() if how == "content check" else DAY
    box.clock.advance(10 * DAY)
    await act(box, Action.RELEASE)
    [work] = await box.claim(worker)
    [recipient] = work.recipients
    counted = work.message.age - recipient.uncounted
    assert abs(counted - held_at) < timedelta(seconds=1)
    await attempt(box, work, SILENT, dot=False)  # an extra one
    box.clock.advance(5 * DAY - held_at - timedelta(hours=1))
    [work] = await box.claim(worker)
    await attempt(box, work, SILENT, dot=False)
    assert box.row(message).status is Status.DEFERRED, "four days and some hours old"
    box.clock.advance(timedelta(hours=2))
    [work] = await box.claim(worker)
    await attempt(box, work, SILENT, dot=False)
    assert box.row(message).status is Status.BOUNCED, "give_up_after holds again"


STEPS = st.lists(
    st.sampled_from(["expedite", "hold", "release", "wait", "refused", "silent", "lost"]),
    max_size=30,
)


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_no_run_of_acts_ends_mail_before_its_own_attempts(
    opener: Callable[[Path], Box], steps: list[str]
) -> None:
    """Whatever operators do: mail bounces at an attempt of its own, a whole wait after the one before."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_run(opener(Path(folder)), steps))


async def _run(box: Box, steps: list[str]) -> None:
    worker = await registered(box.store, "worker")
    await box.put(a_message(at=box.clock.now()), worker=worker)
    failed_at = box.clock.now() - WAIT
    for step in steps:
        if step in ("expedite", "hold", "release"):
            await act(box, Action(step))
        elif step == "wait":
            box.clock.advance(timedelta(minutes=5))
            await box.store.reap()
        else:
            for work in await box.claim(worker):
                ended_by = FULL if step == "refused" else SILENT
                outcome = await attempt(box, work, ended_by, dot=step == "lost")
                if isinstance(outcome, Bounced):
                    assert not work.recipients[0].is_extra
                    assert box.clock.now() - failed_at >= WAIT, "it waited for its own attempt"
                failed_at = box.clock.now()
    await box.close()

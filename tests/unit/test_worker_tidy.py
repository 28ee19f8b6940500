"""What a worker deletes when it is old, and for how long the audit of the console is kept at least.

Of TLS sessions that are counted for reports, what is older than two days goes.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.ports.people import AuditQuery, Deed
from relayd.store.memory.queue import MemoryStore
from relayd.worker.housekeeping import tidy
from tests.support.clock import FakeClock
from tests.support.people import ROOT, a_session, an_account
from tests.support.post import eventually
from tests.support.tls_counts import a_tls_session

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("history", "kept"), [(DAY, ["89"]), (90 * DAY, ["89"]), (200 * DAY, ["91", "89"])]
)
async def test_the_audit_is_kept_like_the_history_and_for_90_days(
    history: timedelta, kept: list[str]
) -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    await store.people.add_account(an_account(), author=ROOT)
    await store.people.open_session(a_session(), author=ROOT)
    clock.advance(109 * DAY)
    await store.people.note(Deed("hold", "91"), author=ROOT)
    clock.advance(2 * DAY)
    await store.people.note(Deed("hold", "89"), author=ROOT)
    clock.advance(89 * DAY)
    async with asyncio.TaskGroup() as tasks:
        tidying = tasks.create_task(tidy(history, store, clock))
        await eventually(lambda: not store.people.sessions("anna"))
        tidying.cancel()
    rows = store.view.people.audit(AuditQuery(action="hold"), limit=9)
    assert sorted((row.target for row in rows), reverse=True) == kept


async def test_what_no_tls_report_told_in_time_is_deleted() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    today = a_tls_session()
    days = [replace(today, day=today.day - DAY * ago) for ago in range(5)]
    await store.trust.add_tls_results(dict.fromkeys(days, 1))
    async with asyncio.TaskGroup() as tasks:
        tidying = tasks.create_task(tidy(DAY, store, clock))
        await eventually(lambda: len(store.view.trust.tls_counts()) < len(days))
        tidying.cancel()
    assert set(store.view.trust.tls_counts()) == set(days[:3])

"""What every store must do with MTA-STS policies and counted TLS sessions."""

from dataclasses import replace
from datetime import date, timedelta

from relayd.mail.tls_count import CountedDomain, CountedPolicy, CountedSession, PolicyKind
from relayd.policy.tls.sts import StsEntry, StsMode, StsPolicy
from tests.support.builders import a_message
from tests.support.clock import START
from tests.support.stores import Box

DAY = timedelta(days=1)
POLICY = StsPolicy(
    mode=StsMode.ENFORCE, hosts=("mx.a.test", "*.b.test"), max_age=timedelta(days=7), id="1"
)
ENTRY = StsEntry(domain="a.test", policy=POLICY, fetched_at=START, used_at=START)
FAILED = StsEntry(
    domain="b.test",
    policy=None,
    fetched_at=START,
    used_at=START,
    not_before=START + timedelta(minutes=5),
    why="the MTA-STS policy cannot be fetched: it answers 404",
)
TODAY = date(2026, 11, 28)
STS = CountedPolicy(
    kind=PolicyKind.STS, domain="a.test", lines=("version: STSv1", "mode: enforce"), hosts=("*.x",)
)
NONE = CountedPolicy(kind=PolicyKind.NONE, domain="b.test")
GOOD = CountedSession(day=TODAY, policy=STS)
BAD = CountedSession(
    day=TODAY,
    policy=STS,
    result="certificate-expired",
    host="mx.a.test",
    source_ip="192.0.2.1",
    ip="2001:db8::1",
    reason="it has expired",
)


async def test_a_policy_is_kept(box: Box) -> None:
    trust = box.store.trust
    assert await trust.sts_policy("a.test") is None
    none = replace(ENTRY, domain="c.test", policy=replace(POLICY, mode=StsMode.NONE, hosts=()))
    for entry in (ENTRY, FAILED, none):
        await trust.keep_sts_policy(entry)
    for entry in (ENTRY, FAILED, none):
        assert await trust.sts_policy(entry.domain) == entry
        assert box.view.trust.kept_sts_policy(entry.domain) == entry
    assert box.view.trust.kept_sts_policy("d.test") is None


async def test_an_older_policy_changes_nothing(box: Box) -> None:
    """Two workers fetched at the same time, and the slower one has what was there before."""
    trust = box.store.trust
    box.advance(60)
    newer = replace(ENTRY, fetched_at=START + timedelta(seconds=60))
    await trust.keep_sts_policy(newer)
    await trust.keep_sts_policy(replace(ENTRY, policy=replace(POLICY, id="0")))
    assert await trust.sts_policy("a.test") == newer
    used = replace(newer, used_at=START + DAY)
    await trust.keep_sts_policy(used)
    await trust.keep_sts_policy(newer)
    assert await trust.sts_policy("a.test") == used, "it was used by somebody else"


async def test_a_policy_of_the_future_gives_way(box: Box) -> None:
    """The clock was set back since it was fetched."""
    trust = box.store.trust
    await trust.keep_sts_policy(replace(ENTRY, fetched_at=START + DAY))
    later = replace(ENTRY, policy=replace(POLICY, id="2"))
    await trust.keep_sts_policy(later)
    assert await trust.sts_policy("a.test") == later


async def test_each_policy_is_fetched_again_by_one(box: Box) -> None:
    trust = box.store.trust
    old = START - DAY
    await trust.keep_sts_policy(replace(ENTRY, fetched_at=old, used_at=old))
    await trust.keep_sts_policy(replace(ENTRY, domain="new.test"))
    await trust.keep_sts_policy(replace(FAILED, fetched_at=old - DAY, not_before=None))
    unused = START - timedelta(days=31)
    await trust.keep_sts_policy(
        replace(ENTRY, domain="unused.test", fetched_at=unused, used_at=unused)
    )
    await trust.keep_sts_policy(
        replace(ENTRY, domain="older.test", fetched_at=old - DAY, used_at=old)
    )
    resting = START + timedelta(seconds=1)
    await trust.keep_sts_policy(
        replace(ENTRY, domain="failed.test", fetched_at=old, not_before=resting)
    )
    assert [each.domain for each in await trust.due_sts_policies(1)] == ["older.test"]
    assert [each.domain for each in await trust.due_sts_policies(9)] == ["a.test"]
    assert list(await trust.due_sts_policies(9)) == []
    box.advance(300)
    due = [each.domain for each in await trust.due_sts_policies(9)]
    assert sorted(due) == ["a.test", "failed.test", "older.test"], "who had them may have died"


async def test_what_is_unused_is_forgotten(box: Box) -> None:
    trust = box.store.trust
    await trust.keep_sts_policy(ENTRY)
    await trust.keep_sts_policy(FAILED)
    await trust.keep_sts_policy(replace(ENTRY, domain="c.test", used_at=START + DAY))
    assert await trust.forget_sts_policies(START + DAY) == 2
    assert await trust.forget_sts_policies(START + DAY) == 0
    assert await trust.sts_policy("a.test") is None
    assert await trust.sts_policy("c.test") is not None


async def test_sessions_are_counted(box: Box) -> None:
    trust, tomorrow = box.store.trust, TODAY + DAY
    await trust.add_tls_results({GOOD: 3, BAD: 1})
    await trust.add_tls_results({GOOD: 4, replace(BAD, ip="192.0.2.9"): 1})
    await trust.add_tls_results({replace(GOOD, policy=NONE): 1, replace(BAD, day=tomorrow): 2})
    assert await trust.tls_results(TODAY, "a.test") == {
        GOOD: 7,
        BAD: 1,
        replace(BAD, ip="192.0.2.9"): 1,
    }
    assert await trust.tls_days(TODAY) == []
    of_today = [
        CountedDomain(day=TODAY, domain="a.test", failed=True),
        CountedDomain(day=TODAY, domain="b.test", failed=False),
    ]
    assert await trust.tls_days(tomorrow) == of_today
    assert len(await trust.tls_days(tomorrow + DAY)) == 3
    assert sum(box.view.trust.tls_counts().values()) == 12
    assert box.view.trust.tls_counts(tomorrow) == {replace(BAD, day=tomorrow): 2}
    shown = list(box.view.trust.tls_counts(TODAY))
    assert [each.policy.domain for each in shown] == ["a.test", "a.test", "a.test", "b.test"]
    assert shown[0] == GOOD


async def test_a_report_is_filed_once(box: Box) -> None:
    trust, report, again = box.store.trust, a_message(), a_message()
    await trust.add_tls_results({GOOD: 3, replace(GOOD, policy=NONE): 1})
    assert await trust.file_tls_report(TODAY, "a.test", [report])
    assert not await trust.file_tls_report(TODAY, "a.test", [again])
    assert not await trust.file_tls_report(TODAY - DAY, "b.test", [again])
    assert [row.message_id for row in box.rows()] == [report.id]
    assert list(box.view.trust.tls_counts()) == [replace(GOOD, policy=NONE)]
    assert await trust.file_tls_report(TODAY, "b.test", [])
    assert len(box.rows()) == 1


async def test_old_counts_go(box: Box) -> None:
    trust = box.store.trust
    await trust.add_tls_results({GOOD: 3, BAD: 1, replace(GOOD, day=TODAY - DAY): 1})
    assert await trust.forget_tls_results(TODAY) == 1
    assert await trust.forget_tls_results(TODAY) == 0
    assert len(box.view.trust.tls_counts()) == 2

"""What senders are told: of a bounce, of a delay and a success if they asked, by nobody twice."""

import email
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from email.message import Message

import pytest
from structlog.testing import capture_logs

from relayd.deliverer.reports import RecipientResult, Reporter
from relayd.mail.address import parse_address
from relayd.mail.envelope import NewMessage
from relayd.mail.operator import Action
from relayd.mail.outcome import Relayed
from relayd.policy.delivery.shares import NOTHING, Part
from relayd.policy.intake.aliases import aliases_of
from relayd.ports.view import Query, Status
from relayd.store.memory.queue import MemoryStore
from tests.support.builders import (
    CONTENT,
    a_bounce,
    a_facts,
    a_message,
    a_queued_message,
    a_queued_recipient,
    a_recipient,
)
from tests.support.clock import START, FakeClock
from tests.support.post import Post, a_post, a_reporter, eventually
from tests.support.scripted_server import Action as Says
from tests.support.scripted_server import Script, ScriptedServer

WITH_DSN, WITHOUT_DSN = {"EHLO": ["PIPELINING", "DSN"]}, {"EHLO": ["PIPELINING"]}
BUSY: Mapping[str, Says] = {"MAIL FROM:<app": "451 4.3.0 later"}
DAYS = timedelta(days=1)


def reports(post: Post, *originals: NewMessage) -> list[NewMessage]:
    assert isinstance(post.store, MemoryStore)
    known = {message.id for message in originals}
    return [one.new for one in post.store._tables.messages.values() if one.new.id not in known]


def the_reporter(post: Post) -> Reporter:
    reporter = post.scheduler._recorder._reporter
    assert reporter is not None
    return reporter


def fields(report: NewMessage) -> list[dict[str, str]]:
    """The groups of message/delivery-status behind the first, that of the message."""
    mail = email.message_from_bytes(report.content[:])
    status = mail.get_payload(1)
    assert isinstance(status, Message)
    groups = status.get_payload()
    assert isinstance(groups, list)
    return [dict(group.items()) for group in groups[1:]]  # type: ignore[union-attr]


def asking(notify: str, address: str = "a@x.test") -> NewMessage:
    return a_message(a_recipient(address, parameters={"NOTIFY": notify}))


async def test_a_bounce_is_reported_with_the_servers_words() -> None:
    script: dict[str, Says] = {"RCPT TO:<a@x": "550 5.1.1 no such user"}
    async with ScriptedServer(script) as server, a_post(server.port, reports=True) as post:
        message = await post.submit(a_message("a@x.test", "b@x.test"))
        await post.settled()
        [report] = reports(post, message)
        [about] = fields(report)
        assert (about["Final-Recipient"], about["Action"], about["Status"]) == (
            "rfc822; a@x.test",
            "failed",
            "5.1.1",
        )
        assert report.reverse_path is None
        told = post.sink.told
        assert told.index(("bounced", message.id)) < told.index(("received", report.id))
        await eventually(lambda: server.messages[-1].mail.startswith("FROM:<>"))


@pytest.mark.parametrize(
    ("sender", "told"),
    [
        ("root@relay.test", ["you@y.test", "colleague@y.test"]),
        ("Cron@relay.test", ["rest@y.test"]),
        ("app@app.test", ["app@app.test"]),
    ],
)
def test_a_report_to_a_name_of_this_machine_goes_where_its_mail_goes(
    sender: str, told: list[str]
) -> None:
    """Nobody reads the mail of root@ the relay itself."""
    aliases = aliases_of(
        {
            "root": (parse_address("you@y.test"), parse_address("colleague@y.test")),
            "*": (parse_address("rest@y.test"),),
        },
        fqdn="relay.test",
        host_name="relay",
        verp_domain="",
    )
    reporter = a_reporter(FakeClock(), aliases)
    message = replace(a_queued_message(), reverse_path=sender)
    result = RecipientResult(a_queued_recipient(), a_bounce(), None)
    report = reporter.report(message, [result], CONTENT, now=START)
    assert report is not None
    assert [str(each.address) for each in report.recipients] == told


@pytest.mark.parametrize("ret", [{}, {"RET": "FULL"}], ids=["ret-not-given", "ret-full"])
async def test_a_report_about_raw_octets_in_a_header_needs_no_extension(
    ret: dict[str, str],
) -> None:
    """S-36: what the original asked of nobody, its report does not ask either."""
    script: Script = {"EHLO": [], "RCPT TO:<a@x": "550 5.1.1 no such user"}
    content = "From: <app@app.test>\r\nSubject: Bestätigung\r\n\r\nhello\r\n".encode()
    original = a_message(
        "a@x.test",
        content=content,
        parameters=ret,
        facts=a_facts(content, is_8bit=True, utf8_headers=True),
    )
    async with ScriptedServer(script) as server, a_post(server.port, reports=True) as post:
        message = await post.submit(original)
        await post.settled()
        [report] = reports(post, message)
        assert report.content[:].isascii()
        assert report.parameters.words() == {}
        await eventually(lambda: server.messages[-1:] and server.messages[-1].mail == "FROM:<>")


async def test_a_report_does_not_say_that_a_server_said_what_we_say() -> None:
    """What the server lacks was read off its EHLO; the remedy is ours too (S-35)."""
    content = "Subject: x\r\n\r\nGrüße\r\n".encode()
    original = a_message("a@x.test", content=content, facts=a_facts(content, is_8bit=True))
    async with ScriptedServer({"EHLO": []}) as server, a_post(server.port, reports=True) as post:
        message = await post.submit(original)
        await post.settled()
        [report] = reports(post, message)
        [about] = fields(report)
        assert about["Status"] == "5.6.3"
        assert about["Diagnostic-Code"].startswith("x-relayd; the server takes no 8-bit text")
        assert b"assume_8bit" in report.content[:]
        assert b" said:" not in report.content[:]


@pytest.mark.parametrize(
    ("script", "notify", "told"),
    [
        pytest.param(WITHOUT_DSN, "SUCCESS,FAILURE", True, id="nobody else reports it"),
        pytest.param(WITH_DSN, "SUCCESS,FAILURE", False, id="the next hop reports it"),
        pytest.param(WITHOUT_DSN, "FAILURE", False, id="not asked for"),
        pytest.param(WITHOUT_DSN, "NEVER", False, id="not wanted"),
    ],
)
async def test_who_asked_is_told_that_it_was_passed_on(
    script: dict[str, Says], notify: str, *, told: bool
) -> None:
    """RFC 3461 section 5.2: what a next hop without DSN takes is "relayed", and the end of our news."""
    async with ScriptedServer(script) as server, a_post(server.port, reports=True) as post:
        message = await post.submit(asking(notify))
        await post.settled(message)
        assert post.row(message).status is Status.RELAYED
        assert [one["Action"] for each in reports(post, message) for one in fields(each)] == (
            ["relayed"] if told else []
        )


async def test_who_asked_is_told_once_that_it_takes_long() -> None:
    """With nothing remembered: by the attempt after which the next one comes too late."""
    async with ScriptedServer(BUSY) as server, a_post(server.port, reports=True) as post:
        message = await post.submit(asking("DELAY"))
        other = await post.submit(a_message("b@x.test"))
        await post.settled()
        for attempts in range(2, 12):
            post.advance(timedelta(minutes=31))
            await eventually(lambda n=attempts: post.row(message).attempts == n)  # type: ignore[misc]
            await eventually(lambda n=attempts: post.row(other).attempts == n)  # type: ignore[misc]
            await post.quiet()
        [report] = reports(post, message, other)
        [about] = fields(report)
        assert (about["Action"], about["Status"]) == ("delayed", "4.3.0")
        assert "Will-Retry-Until" in about


async def test_a_report_that_nobody_takes_is_given_up_after_a_day() -> None:
    """S-09, S-12: and nobody is told of that."""
    script: dict[str, Says] = {
        "RCPT TO:<a@x": "550 5.1.1 no such user",
        "MAIL FROM:<>": "451 4.3.0 later",
    }
    async with ScriptedServer(script) as server, a_post(server.port, reports=True) as post:
        message = await post.submit(a_message("a@x.test"))
        await post.settled(message)
        [report] = reports(post, message)
        await post.settled(report)
        assert post.row(report).status is Status.DEFERRED
        post.advance(DAYS)
        await eventually(lambda: post.row(report).status is Status.BOUNCED)
        assert reports(post, message, report) == []


async def test_a_clock_that_jumps_makes_no_mail_old() -> None:
    """S-10: nobody is told of a delay, nothing is given up, and age goes on from where it was."""
    async with ScriptedServer(BUSY) as server, a_post(server.port, reports=True) as post:
        message = await post.submit(asking("DELAY,FAILURE"))
        await post.settled(message)
        for attempts in range(2, 5):
            post.clock.jump(timedelta(days=6))
            post.advance(timedelta(minutes=31))
            await eventually(lambda n=attempts: post.row(message).attempts == n)  # type: ignore[misc]
            await post.quiet()
        assert post.row(message).status is Status.DEFERRED
        assert reports(post, message) == []
        post.advance(timedelta(days=5))
        await eventually(lambda: post.row(message).status is Status.BOUNCED)


async def test_an_operators_bounce_is_reported() -> None:
    async with ScriptedServer(BUSY) as server, a_post(server.port, reports=True) as post:
        message = await post.submit(a_message("a@x.test", "b@x.test"))
        await post.settled()
        reporter = a_reporter(post.clock)
        acted = await post.store.act(
            Query(message_id=message.id, recipient=("a@x.test",)),
            Action.BOUNCE,
            by="ann",
            reason="wrong list",
            report=lambda about, recipients, content, reason: reporter.report_given_up(
                about, recipients, content, reason=reason, now=post.clock.now()
            ),
        )
        [report] = acted.reports
        [about] = fields(report)
        assert about["Final-Recipient"] == "rfc822; a@x.test"
        assert "operator of this relay: wrong list" in " ".join(about["Diagnostic-Code"].split())
        assert b"Subject: Hello" in report.content[:], CONTENT
        post.scheduler.wake()
        await eventually(lambda: post.row(report).status is Status.RELAYED)


async def test_an_operators_bounce_of_null_mail_is_not_reported() -> None:
    async with a_post(1, reports=True) as post:
        reporter = a_reporter(post.clock)
        message = a_message("a@x.test", reverse_path="")
        await post.store.enqueue(message, worker=post.worker, lease_for=None)
        acted = await post.store.act(
            Query(message_id=message.id),
            Action.BOUNCE,
            by="ann",
            reason="",
            report=lambda about, recipients, content, reason: reporter.report_given_up(
                about, recipients, content, reason=reason, now=post.clock.now()
            ),
        )
        assert (len(acted.events), acted.reports) == (1, ())


async def test_reports_beyond_the_budget_are_told_in_one_line() -> None:
    """Of an operator who bounces thousands at once, and of whatever else bounced since the last line."""
    async with a_post(1, reports=True) as post:
        reporter = a_reporter(post.clock)
        senders = ["app@app.test"] * 120 + ["shop@app.test"] * 110
        for sender in senders:
            message = a_message("a@x.test", reverse_path=sender, auth_user="app")
            await post.store.enqueue(message, worker=post.worker, lease_for=None)
        with capture_logs() as logs:
            acted = await post.store.act(
                Query(unfinished=True),
                Action.BOUNCE,
                by="ann",
                reason="",
                report=lambda about, recipients, content, reason: reporter.report_given_up(
                    about, recipients, content, reason=reason, now=post.clock.now()
                ),
            )
            reporter.tell_unmailed()
            reporter.tell_unmailed()
        assert (len(acted.events), len(acted.reports)) == (230, 200)
        [line] = [one for one in logs if one["event"] == "report_not_mailed"]
        assert (line["reports"], line["senders"], line["from"], line["client"]) == (
            30,
            2,
            "app@app.test",
            "login app",
        )


@pytest.mark.parametrize("notify", ["FAILURE", "SUCCESS"])
@pytest.mark.parametrize(
    ("sender", "mailed"),
    [
        pytest.param("victim+{0}@v.test", 100, id="tags of one box"),
        pytest.param("victim{0}@v.test", 200, id="boxes of one domain"),
        pytest.param("victim@v{0}.test", 500, id="domains of one client"),
    ],
)
async def test_a_forged_sender_gets_few_reports(notify: str, sender: str, mailed: int) -> None:
    """Whatever they are about: of a thousand messages that one client hands in."""
    async with a_post(1, reports=True) as post:
        reporter, outcome = a_reporter(post.clock), Relayed() if notify == "SUCCESS" else a_bounce()
        recipient = a_queued_recipient(parameters={"NOTIFY": notify})
        told = [
            reporter.report(
                replace(a_queued_message(reverse_path=sender.format(number)), account="192.0.2.1"),
                [RecipientResult(recipient, outcome, None)],
                CONTENT,
                now=post.clock.now(),
            )
            for number in range(1000)
        ]
        assert sum(one is not None for one in told) == mailed


async def test_history_and_log_tell_which_bounces_were_not_reported() -> None:
    """One message is above the cap, and the recipient who wants no report is not said to lack one."""
    script: dict[str, Says] = {"RCPT TO:<": "550 5.1.1 no such user"}
    async with ScriptedServer(script) as server, a_post(server.port, reports=True) as post:
        the_reporter(post).divide_by(Part(0, 100))  # it may mail one to each box
        never = a_recipient("never@x.test", parameters={"NOTIFY": "NEVER"})
        messages = [a_message("a@x.test", "b@x.test", never) for _ in range(2)]
        for message in messages:
            await post.submit(message)
            await post.settled(message)
        assert len(reports(post, *messages)) == 1
        told = [
            (entry.recipient, entry.detail.get("unreported"))
            for message in messages
            for entry in post.view.history(message.id)
            if entry.kind == "bounced"
        ]
        assert told == [(0, None), (1, None), (2, None), (0, True), (1, True), (2, None)]


async def test_a_worker_that_others_do_not_count_reports_what_it_still_has() -> None:
    """It takes no mail then. What was under way bounces all the same, and an operator may bounce what waits."""
    async with a_post(1, reports=True) as post:
        reporter = a_reporter(post.clock)

        def report() -> NewMessage | None:
            results = [RecipientResult(a_queued_recipient(), a_bounce(), None)]
            return reporter.report(a_queued_message(), results, CONTENT, now=post.clock.now())

        reporter.divide_by(NOTHING)  # not yet
        assert None not in [report() for _ in range(2)]
        reporter.divide_by(Part(1, 2))
        assert None not in [report() for _ in range(8)]
        reporter.divide_by(NOTHING)  # no more
        assert [report() is None for _ in range(50)].count(True) == 10


async def test_the_next_report_says_how_many_were_not_mailed() -> None:
    async with a_post(1, reports=True) as post:
        reporter = a_reporter(post.clock)

        def report() -> NewMessage | None:
            message = a_queued_message()
            results = [RecipientResult(a_queued_recipient(), a_bounce(), None)]
            return reporter.report(message, results, CONTENT, now=post.clock.now())

        assert [report() is None for _ in range(130)].count(True) == 30
        post.clock.advance(timedelta(hours=1))
        [first, second] = [report(), report()]
        assert first is not None
        assert second is not None
        assert b"too many at once: 30." in b" ".join(first.content[:].split())
        assert b"too many at once" not in b" ".join(second.content[:].split())

"""Mail to a return path in the composition root: who is meant, what is logged, what is handed on."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from structlog.testing import capture_logs

from relayd.bounces.reader import Unreadable
from relayd.deliverer.leases import LEASE_FOR
from relayd.errors import (
    CommitUnknown,
    ReaderUnavailable,
    ReturnPathSpent,
    StoreBroken,
    StoreError,
    StoreUnavailable,
)
from relayd.logs.status import StatusLog
from relayd.mail.address import Address, parse_address
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId, format_id
from relayd.metrics.counters import Counters
from relayd.policy import verp
from relayd.policy.delivery.plan import ReturnPaths
from relayd.policy.delivery.route import RouteRules
from relayd.policy.inbound_bounce import ParsedBounce, parse_bounce
from relayd.policy.intake import admit
from relayd.policy.intake.aliases import aliases_of
from relayd.policy.pausing import Pausing
from relayd.ports.view import Query, QueueView, Status
from relayd.worker.events import Events
from relayd.worker.intake import Intake
from relayd.worker.late import LateBounces
from relayd.worker.parts import IdSource, Parts
from tests.support.builders import a_facts, a_message, settlements_of
from tests.support.clock import FakeClock
from tests.support.faulty_store import FaultyStore
from tests.support.post import Post, a_post, eventually
from tests.support.scripted_server import ScriptedServer
from tests.support.stores import open_sqlite
from tests.support.workers import a_registration

PATHS = ReturnPaths(domain="bounces.relay.test", key=bytes(range(32)))
QMAIL = (
    b"From: MAILER-DAEMON@mx.x.test\r\nSubject: failure notice\r\n\r\n"
    b"Hi. This is the qmail-send program at mx.x.test.\r\n"
    b"I'm afraid I wasn't able to deliver your message to the following addresses.\r\n"
    b"This is a permanent error; I've given up. Sorry it didn't work out.\r\n\r\n"
    b"<b@x.test>:\r\n192.0.2.1 does not like recipient.\r\n"
    b"Remote host said: 550 5.1.1 no such user\r\nGiving up on 192.0.2.1.\r\n"
)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def post(server: ScriptedServer) -> AsyncIterator[Post]:
    async with a_post(server.port, store=FaultyStore(FakeClock())) as post:
        yield post


@pytest.fixture
def status_log(tmp_path: Path) -> Path:
    return tmp_path / "status.log"


Parse = Callable[[bytes], Awaitable[ParsedBounce | Unreadable]]


async def read_here(mail: bytes) -> ParsedBounce:
    """What the child says; `tests/unit/bounces` has the child itself."""
    return parse_bounce(mail)


def late_of(post: Post, view: QueueView | None = None, parse: Parse = read_here) -> LateBounces:
    return LateBounces(
        paths=PATHS,
        view=view or post.view,
        parse=parse,
        routes=RouteRules(),
        clock=post.clock,
    )


def intake_of(post: Post, log: StatusLog, late: LateBounces | None) -> Intake:
    return Intake(
        Parts(
            post.store,
            post.view,
            post.worker,
            IdSource(a_registration(post.worker)),
            Events(log, Counters()),
            post.clock,
            Pausing(),
        ),
        post.scheduler,
        routes=RouteRules(),
        late=late,
    )


@pytest.fixture
async def intake(post: Post, status_log: Path) -> AsyncIterator[Intake]:
    with closing(StatusLog(str(status_log), node="node1")) as log:
        yield intake_of(post, log, late_of(post))


def path_of(message: NewMessage | MessageId, recipient: int = 0) -> Address:
    message_id = message.id if isinstance(message, NewMessage) else message
    return verp.encode(message_id, recipient, key=PATHS.key, domain=PATHS.domain)


async def relayed(post: Post, count: int = 3) -> NewMessage:
    message = a_message(*(f"{name}@x.test" for name in "abcdefghij"[:count]), tag="news")
    await post.submit(message)
    await post.settled(message)
    return message


def a_return(
    post: Post, message: NewMessage, recipient: int = 1, content: bytes = QMAIL, **facts: Any
) -> NewMessage:
    post.clock.advance(timedelta(minutes=1))
    return a_message(
        str(path_of(message, recipient)),
        at=post.clock.now(),
        reverse_path="",
        content=content,
        facts=a_facts(content, **facts),
    )


def takes(intake: Intake, address: Address) -> bool:
    """What RCPT says; a return path that is none is refused as such."""
    refusal = intake.refusal_of_return_path(address)
    assert refusal in (None, admit.NO_RETURN_PATH)
    return refusal is None


def lines_in(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_bytes().splitlines()]


async def test_a_bounce_is_recorded_logged_and_handed_on(
    intake: Intake, post: Post, server: ScriptedServer, status_log: Path
) -> None:
    message = await relayed(post)
    returned = a_return(post, message)
    await intake.submit(returned)
    await server.received(2)
    assert [post.row(message, number).status for number in range(3)] == [
        Status.RELAYED,
        Status.BOUNCED,
        Status.RELAYED,
    ]
    handed_on = server.messages[-1]
    assert handed_on.mail.startswith("FROM:<> ")
    assert handed_on.rcpts == ("TO:<app@app.test>",)
    assert handed_on.content == QMAIL
    await eventually(lambda: len(lines_in(status_log)) == 2)
    bounced, received = lines_in(status_log)
    assert (received["event"], received["from"], received["rcpt"]) == (
        "received",
        "",
        "app@app.test",
    )
    stored = dict(post.view.history(message.id)[-1].detail)
    assert {key: bounced[key] for key in stored} == stored, "store and log never disagree"
    assert stored | {"event": bounced["event"], "status": bounced["status"]} == {
        "event": "late_bounced",
        "status": "bounced",
        "bounce_class": "hard",
        "category": "bad_mailbox",
        "suppress": True,
        "enhanced": "5.1.1",
        "reason": stored["reason"],
        "fault": "peer",
    }
    assert "550 5.1.1 no such user" in str(stored["reason"])
    row = post.row(message, 1)
    about = {"from": "app@app.test", "rcpt": "b@x.test", "tag": "news", "size": row.size}
    assert {key: bounced[key] for key in about} == about


@pytest.mark.parametrize("redirect", ["b@x.test", "other@x.test", None])
async def test_a_bounce_of_a_redirect_proves_nothing_about_the_recipient(
    post: Post, status_log: Path, redirect: str | None
) -> None:
    """It names the address that `[redirect]` gave then, whatever the settings say by now. Nothing went to the recipient's."""
    message = a_message("a@x.test")
    [work] = await post.store.enqueue(message, worker=post.worker, lease_for=LEASE_FOR)
    taken = replace(settlements_of(work)[0], redirected_to="b@x.test")
    await post.store.settle(work.lease, [taken])
    with closing(StatusLog(str(status_log), node="node1")) as log:
        routes = RouteRules(redirect_to=parse_address(redirect) if redirect else None)
        late = replace(late_of(post), routes=routes)
        await intake_of(post, log, late).submit(a_return(post, message, 0))
    row = post.row(message)
    assert (row.status, row.suppress) == (Status.BOUNCED, False)
    assert post.view.history(message.id)[-1].detail["suppress"] is False
    assert not post.view.is_suppressed("a@x.test", sender="app@app.test")


DOUBTED = [
    pytest.param({"reverse_path": "mx@x.test"}, timedelta(), 1, "sender", id="from an address"),
    pytest.param({}, timedelta(), 0, "recipient", id="about another"),
    pytest.param({}, timedelta(days=14), 1, "age", id="too late"),
    pytest.param({}, timedelta(days=-30), 1, "age", id="the clock was set back"),
]


@pytest.mark.parametrize(("envelope", "later", "recipient", "why"), DOUBTED)
async def test_a_bounce_that_may_be_forged_changes_nothing_but_the_history(
    intake: Intake,
    post: Post,
    server: ScriptedServer,
    status_log: Path,
    envelope: dict[str, Any],
    later: timedelta,
    recipient: int,
    why: str,
) -> None:
    """Its copy is for the sender all the same."""
    message = await relayed(post)
    before = post.row(message, recipient)
    post.clock.jump(later)
    returned = replace(
        a_return(post, message, recipient),
        reverse_path=parse_address(envelope["reverse_path"]) if envelope else None,
    )
    await intake.submit(returned)
    assert post.row(message, recipient) == before
    assert not post.view.is_suppressed(before.address, sender=before.reverse_path)
    *_, last = post.view.history(message.id)
    assert (last.kind, last.detail["not_counted"], last.detail["suppress"]) == (
        "late_bounce_doubted",
        why,
        False,
    )
    await eventually(lambda: b'"late_bounce_doubted"' in status_log.read_bytes())
    [line] = [one for one in lines_in(status_log) if one["event"] == "late_bounce_doubted"]
    assert (line["not_counted"], line["rcpt"]) == (why, before.address)
    assert "status" not in line
    await server.received(2)
    assert server.messages[-1].content == QMAIL


async def test_a_flood_to_one_return_path_is_stopped_before_it_is_read(
    post: Post, status_log: Path
) -> None:
    read: list[bytes] = []

    async def noted(mail: bytes) -> ParsedBounce:
        read.append(mail)
        return parse_bounce(mail)

    message = await relayed(post)
    with closing(StatusLog(str(status_log), node="node1")) as log, capture_logs() as logged:
        intake = intake_of(post, log, late_of(post, parse=noted))
        first, later = ([a_return(post, message) for _ in range(count)] for count in (3, 5))
        for returned in first:
            await intake.submit(returned)
        assert intake.refusal_of_return_path(path_of(message, 1)) == admit.RETURN_PATH_BUSY
        assert intake.refusal_of_return_path(path_of(message, 0)) is None
        for returned in later:
            with pytest.raises(ReturnPathSpent):
                await intake.submit(returned)
        assert len(read) == 3
        post.clock.advance(timedelta(days=1))
        assert intake.refusal_of_return_path(path_of(message, 1)) is None
    [told] = [line for line in logged if line["event"] == "return_path_spent"]
    assert (told["queue_id"], told["rcpt"], told["mails"]) == (
        format_id(message.id),
        "b@x.test",
        3,
    )


@pytest.mark.parametrize(
    "signed", [b"", b"DKIM-Signature: v=1; d=x.test\r\n"], ids=["no", "signed"]
)
async def test_the_copy_shows_no_token_unless_that_breaks_a_signature(
    intake: Intake, post: Post, server: ScriptedServer, signed: bytes
) -> None:
    message = await relayed(post)
    token = str(path_of(message, 1)).encode()
    content = signed + QMAIL + b"\r\nReturn-Path: <%b>\r\n" % token
    await intake.submit(a_return(post, message, content=content))
    await server.received(2)
    handed_on = server.messages[-1].content
    assert len(handed_on) == len(content)
    assert (token in handed_on) == bool(signed)
    assert b"@bounces.relay.test" in handed_on


async def test_a_copy_for_a_name_of_this_machine_goes_where_its_mail_goes(
    post: Post, server: ScriptedServer, status_log: Path
) -> None:
    """As reports on it do."""
    aliases = aliases_of(
        {"app": (parse_address("you@x.test"), parse_address("me@y.test"))},
        fqdn="app.test",
        host_name="app",
        verp_domain=PATHS.domain,
    )
    message = await relayed(post)
    with closing(StatusLog(str(status_log), node="node1")) as log:
        late = replace(late_of(post), aliases=aliases)
        await intake_of(post, log, late).submit(a_return(post, message))
        await server.received(2)
    assert server.messages[-1].rcpts == ("TO:<you@x.test>", "TO:<me@y.test>")


async def test_a_reason_shows_no_token(intake: Intake, post: Post) -> None:
    message = await relayed(post)
    said = b"Remote host said: 550 5.1.1 no such user, from <%b>" % str(path_of(message)).encode()
    content = QMAIL.replace(b"Remote host said: 550 5.1.1 no such user", said)
    await intake.submit(a_return(post, message, content=content))
    row = post.row(message, 1)
    assert row.status is Status.BOUNCED
    *_, last = post.view.history(message.id)
    for reason in (row.reason, last.detail["reason"]):
        assert "b+*" in str(reason)
        assert path_of(message).local not in str(reason)


async def test_a_stranger_neither_steers_nor_labels_the_copy(intake: Intake, post: Post) -> None:
    """`X-Relayd-Test` and `X-Relayd-Tag` are an application's words, not those of a mail server."""
    message = await relayed(post)
    returned = a_return(post, message, is_test=True, tag="forged", is_8bit=True)
    await intake.submit(returned)
    assert post.row(returned).tag is None
    stored = post.store._tables.messages[returned.id]  # type: ignore[attr-defined]
    assert not stored.new.facts.is_test
    assert stored.new.facts.is_8bit


@pytest.mark.parametrize(
    "error", [StoreUnavailable("no"), CommitUnknown("who knows"), StoreBroken("the disk")]
)
async def test_what_is_not_durable_changes_nothing(
    intake: Intake, post: Post, status_log: Path, error: StoreError
) -> None:
    assert isinstance(post.store, FaultyStore)
    message = await relayed(post)
    before = post.rows()
    post.store.fail("note_late", error=error)
    with pytest.raises(type(error)):
        await intake.submit(a_return(post, message))
    assert post.rows() == before
    assert lines_in(status_log) == []
    if isinstance(error, StoreBroken):
        with pytest.raises(StoreBroken):  # which ends the worker, as with any other message
            await intake.broken
    else:
        assert not intake.broken.done()


async def test_an_unreadable_mail_says_nothing_and_is_handed_on(
    post: Post, server: ScriptedServer, status_log: Path
) -> None:
    async def too_long(mail: bytes) -> Unreadable:
        assert mail == QMAIL
        return Unreadable("it took too much processor time")

    message = await relayed(post)
    with closing(StatusLog(str(status_log), node="node1")) as log, capture_logs() as logged:
        intake = intake_of(post, log, late_of(post, parse=too_long))
        returned = a_return(post, message)
        await intake.submit(returned)
        await server.received(2)
    assert server.messages[-1].content == QMAIL
    assert post.row(message, 1).status is Status.RELAYED
    [told] = [line for line in logged if line["event"] == "bounce_unreadable"]
    assert told == {
        "event": "bounce_unreadable",
        "log_level": "warning",
        "fault": "peer",
        "queue_id": format_id(returned.id),
        "client_ip": returned.client.ip,
        "rcpt": "b@x.test",
        "reason": "it took too much processor time",
    }


async def test_what_nobody_can_read_now_changes_nothing(post: Post, status_log: Path) -> None:
    async def nobody(mail: bytes) -> ParsedBounce:
        raise ReaderUnavailable(f"{len(mail)} octets too many")

    message = await relayed(post)
    before = post.rows()
    with closing(StatusLog(str(status_log), node="node1")) as log:
        intake = intake_of(post, log, late_of(post, parse=nobody))
        with pytest.raises(ReaderUnavailable):
            await intake.submit(a_return(post, message))
    assert post.rows() == before
    assert lines_in(status_log) == []


async def test_a_message_forgotten_since_rcpt_is_told_to_come_again(
    intake: Intake, post: Post
) -> None:
    """Then RCPT refuses it for good; an assertion here would cut the session off."""
    message = await relayed(post)
    returned = a_return(post, message)
    assert takes(intake, returned.recipients[0].address)
    assert await post.store.purge(post.clock.now() + timedelta(seconds=1)) == 1
    with pytest.raises(StoreUnavailable):
        await intake.submit(returned)
    assert not takes(intake, returned.recipients[0].address)
    assert post.rows() == []


async def test_a_store_that_cannot_be_read_is_an_error_of_the_store(
    post: Post, status_log: Path, tmp_path: Path
) -> None:
    message = await relayed(post)
    box = open_sqlite(tmp_path)
    with apsw.Connection(str(tmp_path / "queue.db")) as db:
        db.execute("DROP TABLE recipient")
    db.close()
    with closing(StatusLog(str(status_log), node="node1")) as log:
        intake = intake_of(post, log, late_of(post, box.view))
        returned = a_return(post, message)
        with pytest.raises(StoreError):
            takes(intake, returned.recipients[0].address)
        with pytest.raises(StoreError):
            await intake.submit(returned)
    await box.close()


async def test_which_addresses_are_return_paths(intake: Intake, post: Post) -> None:
    message = await relayed(post)
    for number in range(3):
        path = path_of(message, number)
        assert intake.owns(path)
        assert takes(intake, path)
        shouted = parse_address(str(path).upper())
        assert intake.owns(shouted)
        assert takes(intake, shouted)
    others = {
        "of no recipient": path_of(message, 3),
        "of no message": path_of(MessageId(message.id + 1)),
        "of an older message": path_of(MessageId(message.id - 1)),
        "of another key": verp.encode(message.id, 0, key=bytes(32), domain=PATHS.domain),
        "of nobody": parse_address(f"postmaster@{PATHS.domain}"),
    }
    for what, path in others.items():
        assert intake.owns(path), what
        assert not takes(intake, path), what
    elsewhere = verp.encode(message.id, 0, key=PATHS.key, domain=f"x.{PATHS.domain}")
    assert not intake.owns(elsewhere)


async def test_without_a_domain_there_are_no_return_paths(post: Post, status_log: Path) -> None:
    message = await relayed(post)
    with closing(StatusLog(str(status_log), node="node1")) as log:
        intake = intake_of(post, log, None)
        assert not intake.owns(path_of(message))


async def test_the_right_recipient_of_many(post: Post) -> None:
    """One row is read, however many recipients the message has."""
    message = await relayed(post, count=10)
    late = late_of(post)
    found = [late.row_of(path_of(message, number)) for number in range(10)]
    assert found == sorted(post.view.find(Query(), limit=10), key=lambda row: row.recipient)

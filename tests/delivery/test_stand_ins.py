"""What the next host of a smarthost takes in place of one that works, and has put the mail off (S-59)."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from relayd.deliverer.nexthop import smarthost
from relayd.ports.view import Status
from tests.support.builders import a_facts, a_message
from tests.support.post import a_post, eventually
from tests.support.scripted_server import CLOSE, HANG, Action, InTurn, ScriptedServer, Wait

PUT_OFF: dict[str, dict[str, Action | list[str]]] = {
    "no room at MAIL": {"MAIL": "452 4.3.1 Insufficient system storage"},
    "trouble at RCPT": {"RCPT": "451 4.3.0 Temporary lookup failure"},
    "trouble at DATA": {"DATA": "451 4.3.0 try later"},
    "trouble after the dot": {"DOT": "451 4.3.2 queue file write error"},
}


@pytest.mark.parametrize("script", PUT_OFF.values(), ids=PUT_OFF)
async def test_the_next_host_takes_what_the_first_puts_off(
    script: dict[str, Action | list[str]],
) -> None:
    """S-59: it said nothing of the recipient, and it did not take the message."""
    async with (
        ScriptedServer(script) as bad,
        ScriptedServer() as good,
        a_post(bad.port, good.port) as post,
    ):
        with capture_logs() as told:
            messages = [await post.submit(a_message(f"{each}@x.test")) for each in "ab"]
            await post.settled()
        for message in messages:
            assert post.row(message).status is Status.RELAYED
            (tried, first), (done, last) = post.events(message)
            assert (tried, done) == ("attempted", "relayed")
            assert (first["remote_port"], last["remote_port"]) == (bad.port, good.port)
            assert not post.row(message).possible_duplicate
        assert len(good.messages) == 2
        assert bad.dialog[-1] == "QUIT"
        [line] = [each for each in told if each["event"] == "smarthost_host_failed"]
        assert line["remote_host"].endswith(f":{bad.port}")


SAID: dict[str, dict[str, Action | list[str]]] = {
    "a full inbox": {"RCPT": "452 4.2.2 mailbox full"},
    "no such user": {"RCPT": "550 5.1.1 no such user"},
    "a rate": {"MAIL": "450 4.7.1 Rate limit exceeded"},
}


@pytest.mark.parametrize("script", SAID.values(), ids=SAID)
async def test_what_a_host_says_of_the_recipient_or_the_account_holds(
    script: dict[str, Action | list[str]],
) -> None:
    async with (
        ScriptedServer(script) as first,
        ScriptedServer() as other,
        a_post(first.port, other.port) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await post.settled()
        assert post.row(message).status in {Status.DEFERRED, Status.BOUNCED}
        assert not other.dialog


async def test_what_all_hosts_put_off_waits() -> None:
    """For what each says itself; the destination goes on."""
    script: dict[str, Action | list[str]] = {"RCPT TO:<a@x": "451 4.3.0 trouble"}
    async with (
        ScriptedServer(script) as one,
        ScriptedServer(script) as other,
        a_post(one.port, other.port) as post,
    ):
        message = await post.submit(a_message("a@x.test", "b@x.test"))
        await post.settled()
        first, second = (post.row(message, number) for number in range(2))
        assert (first.status, second.status) == (Status.DEFERRED, Status.RELAYED)
        assert first.enhanced == "4.3.0"
        assert first.paused_until is None
        assert [one.messages[0].rcpts, other.messages] == [("TO:<b@x.test>",), []]
        assert one.dialog.count("RCPT TO:<a@x.test>") == 1
        assert other.dialog.count("RCPT TO:<a@x.test>") == 1


async def test_where_no_other_host_is_to_be_had_the_first_ones_word_counts(
    closed_port: int,
) -> None:
    async with (
        ScriptedServer({"MAIL": "452 4.3.1 no room"}) as full,
        a_post(full.port, closed_port) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await post.settled()
        row = post.row(message)
        assert (row.status, row.enhanced, row.paused_until) == (Status.DEFERRED, "4.3.1", None)


@pytest.mark.parametrize("script", [{}, {"GREETING": CLOSE}], ids=["works", "is down"])
async def test_a_login_that_the_first_host_wants_pauses_all(
    script: dict[str, Action | list[str]],
) -> None:
    """S-53: it is the login of them all."""
    async with (
        ScriptedServer({"MAIL": "530 5.7.0 Authentication required"}) as one,
        ScriptedServer(script) as other,
        a_post(one.port, other.port) as post,
    ):
        for _ in range(3):
            await post.submit(a_message("a@x.test"))
        await post.paused()
        await post.quiet()
        assert {(row.status, row.attempts) for row in post.rows()} == {(Status.QUEUED, 0)}
        assert [one.connections, other.connections] == [1, 0]


async def test_a_login_that_a_stand_in_wants_stops_nobody_else() -> None:
    """The host before it works, and its word counts."""
    async with (
        ScriptedServer({"RCPT TO:<a@x": "451 4.3.0 trouble"}) as works,
        ScriptedServer({"MAIL": "530 5.7.0 Authentication required"}) as other,
        a_post(works.port, other.port, connections=1) as post,
    ):
        put_off = await post.submit(a_message("a@x.test", "b@x.test"))
        await post.settled()
        after = await post.submit(a_message("c@x.test"))
        await post.settled()
        row = post.row(put_off)
        assert (row.status, row.enhanced, row.paused_until) == (Status.DEFERRED, "4.3.0", None)
        assert [kind for kind, _ in post.events(put_off)] == ["attempted", "deferred"]
        assert post.row(put_off, 1).status is Status.RELAYED
        assert post.row(after).status is Status.RELAYED


async def test_what_a_host_lacks_is_worth_waiting_for_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No later try at the first one will do; so the next may be slow, and may have failed lately."""
    monkeypatch.setattr(smarthost, "_STAND_IN_WITHIN", 0.01)
    let_in = asyncio.Event()
    async with (
        ScriptedServer({"EHLO": ["PIPELINING"]}) as small,
        ScriptedServer({"GREETING": Wait(let_in, "220 other.test ESMTP")}) as slow,
        a_post(small.port, slow.port) as post,
    ):
        content = "Subject: x\r\n\r\nGrüße\r\n".encode()
        message = await post.submit(
            a_message("a@x.test", content=content, facts=a_facts(content, is_8bit=True))
        )
        await eventually(lambda: slow.connections)
        asyncio.get_running_loop().call_later(0.1, let_in.set)
        await post.settled()
        assert post.row(message).status is Status.RELAYED


async def test_a_host_that_takes_no_mail_at_all_is_not_asked_for_each() -> None:
    """What it says to MAIL is about none of them: the next host goes on until it has nothing to do."""
    async with (
        ScriptedServer({"MAIL": "452 4.3.1 no room"}) as full,
        ScriptedServer() as other,
        a_post(full.port, other.port, connections=1) as post,
    ):
        for _ in range(5):
            await post.submit(a_message("a@x.test"))
        await post.settled()
        assert {row.status for row in post.rows()} == {Status.RELAYED}
        assert [full.connections, other.connections] == [1, 1]


async def test_each_search_for_a_host_has_its_own_five_minutes() -> None:
    """The second begins where a host that was found and has served fails."""
    script: dict[str, Action | list[str]] = {
        "RCPT TO:<b@x": InTurn("452 4.5.3 too many", "451 4.3.0 trouble"),
        "DOT": Wait(served := asyncio.Event(), "250 ok"),
    }
    async with (
        ScriptedServer({"GREETING": CLOSE}) as down,
        ScriptedServer(script) as slow,
        ScriptedServer() as third,
        a_post(down.port, slow.port, third.port) as post,
    ):
        message = await post.submit(a_message("a@x.test", "b@x.test"))
        await slow.received(1)
        post.clock.advance(timedelta(minutes=6))
        served.set()
        await post.settled()
        assert {post.row(message, number).status for number in range(2)} == {Status.RELAYED}
        assert [each.rcpts for each in third.messages] == [("TO:<b@x.test>",)]


async def test_a_silent_host_keeps_no_connection_from_one_that_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is given a moment, and left out for a while when that is over."""
    monkeypatch.setattr(smarthost, "_STAND_IN_WITHIN", 0.2)
    async with (
        ScriptedServer({"RCPT TO:<a@x": "451 4.3.0 trouble"}) as works,
        ScriptedServer({"GREETING": HANG}) as silent,
        a_post(works.port, silent.port, connections=1) as post,
    ):
        for _ in range(5):
            await post.submit(a_message("a@x.test"))
        good = await post.submit(a_message("b@x.test"))
        await post.settled()
        assert post.row(good).status is Status.RELAYED
        assert silent.connections == 1
        put_off = [row for row in post.rows() if row.message_id != good.id]
        assert {(row.status, row.enhanced) for row in put_off} == {(Status.DEFERRED, "4.3.0")}


async def test_the_first_host_has_the_next_mail_first() -> None:
    """They are tried in their order, for each mail anew."""
    async with (
        ScriptedServer({"RCPT TO:<a@x": "451 4.3.0 trouble"}) as first,
        ScriptedServer() as other,
        a_post(first.port, other.port, connections=1) as post,
    ):
        for name in "abcd":
            message = await post.submit(a_message(f"{name}@x.test"))
            await post.settled(message)
        assert [len(first.messages), len(other.messages)] == [3, 1]
        await eventually(lambda: other.dialog[-1] == "QUIT")


TWO_REPLIES: dict[str, Action | list[str]] = {
    "RCPT TO:<a@x": "451 4.3.0 <a@x.test>: lookup failed",
    "RCPT TO:<b@x": "450 4.7.1 <b@x.test>: greylisted",
}
AND_HANGS_UP: dict[str, Action | list[str]] = {
    "RCPT TO:<a@x": "451 4.3.0 <a@x.test>: lookup failed",
    "DATA": CLOSE,
}


@pytest.mark.parametrize("status", [Status.RELAYED, Status.DEFERRED])
async def test_each_recipient_has_the_reply_that_it_was_given(
    status: Status, closed_port: int
) -> None:
    """What was said of one is in no history, and no report, of another."""
    async with (
        ScriptedServer(TWO_REPLIES) as first,
        ScriptedServer() as other,
        a_post(first.port, closed_port if status is Status.DEFERRED else other.port) as post,
    ):
        message = await post.submit(a_message("a@x.test", "b@x.test"))
        await post.settled()
        for number, (name, enhanced) in enumerate([("a", "4.3.0"), ("b", "4.7.1")]):
            by_first = [
                detail
                for _, detail in post.events(message, number)
                if detail["remote_port"] == first.port
            ]
            assert [each["enhanced"] for each in by_first] == [enhanced]
            assert f"<{name}@x.test>" in str(by_first[0]["reply"])
            row = post.row(message, number)
            assert row.status is status
            assert status is Status.RELAYED or f"<{name}@x.test>" in str(row.reply)


async def test_who_was_put_off_before_the_session_broke_has_its_own_reply() -> None:
    async with (
        ScriptedServer(AND_HANGS_UP) as first,
        ScriptedServer() as other,
        a_post(first.port, other.port) as post,
    ):
        message = await post.submit(a_message("a@x.test", "b@x.test"))
        await post.settled()
        (_, put_off), _ = post.events(message, 0)
        (_, broken), _ = post.events(message, 1)
        assert (put_off["stage"], put_off["enhanced"]) == ("rcpt", "4.3.0")
        assert (broken["stage"], broken.get("reply")) == ("data", None)


async def test_who_has_its_turn_later_at_the_same_host_was_put_off_by_the_first_too() -> None:
    """And the first is not asked again in that attempt."""
    script: dict[str, Action | list[str]] = {
        "RCPT TO:<b@x": InTurn("452 4.5.3 too many", "451 4.3.0 trouble")
    }
    async with (
        ScriptedServer({"MAIL": "452 4.3.1 no room"}) as first,
        ScriptedServer(script) as other,
        a_post(first.port, other.port) as post,
    ):
        message = await post.submit(a_message("a@x.test", "b@x.test"))
        await post.settled()
        assert [each.split()[0] for each in first.dialog].count("MAIL") == 1
        ports = [
            [detail["remote_port"] for _, detail in post.events(message, number)]
            for number in range(2)
        ]
        assert ports == [[first.port, other.port]] * 2
        assert post.row(message, 1).status is Status.DEFERRED

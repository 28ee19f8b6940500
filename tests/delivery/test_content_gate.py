"""Asking a content checker: what it is shown, and what becomes of mail while it is down."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from structlog.testing import capture_logs

from relayd.errors import CheckerDown, ContentLost
from relayd.mail.envelope import Client, ContentCheck
from relayd.net.content import ContentGate, Sample, ask
from relayd.policy.intake.content import NOT_CHECKED, SPAM, Refusal
from relayd.settings import CheckerKind, HostPort, WhenDown
from tests.support.builders import CONTENT, a_message
from tests.support.checkers import FakeChecker, content_settings, rspamd_says, spamd_says
from tests.support.receiving import until

SAYS = {CheckerKind.RSPAMD: rspamd_says, CheckerKind.SPAMD: spamd_says}
on_both = pytest.mark.parametrize("kind", CheckerKind)


@on_both
async def test_a_score_comes_with_its_symbols(kind: CheckerKind) -> None:
    async with FakeChecker(SAYS[kind](12.5, {"BAYES_SPAM": 5.1, "GOOD": -1.0})) as checker:
        settings = content_settings(checker.endpoint, kind=kind)
        verdict = await ContentGate(settings).judge(a_message())
    assert verdict == ContentCheck(
        score=12.5, reason="content scored 12.5, held from 10 on: BAYES_SPAM 5.1", holds=True
    )
    assert [question.content for question in checker.questions] == [CONTENT]


@on_both
async def test_large_content_goes_out_in_pieces(kind: CheckerKind) -> None:
    content = b"x" * 999_998 + b"\r\n"
    async with FakeChecker(SAYS[kind](1.0)) as checker:
        settings = content_settings(checker.endpoint, kind=kind)
        assert (await ask(settings, Sample(content=content))).score == 1.0
    assert checker.questions[0].content == content


async def test_rspamd_is_told_the_envelope() -> None:
    message = replace(
        a_message("a@x.test", "b\u00fc@x.test", client_ip="192.0.2.7", auth_user="app\r\nX: y"),
        reverse_path=None,
    )
    async with FakeChecker(rspamd_says(1.0)) as checker:
        await ContentGate(content_settings(checker.endpoint)).judge(message)
    lines = checker.questions[0].head.split("\r\n")
    assert lines[0] == "POST /checkv2 HTTP/1.1"
    assert {"From: <>", "Rcpt: <a@x.test>", "Rcpt: <b\u00fc@x.test>"} <= set(lines)
    assert {"Ip: 192.0.2.7", "Helo: app.test", "User: app??X: y"} <= set(lines)


async def test_what_is_not_known_is_not_told() -> None:
    async with FakeChecker(rspamd_says(1.0)) as checker:
        await ask(content_settings(checker.endpoint), Sample(content=b"\r\n"))
    names = {line.partition(":")[0] for line in checker.questions[0].head.split("\r\n")[1:-2]}
    assert names == {"Host", "Connection", "Content-Length"}


async def test_a_client_on_a_unix_socket_has_no_address() -> None:
    message = a_message()
    message = replace(message, client=Client(ip="", helo="", listener="unix:x"))
    async with FakeChecker(rspamd_says(1.0)) as checker:
        await ContentGate(content_settings(checker.endpoint)).judge(message)
    assert "Ip:" not in checker.questions[0].head
    assert "Helo:" not in checker.questions[0].head


async def test_what_is_too_large_is_not_even_asked_about() -> None:
    async with FakeChecker(rspamd_says(100.0)) as checker:
        gate = ContentGate(content_settings(checker.endpoint, size_limit=len(CONTENT) - 1))
        verdict = await gate.judge(a_message())
    assert isinstance(verdict, ContentCheck)
    assert verdict.reason.startswith("not checked: larger than")
    assert not checker.questions


async def test_spam_is_refused() -> None:
    async with FakeChecker(rspamd_says(15.0)) as checker:
        verdict = await ContentGate(content_settings(checker.endpoint)).judge(a_message())
    assert isinstance(verdict, Refusal)
    assert verdict.reply == SPAM


# --- down ---------------------------------------------------------------------------------


async def a_closed_port() -> HostPort:
    async with FakeChecker() as checker:
        return checker.endpoint


@pytest.mark.parametrize("when_down", WhenDown)
async def test_nobody_there(when_down: WhenDown) -> None:
    endpoint = await a_closed_port()
    verdict = await ContentGate(content_settings(endpoint, when_down=when_down)).judge(a_message())
    reason = f"not checked: rspamd at {endpoint}: connection refused"
    if when_down is WhenDown.ACCEPT:
        assert verdict == ContentCheck(score=None, reason=reason)
    else:
        assert verdict == Refusal(reply=NOT_CHECKED, score=None, reason=reason)


DOWN = {
    "it hangs up": (b"", "not HTTP"),
    "it speaks SMTP": (b"220 hello\r\n", "not HTTP"),
    "it answers without end": (b"x" * (4 * 1024 * 1024 + 1), "too long"),
}


@pytest.mark.parametrize(("answer", "reason"), DOWN.values(), ids=DOWN)
async def test_what_is_no_answer(answer: bytes, reason: str) -> None:
    async with FakeChecker(answer) as checker:
        with pytest.raises(CheckerDown, match=reason):
            await ask(content_settings(checker.endpoint), Sample(content=CONTENT))


async def test_no_answer_in_time() -> None:
    async with FakeChecker(rspamd_says(1.0)) as checker:
        checker.gate = asyncio.Event()
        with pytest.raises(CheckerDown, match=r"no answer within 0\.05 s"):
            await ask(content_settings(checker.endpoint, timeout=0.05), Sample(content=CONTENT))


async def test_each_change_is_told_once() -> None:
    """Not each message; and the first answer tells that it is back."""
    async with FakeChecker() as checker:
        gate = ContentGate(content_settings(checker.endpoint))
        with capture_logs() as logs:
            for answer in (
                rspamd_says(1.0),
                b"",
                b"",
                b"",
                rspamd_says(1.0),
                rspamd_says(1.0),
                b"",
            ):
                checker.answer = answer
                await gate.judge(a_message())
    names = [line["event"] for line in logs]
    assert names == ["content_checker_down", "content_checker_up", "content_checker_down"]


async def test_while_it_is_silent_one_message_at_a_time_waits_for_it() -> None:
    async with FakeChecker() as checker:
        gate = ContentGate(content_settings(checker.endpoint))
        await gate.judge(a_message())
        checker.answer, checker.gate = rspamd_says(1.0), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            probe = tasks.create_task(gate.judge(a_message()))
            await until(lambda: checker.asking)
            verdicts = [await gate.judge(a_message()) for _ in range(20)]
            assert all(isinstance(each, ContentCheck) for each in verdicts)
            checker.gate.set()
        assert probe.result() is None
        assert await gate.judge(a_message()) is None
    assert len(checker.questions) == 3


async def test_a_few_questions_at_once() -> None:
    async with FakeChecker(rspamd_says(1.0)) as checker:
        checker.gate = asyncio.Event()
        gate = ContentGate(content_settings(checker.endpoint))
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(gate.judge(a_message())) for _ in range(30)]
            await until(lambda: len(checker.questions) == 8)
            checker.gate.set()
    assert checker.most == 8
    assert [task.result() for task in asked] == [None] * 30


# --- where it may be ------------------------------------------------------------------------

NAMES: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "this machine": ("127.0.0.1", (), ""),
    "listed": ("192.0.2.9", ("192.0.2.0/24",), ""),
    "neither": ("192.0.2.9", ("198.51.100.0/24",), "not in content.allow_networks"),
    "listed, by NAT64": ("64:ff9b::192.0.2.9", ("192.0.2.0/24",), ""),
    "the loopback of a NAT64 gateway": ("64:ff9b::127.0.0.1", (), "not in content.allow_networks"),
}


@pytest.mark.parametrize(("ip", "networks", "reason"), NAMES.values(), ids=NAMES)
async def test_a_name_is_judged_by_what_it_leads_to(
    monkeypatch: pytest.MonkeyPatch, ip: str, networks: tuple[str, ...], reason: str
) -> None:
    async with FakeChecker(rspamd_says(1.0)) as checker:
        loop, opened = asyncio.get_running_loop(), asyncio.open_connection

        async def found(host: str, port: int, **_: object) -> list[Any]:
            assert host == "checker.test"
            return [(2, 1, 6, "", (ip, port))]

        async def connect(host: str, port: int) -> Any:
            assert host == ip
            return await opened("127.0.0.1", port)

        monkeypatch.setattr(loop, "getaddrinfo", found)
        endpoint = replace(checker.endpoint, host="checker.test")
        settings = content_settings(
            endpoint, allow_networks=tuple(ip_network(each) for each in networks)
        )
        if reason:
            with pytest.raises(CheckerDown, match=reason):
                await ask(settings, Sample(content=CONTENT))
            return
        monkeypatch.setattr(loop, "getaddrinfo", found)
        monkeypatch.setattr(asyncio, "open_connection", connect)
        assert (await ask(settings, Sample(content=CONTENT))).score == 1.0


async def test_a_name_that_is_none() -> None:
    settings = content_settings(HostPort(host="nowhere.invalid..", port=1))
    with pytest.raises(CheckerDown, match="its name is not found"):
        await ask(settings, Sample(content=CONTENT))


class Unreadable:
    """Content whose file this machine cannot read."""

    head = b""

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, part: "slice[int | None, int | None, None]", /) -> bytes:
        raise ContentLost("/queue.db.content/X cannot be read: Permission denied")


async def test_what_this_machine_cannot_read_is_no_fault_of_the_checker() -> None:
    async with FakeChecker() as checker:
        gate = ContentGate(content_settings(checker.endpoint))
        with capture_logs() as logs:
            verdict = await gate.judge(a_message(content=Unreadable()))
    [line] = [line for line in logs if line["event"] == "content_checker_down"]
    assert line["fault"] == "local"
    assert "rspamd" not in str(line["reason"])
    assert verdict is not None

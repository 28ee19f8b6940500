"""One transaction against a next hop that behaves in every way: what is recorded for whom."""

import asyncio

import pytest

from relayd.mail.attempt import RouteKind
from relayd.mail.reply import Reply
from relayd.net.smtp.client import Delivery, Timers
from tests.support.builders import a_queued_message, a_queued_recipient
from tests.support.next_hop import PATIENT, all_seen, connected, deliver
from tests.support.scripted_server import (
    CLOSE,
    HANG,
    RESET,
    SWALLOW,
    Action,
    Drip,
    InTurn,
    Raw,
    Script,
    ScriptedServer,
    Wait,
)

STEP_BY_STEP: list[str] = ["SIZE 50000000", "8BITMIME", "SMTPUTF8", "DSN"]  # no PIPELINING
A, B, C = "a@x.test", "b@x.test", "c@x.test"

pipelined_or_not = pytest.mark.parametrize(
    "pipelining", [True, False], ids=["pipelined", "stepwise"]
)


def on(script: Script, *, pipelining: bool = True) -> ScriptedServer:
    return ScriptedServer(script if pipelining else {"EHLO": STEP_BY_STEP} | dict(script))


def reason_of(delivery: Delivery) -> str:
    breakdown = delivery.facts[0].breakdown
    assert breakdown is not None
    return breakdown.reason


@pipelined_or_not
async def test_a_message_is_delivered(*, pipelining: bool) -> None:
    async with on({}, pipelining=pipelining) as server, connected(server) as connection:
        delivery = await deliver(connection, A, B)
        assert all_seen(delivery) == [("dot", 250), ("dot", 250)]
        assert delivery.facts[0].reply == Reply(250, "2.0.0", ("2.0.0 queued",))
        assert delivery.facts[0].dot_sent
        assert delivery.facts[0].peer == connection.peer
        assert (delivery.not_tried, delivery.stale) == ((), False)
        assert connection.is_usable
        assert server.messages[0].rcpts == (f"TO:<{A}>", f"TO:<{B}>")
    assert server.dialog[-1] == "QUIT"


@pipelined_or_not
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize("code", [421, 450, 451, 499, 521, 530, 550, 552, 599])
async def test_a_refusal_is_recorded_with_its_stage(
    stage: str, code: int, *, pipelining: bool
) -> None:
    """A-43: by the first digit, whatever the code; only 421 ends the session."""
    script: Script = {stage: f"{code} no\nreally"}
    async with on(script, pipelining=pipelining) as server, connected(server) as connection:
        delivery = await deliver(connection)
        assert all_seen(delivery) == [(stage, code)]
        assert str(delivery.facts[0].reply) == f"{code} no really"
        assert delivery.facts[0].dot_sent == (stage == "dot")
        assert not delivery.stale
        assert connection.is_usable == (code != 421)


@pipelined_or_not
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize(
    ("action", "category"),
    [
        pytest.param(CLOSE, "connection_failure", id="close"),
        pytest.param(RESET, "connection_failure", id="reset"),
        pytest.param((Raw(b"250-half\r\n"), CLOSE), "connection_failure", id="half-a-reply"),
        pytest.param(Raw(b"25\r\n"), "protocol_error", id="short-code"),
        pytest.param(Raw(b"2500 x\r\n"), "protocol_error", id="long-code"),
        pytest.param(Raw(b"999 x\r\n"), "protocol_error", id="999"),
        pytest.param(Raw(b"550-no\r\n250 yes\r\n"), "protocol_error", id="mixed"),
        pytest.param(Raw(b"x" * 40_000), "protocol_error", id="endless-line"),
    ],
)
async def test_a_breakdown_is_recorded_with_its_stage(
    stage: str, action: Action, category: str, *, pipelining: bool
) -> None:
    """A-42, A-45. With pipelining a malformed reply voids the whole group."""
    async with (
        on({stage: action}, pipelining=pipelining) as server,
        connected(server) as connection,
    ):
        delivery = await deliver(connection)
        assert delivery.facts[0].breakdown is not None
        assert delivery.facts[0].breakdown.category.value == category
        assert delivery.facts[0].stage.value == stage
        assert delivery.facts[0].dot_sent == (stage == "dot")
        assert not delivery.stale
        assert not connection.is_usable


@pipelined_or_not
@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("mail", "no answer to MAIL within 0.4 s"),
        ("rcpt", "no answer to RCPT within 0.4 s"),
        ("data", "no answer to DATA within 0.4 s"),
        ("dot", "no answer to the final dot within 0.4 s"),
    ],
)
@pytest.mark.parametrize(
    "action",
    [pytest.param(HANG, id="silence"), pytest.param(Drip("250 slowly slowly", 0.05), id="drip")],
)
async def test_every_stage_has_a_deadline(
    stage: str, reason: str, action: Action, *, pipelining: bool
) -> None:
    """A-41: it is one for the whole reply, so that an octet now and then does not help."""
    server = on({stage: action}, pipelining=pipelining)
    limits = {"command": 0.4} if stage in ("mail", "rcpt") else {stage: 0.4}
    async with server, connected(server, timers=Timers(**limits)) as connection:
        delivery = await deliver(connection)
        assert all_seen(delivery) == [(stage, "connection_failure")]
        assert reason_of(delivery) == reason
        assert delivery.facts[0].dot_sent == (stage == "dot")


async def test_each_reply_has_the_whole_time() -> None:
    """The deadline of a pipelined group starts anew with every reply (S-46)."""
    script: Script = {"RCPT": Drip("250 ok", 0.05), "DATA": Drip("354 go", 0.05)}  # 0.4 s each
    timers = Timers(command=1, data=1)
    async with ScriptedServer(script) as server, connected(server, timers=timers) as connection:
        assert all_seen(await deliver(connection, A, B)) == [("dot", 250)] * 2


@pytest.mark.parametrize("code", [200, 250, 251, 252, 299])
async def test_any_2yz_to_the_dot_is_success(code: int) -> None:
    """A-45: by the first digit; what is taken for a failure would be sent again for ever."""
    async with ScriptedServer({"DOT": f"{code}"}) as server, connected(server) as connection:
        assert all_seen(await deliver(connection)) == [("dot", code)]


@pipelined_or_not
@pytest.mark.parametrize(
    ("stage", "code"), [("mail", 354), ("rcpt", 354), ("data", 250), ("data", 220), ("dot", 354)]
)
async def test_a_reply_of_the_wrong_kind_is_a_violation(
    stage: str, code: int, *, pipelining: bool
) -> None:
    """A-45: 250 to DATA and its like; no content is sent, and the connection is closed."""
    script: Script = {stage: f"{code} what"}
    async with on(script, pipelining=pipelining) as server, connected(server) as connection:
        delivery = await deliver(connection)
        assert all_seen(delivery) == [(stage, "protocol_error")]
        assert not connection.is_usable
        assert len(server.messages) <= (stage in ("data", "dot"))


@pipelined_or_not
async def test_220_to_mail_is_a_yes(*, pipelining: bool) -> None:
    server = on({"MAIL": "220 hm"}, pipelining=pipelining)
    async with server, connected(server) as connection:
        assert all_seen(await deliver(connection)) == [("dot", 250)]


@pipelined_or_not
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
async def test_a_reply_too_many_is_never_a_success(stage: str, *, pipelining: bool) -> None:
    """A-46: two replies in one segment in front of the dot; nobody can tell what the others answer."""
    yes = "354 go" if stage == "data" else "250 ok"
    server = on({stage: (yes, "250 and another one")}, pipelining=pipelining)
    async with server, connected(server) as connection:
        delivery = await deliver(connection)
        assert delivery.facts[0].breakdown is not None
        assert delivery.facts[0].breakdown.category.value == "protocol_error"
        assert not connection.is_usable


async def test_replies_out_of_step_accuse_nobody() -> None:
    """With one 250 too many in front, the refusal of `a` would fall on `b` (HC-01)."""
    script: Script = {"MAIL": ("250 ok", "250 twice"), f"RCPT TO:<{A}>": "550 5.1.1 no such user"}
    async with ScriptedServer(script) as server, connected(server) as connection:
        assert all_seen(await deliver(connection, A, B)) == [("data", "protocol_error")] * 2


async def test_replies_out_of_step_say_what_they_can_only_say_of_one() -> None:
    """The first recipient's refusal was said of nobody else; of the others nothing is known."""
    script: Script = {f"RCPT TO:<{A}>": ("550 5.1.1 no such user", "250 ok")}
    async with ScriptedServer(script) as server, connected(server) as connection:
        delivery = await deliver(connection, A, B, C)
        assert all_seen(delivery) == [("rcpt", 550), *[("data", "protocol_error")] * 2]


async def test_a_server_that_leaves_after_its_250_has_taken_the_message() -> None:
    """A 421 in the same segment takes nothing back; it only ends the connection."""
    script: Script = {"DOT": ("250 2.0.0 ok", "421 4.7.0 enough for one connection")}
    async with ScriptedServer(script) as server, connected(server) as connection:
        assert all_seen(await deliver(connection)) == [("dot", 250)]
        assert not connection.is_usable


@pipelined_or_not
async def test_every_recipient_has_its_own_reply(*, pipelining: bool) -> None:
    """S-08: never inferred from another one."""
    script: Script = {
        f"RCPT TO:<{A}>": "550 5.1.1 unknown",
        f"RCPT TO:<{C}>": "450 4.2.0 greylisted",
    }
    async with on(script, pipelining=pipelining) as server, connected(server) as connection:
        delivery = await deliver(connection, A, B, C)
        assert all_seen(delivery) == [("rcpt", 550), ("dot", 250), ("rcpt", 450)]
        assert server.messages[0].rcpts == (f"TO:<{B}>",)


@pipelined_or_not
@pytest.mark.parametrize(
    ("action", "rest"),
    [
        pytest.param("421 4.3.2 bye", ("rcpt", 421), id="421"),
        pytest.param(CLOSE, ("rcpt", "connection_failure"), id="close"),
    ],
)
async def test_what_was_refused_before_the_end_stays_refused(
    action: Action, rest: tuple[str, int | str], *, pipelining: bool
) -> None:
    """The end of the session is for those who had no verdict, the accepted ones included."""
    script: Script = {f"RCPT TO:<{A}>": "550 5.1.1 unknown", f"RCPT TO:<{C}>": action}
    async with on(script, pipelining=pipelining) as server, connected(server) as connection:
        assert all_seen(await deliver(connection, A, B, C)) == [("rcpt", 550), rest, rest]
        assert not server.messages


@pipelined_or_not
@pytest.mark.parametrize(
    ("reply", "not_tried"),
    [
        pytest.param("452 4.5.3 too many recipients", (1, 2), id="452"),
        pytest.param("552 too many recipients", (1, 2), id="552-plain"),
        pytest.param("552 5.5.3 too many recipients", (1, 2), id="552-5.5.3"),
        pytest.param("552 5.2.2 mailbox full", (), id="552-mailbox"),
        pytest.param("552 5.3.4 too big", (), id="552-size"),
        pytest.param("450 4.2.0 later", (), id="450"),
    ],
)
async def test_too_many_recipients_go_in_the_next_transaction(
    reply: str, not_tried: tuple[int, ...], *, pipelining: bool
) -> None:
    """S-15, S-19: 452 behind an accepted RCPT, and a 552 that can mean the same."""
    script: Script = {"RCPT": InTurn("250 ok", reply, reply, "250 ok")}
    async with on(script, pipelining=pipelining) as server, connected(server) as connection:
        delivery = await deliver(connection, A, B, C)
        code = int(reply[:3])
        assert all_seen(delivery) == [("dot", 250), ("rcpt", code), ("rcpt", code)]
        assert delivery.not_tried == not_tried
        assert all_seen(await deliver(connection, B, C)) == [("dot", 250)] * 2


async def test_452_in_front_of_all_others_is_an_answer() -> None:
    async with ScriptedServer({"RCPT": "452 4.5.3 no"}) as server, connected(server) as connection:
        delivery = await deliver(connection, A, B)
        assert (all_seen(delivery), delivery.not_tried) == ([("rcpt", 452)] * 2, ())


@pytest.mark.parametrize("dot", ["250 ok", "554 no recipients", "421 bye"])
@pytest.mark.parametrize("refused", ["RCPT", "MAIL"])
async def test_354_for_nobody_gets_a_lone_dot(refused: str, dot: str) -> None:
    """A server that wants content although it accepted no recipient gets none."""
    script: Script = {refused: "550 5.1.1 no", "DATA": "354 go", "DOT": dot}
    async with ScriptedServer(script) as server, connected(server) as connection:
        delivery = await deliver(connection)
        assert all_seen(delivery) == [(refused.lower(), 550)]
        assert not delivery.facts[0].dot_sent
        assert server.messages[0].content == b""


@pipelined_or_not
async def test_a_refused_transaction_is_reset_before_the_next(*, pipelining: bool) -> None:
    script: Script = {"RCPT": InTurn("550 5.1.1 no", "250 ok")}
    async with on(script, pipelining=pipelining) as server, connected(server) as connection:
        await deliver(connection)
        assert all_seen(await deliver(connection)) == [("dot", 250)]
        assert all_seen(await deliver(connection)) == [("dot", 250)]
        verbs = [line.split(" ")[0] for line in server.dialog]
        assert verbs.count("RSET") == 1
        assert connection.transactions == 3


@pipelined_or_not
@pytest.mark.parametrize(
    "script",
    [
        pytest.param({"DOT": ("250 ok", CLOSE)}, id="closed-while-idle"),
        pytest.param({"DOT": ("250 ok", RESET)}, id="reset-while-idle"),
        pytest.param({"MAIL": InTurn("250 ok", CLOSE)}, id="closed-at-mail"),
        pytest.param({"MAIL": InTurn("250 ok", "421 4.4.2 idle too long")}, id="421-at-mail"),
        pytest.param({"RCPT": "550 no", "RSET": CLOSE}, id="closed-at-rset"),
        pytest.param({"RCPT": "550 no", "RSET": "421 bye"}, id="421-at-rset"),
        pytest.param({"RCPT": "550 no", "RSET": "503 no"}, id="rset-refused"),
        pytest.param({"MAIL": InTurn("250 ok", Raw(b"junk\r\n"))}, id="junk-at-mail"),
    ],
)
async def test_a_reused_connection_that_is_dead_is_stale(
    script: Script, *, pipelining: bool
) -> None:
    """HC-15: dead before it answered MAIL is no attempt."""
    async with on(script, pipelining=pipelining) as server, connected(server) as connection:
        assert not (await deliver(connection)).stale
        delivery = await deliver(connection)
        assert delivery.stale
        assert not connection.is_usable
        assert not delivery.facts[0].dot_sent
        assert delivery.facts[0].stage.value == "mail"
        assert (await deliver(connection)).stale


@pytest.mark.parametrize(
    "action", [pytest.param(CLOSE, id="close"), pytest.param("421 4.3.2 bye", id="421")]
)
async def test_only_a_reused_connection_is_stale(action: Action) -> None:
    async with ScriptedServer({"MAIL": action}) as server, connected(server) as connection:
        assert not (await deliver(connection)).stale


@pytest.mark.parametrize("stage", ["rcpt", "data"])
async def test_a_connection_that_answered_mail_is_not_stale(stage: str) -> None:
    script: Script = {stage: InTurn("354 go" if stage == "data" else "250 ok", CLOSE)}
    async with ScriptedServer(script) as server, connected(server) as connection:
        await deliver(connection)
        assert not (await deliver(connection)).stale


@pipelined_or_not
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
@pytest.mark.parametrize("code", [500, 501, 502, 503, 504])
async def test_a_session_that_understands_no_more_is_stale(
    stage: str, code: int, *, pipelining: bool
) -> None:
    """S-15: on a reused connection that is about the session; we leave it, and not without QUIT."""
    good = "354 go" if stage == "data" else "250 ok"
    script: Script = {stage: InTurn(good, f"{code} 5.5.0 too many messages in this session")}
    async with on(script, pipelining=pipelining) as server, connected(server) as connection:
        assert not (await deliver(connection)).stale
        assert (await deliver(connection)).stale
        assert not connection.is_usable
        assert server.dialog[-1] == "QUIT"
        async with connected(server) as fresh:  # only there it counts
            delivery = await deliver(fresh)
            assert (all_seen(delivery), delivery.stale) == ([(stage, code)], False)


async def test_at_the_dot_such_a_reply_is_about_the_content() -> None:
    script: Script = {"DOT": InTurn("250 ok", "500 5.0.0 line too long")}
    async with ScriptedServer(script) as server, connected(server) as connection:
        await deliver(connection)
        delivery = await deliver(connection)
        assert (all_seen(delivery), delivery.stale) == ([("dot", 500)], False)


@pipelined_or_not
async def test_who_was_not_understood_is_not_tried_yet(*, pipelining: bool) -> None:
    """The others have their answers, of which none is lost."""
    script: Script = {
        f"RCPT TO:<{A}>": "503 5.5.1 bad sequence of commands",
        f"RCPT TO:<{C}>": "550 5.1.1 no such user",
    }
    async with on(script, pipelining=pipelining) as server, connected(server) as connection:
        await deliver(connection)
        delivery = await deliver(connection, A, B, C)
        assert all_seen(delivery) == [("rcpt", 503), ("dot", 250), ("rcpt", 550)]
        assert (delivery.not_tried, delivery.stale) == ((0,), False)
        assert not connection.is_usable


async def test_a_late_reply_accuses_nobody() -> None:
    """It stood for MAIL, which can be told from the answers being one too many."""
    script: Script = {"MAIL": InTurn("250 ok", ("550 5.1.1 late", "250 ok"))}
    async with ScriptedServer(script) as server, connected(server) as connection:
        await deliver(connection)
        assert (await deliver(connection)).stale


async def test_a_late_reply_makes_an_idle_connection_unusable() -> None:
    """A-46: what nobody asked for never answers the next command."""
    late = asyncio.Event()
    script: Script = {"DOT": ("250 ok", Wait(late, "250 late"))}
    async with ScriptedServer(script) as server, connected(server) as connection:
        assert all_seen(await deliver(connection)) == [("dot", 250)]
        usable = [connection.is_usable]
        late.set()
        await connection._protocol.wait_closed()
        usable.append(connection.is_usable)
        assert usable == [True, False]
        assert (await deliver(connection)).stale


@pytest.mark.parametrize(
    ("extensions", "message", "content", "expected"),
    [
        pytest.param(["SIZE 1"], {}, b"abc\r\n", ("mail", 552, "5.3.4"), id="size"),
        pytest.param([], {"is_8bit": True}, b"\xff\r\n", ("mail", 554, "5.6.3"), id="8bit"),
        pytest.param(
            ["8BITMIME"],
            {"utf8_headers": True, "is_8bit": True, "parameters": {"SMTPUTF8": ""}},
            "Subject: ü\r\n\r\n".encode(),
            ("mail", 554, "5.6.7"),
            id="utf8-header",
        ),
        pytest.param(
            [], {"reverse_path": "jörg@x.test"}, b"", ("mail", 554, "5.6.7"), id="utf8-sender"
        ),
    ],
)
async def test_what_the_server_cannot_take_is_not_sent(
    extensions: list[str],
    message: dict[str, object],
    content: bytes,
    expected: tuple[str, int, str],
) -> None:
    """A-48, S-35, S-36: our own refusal, which says that it is ours."""
    async with ScriptedServer({"EHLO": extensions}) as server, connected(server) as connection:
        queued = a_queued_message(**message)  # type: ignore[arg-type]  # as the table says
        facts = (await deliver(connection, content=content, message=queued)).facts[0]
        assert facts.reply is not None
        assert (facts.stage.value, facts.reply.code, facts.reply.enhanced) == expected
        assert "relayd" in facts.reply.text
        assert server.dialog == ["EHLO relay.test"]
        assert connection.is_usable
        assert connection.transactions == 0


HEADER_ALONE = "Subject: ü\r\n\r\nhello\r\n".encode()
BODY_TOO = "Subject: ü\r\n\r\nhellö\r\n".encode()
IN_BODY = "Subject: u\r\n\r\nhellö\r\n".encode()
LONG = b"X: \xff\r\n\r\n" + b"x" * (1 << 20) + b"\xff\r\n"


@pytest.mark.parametrize(
    ("content", "parameters", "sender", "recipients", "asked"),
    [
        pytest.param(HEADER_ALONE, {}, "a@x.test", [A], "", id="raw-header"),
        pytest.param(BODY_TOO, {}, "a@x.test", [A], " BODY=8BITMIME", id="raw-header-and-body"),
        pytest.param(LONG, {}, "a@x.test", [A], " BODY=8BITMIME", id="far-down"),
        pytest.param(IN_BODY, {"SMTPUTF8": ""}, "a@x.test", [A], " BODY=8BITMIME", id="no-need"),
        pytest.param(b"x\r\n", {"SMTPUTF8": ""}, "a@x.test", [A], "", id="ascii"),
        pytest.param(HEADER_ALONE, {"SMTPUTF8": ""}, "a@x.test", [A], " SMTPUTF8", id="header"),
        pytest.param(b"x\r\n", {}, "ü@x.test", [A], " SMTPUTF8", id="sender"),
        pytest.param(b"x\r\n", {}, "a@x.test", [A, "ü@x.test"], " SMTPUTF8", id="recipient"),
        pytest.param(HEADER_ALONE, {}, "a@ü.test", ["b@ö.test"], "", id="domains-as-a-labels"),
    ],
)
async def test_nothing_is_asked_for_that_nothing_needs(
    content: bytes,
    parameters: dict[str, str],
    sender: str,
    recipients: list[str],
    asked: str,
) -> None:
    """S-36: what we ask of a server, it has to ask of the next one, which may not offer it."""
    header, _, body = content.partition(b"\r\n\r\n")
    message = a_queued_message(
        reverse_path=sender,
        parameters=parameters,
        is_8bit=not content.isascii(),
        utf8_headers=bool(body) and not header.isascii(),
    )
    async with ScriptedServer() as server, connected(server) as connection:
        delivery = await deliver(connection, *recipients, content=content, message=message)
        assert set(all_seen(delivery)) == {("dot", 250)}
        size = f" SIZE={len(content)}"
        assert server.messages[0].mail.partition(">")[2] == size + asked
        assert server.messages[0].content == content


@pytest.mark.parametrize("offered", [[], ["8BITMIME"], ["SMTPUTF8"]])
async def test_raw_octets_in_a_header_go_as_they_came(offered: list[str]) -> None:
    """S-35, S-36: they are no 8-bit body, and no claim to be UTF-8."""
    content = b"Subject: \xfc\r\n\r\nhello\r\n"
    message = a_queued_message(is_8bit=True, utf8_headers=True)
    async with ScriptedServer({"EHLO": offered}) as server, connected(server) as connection:
        delivery = await deliver(connection, content=content, message=message)
        assert all_seen(delivery) == [("dot", 250)]
        assert server.messages[0].mail == "FROM:<app@app.test>"
        assert server.messages[0].content == content


@pytest.mark.parametrize(
    ("address", "orcpt"),
    [
        pytest.param("jörg@x.test", "utf-8;jörg@x.test", id="asked-for-smtputf8"),
        pytest.param("a@x.test", "utf-8;j\\x{F6}rg@x.test", id="not-asked"),
    ],
)
async def test_an_original_recipient_is_escaped_where_smtputf8_is_not_asked_for(
    address: str, orcpt: str
) -> None:
    """RFC 6533 §3."""
    recipient = a_queued_recipient(address, parameters={"ORCPT": "utf-8;jörg@x.test"})
    async with ScriptedServer() as server, connected(server) as connection:
        await connection.deliver(a_queued_message(), [recipient], b"x\r\n")
        assert server.messages[0].rcpts == (f"TO:<{address}> ORCPT={orcpt}",)


@pytest.mark.parametrize(
    ("content", "parameters", "sender", "addresses", "seen"),
    [
        pytest.param(IN_BODY, {}, "a@x.test", [A], [("dot", 250)], id="8-bit-body"),
        pytest.param(
            BODY_TOO, {"SMTPUTF8": ""}, "a@x.test", [A], [("dot", 250)], id="header-for-smtputf8"
        ),
        pytest.param(IN_BODY, {}, "ü@x.test", [A], [("mail", 554)], id="sender-beyond-ascii"),
        pytest.param(
            *(IN_BODY, {}, "a@x.test", [A, "ü@x.test"], [("dot", 250), ("rcpt", 554)]),
            id="recipient-beyond-ascii",
        ),
    ],
)
async def test_what_is_said_to_take_8_bit_is_given_it(
    content: bytes,
    parameters: dict[str, str],
    sender: str,
    addresses: list[str],
    seen: list[tuple[str, int]],
) -> None:
    """S-35, S-36: `assume_8bit`. Content goes as it is, without a parameter; an address never does."""
    message = a_queued_message(
        reverse_path=sender,
        parameters=parameters,
        is_8bit=True,
        utf8_headers=content is BODY_TOO,
    )
    async with ScriptedServer({"EHLO": []}) as server, connected(server, assume_8bit=True) as it:
        delivery = await deliver(it, *addresses, content=content, message=message)
        assert all_seen(delivery) == seen
        assert [one.content for one in server.messages] == [content] * (seen[0][0] == "dot")
        assert {one.mail for one in server.messages} <= {f"FROM:<{sender}>"}


@pytest.mark.parametrize("route", RouteKind)
@pytest.mark.parametrize(
    ("content", "parameters", "sender", "helps"),
    [
        pytest.param(IN_BODY, {}, "a@x.test", True, id="8-bit-body"),
        pytest.param(HEADER_ALONE, {"SMTPUTF8": ""}, "a@x.test", True, id="header"),
        pytest.param(b"x\r\n", {}, "ü@x.test", False, id="address"),
    ],
)
async def test_a_refusal_of_ours_names_the_setting_that_would_help(
    content: bytes, parameters: dict[str, str], sender: str, route: RouteKind, *, helps: bool
) -> None:
    message = a_queued_message(
        reverse_path=sender,
        parameters=parameters,
        is_8bit=not content.isascii(),
        utf8_headers=content is HEADER_ALONE,
    )
    async with ScriptedServer({"EHLO": []}) as server, connected(server, route=route) as it:
        facts = (await deliver(it, content=content, message=message)).facts[0]
        assert facts.own_refusal
        assert ("assume_8bit" in facts.own_refusal) == (helps and route is RouteKind.SMARTHOST)


async def test_only_the_recipient_that_needs_smtputf8_is_refused() -> None:
    """S-36; an IDN domain in an otherwise ASCII message goes as A-label, and `ß` survives."""
    addresses = ("a@faß.test", "jörg@x.test", '"b c"@x.test')
    async with ScriptedServer({"EHLO": []}) as server, connected(server) as connection:
        delivery = await deliver(connection, *addresses)
        assert all_seen(delivery) == [("dot", 250), ("rcpt", 554), ("dot", 250)]
        assert server.messages[0].rcpts == ("TO:<a@xn--fa-hia.test>", 'TO:<"b c"@x.test>')


async def test_extensions_are_used_where_offered() -> None:
    message = a_queued_message(
        reverse_path="",
        is_8bit=True,
        parameters={"RET": "HDRS", "ENVID": "QQ+3Dx", "BODY": "8BITMIME"},
    )
    recipient = a_queued_recipient(
        "jörg@x.test", parameters={"NOTIFY": "NEVER", "ORCPT": "utf-8;J\\x{F6}rg@x.test"}
    )
    async with ScriptedServer() as server, connected(server) as connection:
        await connection.deliver(message, [recipient], "ü\r\n".encode())
        got = server.messages[0]
        assert got.mail == "FROM:<> SIZE=4 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+3Dx"
        assert got.rcpts == ("TO:<jörg@x.test> NOTIFY=NEVER ORCPT=utf-8;J\\x{F6}rg@x.test",)


async def test_extensions_are_not_used_where_not_offered() -> None:
    message = a_queued_message(parameters={"RET": "HDRS", "SMTPUTF8": ""})
    recipient = a_queued_recipient(A, parameters={"NOTIFY": "NEVER"})
    async with ScriptedServer({"EHLO": []}) as server, connected(server) as connection:
        await connection.deliver(message, [recipient], b"x\r\n")
        assert server.messages[0].mail == "FROM:<app@app.test>"
        assert server.messages[0].rcpts == (f"TO:<{A}>",)


@pytest.mark.parametrize(
    "address", ["a@x.test>\r\nRCPT TO:<b@x.test", "a\x00@x.test", "a\n@x.test"]
)
async def test_no_control_character_leaves_in_a_command(address: str) -> None:
    """S-31. Such an address cannot get in; if it did, nothing would be sent."""
    async with ScriptedServer() as server, connected(server) as connection:
        with pytest.raises(ValueError, match="control character"):
            await deliver(connection, address)
        assert server.dialog == ["EHLO relay.test"]
        assert all_seen(await deliver(connection)) == [("dot", 250)]


async def test_a_cancelled_delivery_hangs_up() -> None:
    async with ScriptedServer({"DOT": SWALLOW}) as server, connected(server) as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await deliver(connection)
        assert not connection.is_usable


async def test_a_thousand_recipients_in_one_write() -> None:
    addresses = [f"user{number}@x.test" for number in range(1000)]
    async with ScriptedServer() as server, connected(server) as connection:
        assert all_seen(await deliver(connection, *addresses)) == [("dot", 250)] * 1000
        assert len(server.messages[0].rcpts) == 1000


async def test_quit_is_bounded_and_never_raises() -> None:
    async with ScriptedServer({"QUIT": SWALLOW}) as server:
        async with connected(server, timers=Timers(quit=0.1)) as connection:
            pass
        await connection.quit()
        assert server.dialog == ["EHLO relay.test", "QUIT"]
        assert not connection.is_usable


async def test_times_are_recorded() -> None:
    async with ScriptedServer() as server, connected(server, timers=PATIENT) as connection:
        first, second = (await deliver(connection)).facts[0], (await deliver(connection)).facts[0]
        assert first.connect_for == connection.connected_for
        assert second.connect_for.total_seconds() == 0
        assert first.started_at == second.started_at

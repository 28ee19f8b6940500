"""How octets are cut into segments decides nothing: the first complete reply does (A-46)."""

import asyncio
import ssl

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relayd.net.smtp.client import Connection, SessionFailed, TlsContexts
from relayd.settings import AuthMechanism, Login, TlsMode
from tests.support.certificates import Authority
from tests.support.next_hop import all_seen, connect_to, deliver, seen
from tests.support.scripted_server import (
    CLOSE,
    CUTS,
    Action,
    Cut,
    InTurn,
    Raw,
    Script,
    ScriptedServer,
)

OFFERS = ["PIPELINING", "8BITMIME", "AUTH PLAIN"]

TAILS = [
    pytest.param(b"221 2.0.0 bye\r\n", id="221"),
    pytest.param(b"250 2.0.0 more\r\n", id="250"),
    pytest.param(b"550 5.1.1 more\r\n", id="550"),
    pytest.param(b"\r\n", id="empty-line"),
    pytest.param(b"\0\0\0", id="nul"),
    pytest.param(b"junk", id="junk"),
]
BEFORE_MAIL = [
    pytest.param("greeting", "554 5.3.2 no", id="greeting-554"),
    pytest.param("greeting", "450 4.3.2 later", id="greeting-450"),
    pytest.param("ehlo", "521 5.3.2 no", id="ehlo-521"),
    pytest.param("starttls", "454 4.7.0 later", id="starttls-454"),
    pytest.param("auth", "535 5.7.8 no", id="auth-535"),
]
ENDS = [
    pytest.param("mail", "550 5.7.1 no", id="mail-550"),
    pytest.param("rcpt", "550 5.1.1 no such user", id="rcpt-550"),
    pytest.param("rcpt", "450 4.2.0 later", id="rcpt-450"),
    pytest.param("data", "554 5.7.1 no", id="data-554"),
    pytest.param("dot", "250 2.0.0 queued", id="dot-250"),
    pytest.param("dot", "451 4.3.0 later", id="dot-451"),
    pytest.param("dot", "550 5.7.1 no", id="dot-550"),
]
YES = [
    pytest.param("greeting", "220 hello", id="greeting"),
    pytest.param("ehlo", "250 mx.test\nAUTH PLAIN", id="ehlo"),
    pytest.param("auth", "235 2.7.0 welcome", id="auth"),
    pytest.param("mail", "250 ok", id="mail"),
    pytest.param("rcpt", "250 ok", id="rcpt"),
    pytest.param("data", "354 go", id="data"),
]

cut_in_every_way = pytest.mark.parametrize("cut", CUTS, ids=[cut.value for cut in CUTS])
pipelined_or_not = pytest.mark.parametrize(
    "pipelining", [True, False], ids=["pipelined", "stepwise"]
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def contexts(authority: Authority) -> TlsContexts:
    return TlsContexts(cafile=authority.cafile)


def spoken(reply: str, tail: bytes) -> Action:
    """A reply and what follows it, in one go."""
    return (reply, Raw(tail))


def server_for(
    script: Script, cut: Cut, *, pipelining: bool = True, tls: ssl.SSLContext | None = None
) -> ScriptedServer:
    offers = OFFERS if pipelining else OFFERS[1:]
    return ScriptedServer({"EHLO": offers, **script}, cut=cut, tls=tls)


async def connected(server: ScriptedServer) -> Connection:
    login = Login(username="app", secret="sesame", mechanism=AuthMechanism.PLAIN)
    return await connect_to(server, login=login)


async def outcome(server: ScriptedServer) -> tuple[str, int | str]:
    """Stage and code that decide about one message; where none does, that."""
    try:
        connection = await connected(server)
    except SessionFailed as failure:
        return ("", "no verdict") if failure.reply is None else (failure.stage, failure.reply.code)
    facts = (await deliver(connection)).facts[0]
    await connection.quit()
    return ("", "no verdict") if facts.reply is None else seen(facts)


@cut_in_every_way
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize(("stage", "reply"), BEFORE_MAIL)
async def test_a_refusal_before_mail_stands(stage: str, reply: str, tail: bytes, cut: Cut) -> None:
    script: Script = {stage: spoken(reply, tail)}
    if stage == "starttls":
        script = {"EHLO": ["STARTTLS"], **script}
    async with server_for(script, cut) as server:
        tls = TlsMode.REQUIRED if stage == "starttls" else TlsMode.OFF
        login = Login(username="app", secret="sesame", mechanism=AuthMechanism.PLAIN)
        with pytest.raises(SessionFailed) as caught:
            await connect_to(server, tls=tls, login=login)
        assert caught.value.stage.value == stage
        assert str(caught.value.reply) == reply
        assert caught.value.login_refused == (stage == "auth")


@cut_in_every_way
@pipelined_or_not
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize(("stage", "reply"), ENDS)
async def test_the_reply_that_ends_a_transaction_stands(
    stage: str, reply: str, tail: bytes, cut: Cut, *, pipelining: bool
) -> None:
    """What follows it only ends the session: no second copy, no lost refusal."""
    script: Script = {stage: spoken(reply, tail)}
    async with server_for(script, cut, pipelining=pipelining) as server:
        assert await outcome(server) == (stage, int(reply[:3]))
        assert len(server.messages) == (stage == "dot")


@cut_in_every_way
@pipelined_or_not
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize(("stage", "reply"), ENDS)
async def test_it_stands_on_a_reused_connection(
    stage: str, reply: str, tail: bytes, cut: Cut, *, pipelining: bool
) -> None:
    """Or all is asked once more over a fresh one, where the answer is the same."""
    good = {"data": "354 go"}.get(stage, "250 ok")
    script: Script = {stage: InTurn(good, spoken(reply, tail))}
    async with server_for(script, cut, pipelining=pipelining) as server:
        connection = await connected(server)
        assert all_seen(await deliver(connection)) == [("dot", 250)]
        delivery = await deliver(connection)
        if delivery.stale:
            assert not connection.is_usable
            connection = await connected(server)
            delivery = await deliver(connection)
        assert all_seen(delivery) == [(stage, int(reply[:3]))]
        await connection.quit()
        assert len(server.messages) == 1 + (stage == "dot")


@cut_in_every_way
@pipelined_or_not
@pytest.mark.parametrize(
    "tail", [tail for tail in TAILS if tail.id != "550"]
)  # that would be a verdict, if it came late enough to be an answer
async def test_what_follows_a_message_is_no_answer_for_the_next(
    tail: bytes, cut: Cut, *, pipelining: bool
) -> None:
    """It finds the connection idle, or answers MAIL: then the next message goes over a fresh one."""
    script: Script = {"DOT": InTurn(spoken("250 ok", tail), "250 ok")}
    async with server_for(script, cut, pipelining=pipelining) as server:
        connection = await connected(server)
        assert all_seen(await deliver(connection)) == [("dot", 250)]
        delivery = await deliver(connection)
        assert delivery.stale
        connection = await connected(server)
        assert all_seen(await deliver(connection)) == [("dot", 250)]
        await connection.quit()
        assert len(server.messages) == 2


@cut_in_every_way
@pipelined_or_not
@pytest.mark.parametrize(
    "tail", [tail for tail in TAILS if tail.id not in {"250", "550"}]
)  # for these see the tests of replies that are out of step
@pytest.mark.parametrize(("stage", "reply"), YES)
async def test_a_yes_before_the_dot_is_no_verdict(
    stage: str, reply: str, tail: bytes, cut: Cut, *, pipelining: bool
) -> None:
    """The session ends there, whether the rest comes with the yes or after the next command."""
    script: Script = {stage: spoken(reply, tail)}
    async with server_for(script, cut, pipelining=pipelining) as server:
        assert await outcome(server) == ("", "no verdict")
        assert len(server.messages) <= (stage == "data")  # 354 came alone: the content may be there


@pipelined_or_not
@pytest.mark.parametrize("reply", ["250 ok", "550 5.7.1 no", "221 bye", "421 bye"])
async def test_what_comes_before_the_dot_does_not_answer_it(
    reply: str, *, pipelining: bool
) -> None:
    """With the 354 it ends the session, and no content leaves.

    (What comes when the dot has left cannot be told from its answer.)
    """
    script: Script = {"DATA": ("354 go", reply)}
    async with server_for(script, Cut.WHOLE, pipelining=pipelining) as server:
        assert await outcome(server) == ("", "no verdict")
        assert not server.messages


@cut_in_every_way
@pytest.mark.parametrize("stage", ["greeting", "ehlo", "auth", "mail", "rcpt", "data", "dot"])
async def test_221_is_a_server_that_leaves(stage: str, cut: Cut) -> None:
    """In place of an answer it is none, also at the dot: whether the message was taken is unknown."""
    async with server_for({stage: "221 2.0.0 bye"}, cut) as server:
        stage_seen, breakdown = "", None
        try:
            connection = await connected(server)
        except SessionFailed as failure:
            stage_seen, breakdown = failure.stage.value, failure.breakdown
        else:
            facts = (await deliver(connection)).facts[0]
            stage_seen, breakdown = facts.stage.value, facts.breakdown
            assert facts.dot_sent == (stage == "dot")
        assert stage_seen == stage
        assert breakdown is not None
        assert breakdown.category.value == "connection_failure"
        assert breakdown.reason.startswith("the server said 221, waiting for the ")


@cut_in_every_way
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("reply", ["250 2.0.0 queued", "451 4.3.0 later", "550 5.7.1 no"])
async def test_it_is_the_same_under_tls(
    reply: str, tail: bytes, cut: Cut, authority: Authority, contexts: TlsContexts
) -> None:
    context = authority.server_context("mx.test")
    server = ScriptedServer({"DOT": spoken(reply, tail)}, tls=context, implicit=True, cut=cut)
    async with server:
        connection = await connect_to(server, tls=TlsMode.IMPLICIT, contexts=contexts)
        assert all_seen(await deliver(connection)) == [("dot", int(reply[:3]))]
        await connection.quit()
        assert len(server.messages) == 1


YES_OR_NO = st.sampled_from(
    [
        Raw(b"250 ok\r\n"),
        Raw(b"250-2.0.0 ok\r\n250 2.0.0 ok\r\n"),
        Raw(b"250 ok\n"),
        Raw(b"251 ok\r\r\n"),
        Raw(b"450 4.2.0 later\r\n"),
        Raw(b"452 4.5.3 too many\r\n"),
        Raw(b"503 5.5.1 what\r\n"),
        Raw(b"550-5.1.1 no\r\n550 5.1.1 such user\r\n"),
        Raw(b"421 4.3.2 bye\r\n"),
        Raw(b"221 2.0.0 bye\r\n"),
        Raw(b"354 what\r\n"),
        Raw(b"550-no\r\n250 yes\r\n"),
        Raw(b"junk\r\n"),
        CLOSE,
    ]
)
TO_DATA = st.sampled_from(
    [Raw(b"354 go\r\n"), Raw(b"354-go\r\n354 on\n"), Raw(b"554 no\r\n"), Raw(b"250 ok\r\n")]
)
TO_THE_DOT = st.tuples(
    YES_OR_NO, st.sampled_from([b"", b"221 bye\r\n", b"\r\n", b"\0", b"554 no\r\n"])
)
SCRIPTS = st.fixed_dictionaries(
    {},
    optional={
        "MAIL": YES_OR_NO,
        "RCPT TO:<a@x.test>": YES_OR_NO,
        "RCPT TO:<b@x.test>": YES_OR_NO,
        "RCPT TO:<c@x.test>": YES_OR_NO,
        "DATA": TO_DATA,
        "DOT": TO_THE_DOT.map(lambda dot: dot[0] if dot[0] is CLOSE else (dot[0], Raw(dot[1]))),
    },
)


async def seen_with(script: Script, cut: Cut, *, pipelining: bool) -> object:
    """What a transaction with three recipients shows of a server, and what the server has got."""
    async with server_for(script, cut, pipelining=pipelining) as server:
        connection = await connected(server)
        delivery = await deliver(connection, "a@x.test", "b@x.test", "c@x.test")
        await connection.quit()
        facts = [(seen(each), str(each.reply), each.dot_sent) for each in delivery.facts]
        return facts, delivery.not_tried, delivery.stale, [each.rcpts for each in server.messages]


@settings(max_examples=60, deadline=None)
@given(script=SCRIPTS, pipelining=st.booleans())
@example(script={"RCPT TO:<b@x.test>": CLOSE}, pipelining=True)
def test_no_script_depends_on_segments(script: Script, *, pipelining: bool) -> None:
    """One reply to each command, of any kind, and anything behind the last: it is always the same."""
    outcomes = [asyncio.run(seen_with(script, cut, pipelining=pipelining)) for cut in CUTS]
    assert outcomes[1:] == outcomes[:1] * 2

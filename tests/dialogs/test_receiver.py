"""The receiver on the wire, where a script is not enough: states, limits, faults, and its end."""

import errno
import os
import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from relayd.errors import StoreFull, StoreUnavailable
from relayd.mail.ids import format_id
from relayd.receiver.accept_balance import AcceptBalance
from relayd.receiver.dialogue import ERROR_LIMIT, JUNK_LIMIT
from relayd.receiver.listener import Receiver
from relayd.settings import LineEndings
from tests.support.clock import START
from tests.support.receiving import (
    CONTENT,
    TRANSACTION,
    Options,
    Reception,
    envelopes,
    in_data,
    on_every_loop,
    receiving,
    run_on,
    send_message,
    until,
)

STOPPING = "421 4.3.2 Shutting down, try again soon"


# --- every command in every state (RFC 5321 section 4.1.4, S-42) -------------------------------

STATES: dict[str, tuple[str, ...]] = {
    "greeted": (),
    "helo": ("HELO app.test",),
    "ehlo": ("EHLO app.test",),
    "mail": ("EHLO app.test", "MAIL FROM:<app@x.test>"),
    "rcpt-refused": ("EHLO app.test", "MAIL FROM:<app@x.test>", "RCPT TO:<>"),
    "rcpt": ("EHLO app.test", *TRANSACTION),
    "reset": ("EHLO app.test", *TRANSACTION, "RSET"),
    "dot": ("EHLO app.test", *TRANSACTION, "DATA", "."),
}
# Codes by state, in the order of STATES; one number where the state does not matter.
COMMANDS: dict[str, tuple[int, ...] | int] = {
    "EHLO other.test": 250,
    "HELO other.test": 250,
    "EHLO": 501,
    "HELO \x01": 501,
    #                          start helo ehlo mail none rcpt rset  dot
    "MAIL FROM:<new@x.test>": (503, 250, 250, 503, 503, 503, 250, 250),
    "MAIL FROM:new":          (503, 501, 501, 503, 503, 503, 501, 501),
    "MAIL FROM:<> SIZE=1":    (503, 555, 250, 503, 503, 503, 250, 250),
    "MAIL FROM:<> X=1":       (503, 555, 555, 503, 503, 503, 555, 555),
    "RCPT TO:<new@y.test>":   (503, 503, 503, 250, 250, 250, 503, 503),
    "RCPT TO:<>":             (503, 503, 503, 501, 501, 501, 503, 503),
    "DATA":                   (503, 503, 503, 554, 554, 354, 503, 503),
    "DATA now": 501,
    "RSET": 250,
    "RSET now": 501,
    "NOOP": 250,
    "NOOP now": 250,
    "VRFY user": 252,
    "VRFY": 501,
    "EXPN list": 502,
    "HELP": 214,
    "HELP MAIL": 214,
    "QUIT": 221,
    "": 500,
    ".": 500,
    "BDAT 0 LAST": 502,
    "STARTTLS": 502,
    "AUTH LOGIN": 502,
    "ETRN x.test": 500,
    "TURN": 500,
    "SEND FROM:<a@x.test>": 500,
    "GET / HTTP/1.1": 554,
}  # fmt: skip
CLOSING = ("QUIT", "BDAT 0 LAST", "GET / HTTP/1.1")


@on_every_loop
@pytest.mark.parametrize("state", STATES)
def test_every_command_in_every_state(state: str, loop: str) -> None:
    """The codes of RFC 5321 section 4.3.2; what closes, closes, and all else goes on."""

    async def main() -> None:
        index = list(STATES).index(state)
        async with receiving(Options(connections_per_client=1)) as reception:
            for command, codes in COMMANDS.items():
                client = await reception.greeted(None)
                for step in STATES[state]:
                    await client.ask(step)
                code = codes if isinstance(codes, int) else codes[index]
                assert (await client.ask(command)).startswith(f"{code} "), command
                if command in CLOSING:
                    await client.closed()
                elif code != 354:
                    assert await client.ask("NOOP") == "250 2.0.0 OK"
                client.close()
                await until(lambda: not reception.receiver._sessions)

    run_on(loop, main())


# --- the message that is stored ----------------------------------------------------------------

TRACE = (
    "Received: from {helo} ([127.0.0.1])\r\n\tby relay.test (relayd) with {protocol} id {id}"
    "{wanted_by};\r\n\tSun, 01 Mar 2026 12:00:00 +0000\r\n"
)


@on_every_loop
@pytest.mark.parametrize(
    ("hello", "mail", "protocol", "wanted_by"),
    [
        pytest.param("EHLO app.test", TRANSACTION, "ESMTP", "\r\n\tfor <user@y.test>", id="ehlo"),
        pytest.param("HELO app.test", TRANSACTION, "SMTP", "\r\n\tfor <user@y.test>", id="helo"),
        pytest.param(
            "EHLO My Büro(1)", TRANSACTION, "ESMTP", "\r\n\tfor <user@y.test>", id="any-name"
        ),
        pytest.param(
            "EHLO app.test",
            ("MAIL FROM:<ü@x.test> SMTPUTF8", "RCPT TO:<ö@y.test>"),
            "UTF8SMTP",
            "\r\n\tfor <ö@y.test>",
            id="smtputf8",
        ),
        pytest.param(
            "EHLO app.test",
            ("MAIL FROM:<a@x.test> SMTPUTF8", "RCPT TO:<b@bücher.test>"),
            "UTF8SMTP",
            "",
            id="only-the-domain-is-utf8",
        ),
        pytest.param(
            "EHLO mx.y.test",
            ("MAIL FROM:<>", "RCPT TO:<known@returns.test>"),
            "ESMTP",
            "",
            id="a-return-path",
        ),
        pytest.param(
            "EHLO app.test", (*TRANSACTION, "RCPT TO:<b@y.test>"), "ESMTP", "", id="two-recipients"
        ),
        pytest.param(
            "EHLO app.test",
            ("MAIL FROM:<>", "RCPT TO:<@a.test:U@y.test>"),
            "ESMTP",
            "\r\n\tfor <U@y.test>",
            id="source-route",
        ),
    ],
)
def test_the_trace_field_is_put_in_front(
    hello: str, mail: tuple[str, ...], protocol: str, wanted_by: str, loop: str
) -> None:
    """S-23, S-50: the first line is ours, `for` only for one recipient; the rest is what came."""

    async def main() -> None:
        async with receiving() as reception:
            client = await reception.greeted(hello)
            reply = await send_message(client, CONTENT, *mail)
            (message,) = reception.intake.messages
            queue_id = format_id(message.id)
            assert reply == f"250 2.0.0 OK queued as {queue_id}"
            assert message.client.helo == hello[5:]
            helo = re.sub("[ ü()]", "?", hello[5:])
            trace = TRACE.format(helo=helo, protocol=protocol, id=queue_id, wanted_by=wanted_by)
            assert message.content == trace.encode() + CONTENT
            assert await reception.intake.store.content(message.id) == message.content

    run_on(loop, main())


@on_every_loop
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param(b"a\tb\x0b\x0c \x01\x1b \r\n", b"a\tb\x0b\x0c \x01\x1b \r\n", id="controls"),
        pytest.param(
            bytes(range(0x80, 0x100)) + b"\r\n", bytes(range(0x80, 0x100)) + b"\r\n", id="8-bit"
        ),
        pytest.param(b"\r\n\r\n  \r\n", b"\r\n\r\n  \r\n", id="blank-lines"),
        pytest.param(b"..\r\n..a\r\n.b\r\n", b".\r\n.a\r\nb\r\n", id="dots"),
        pytest.param(b"x" * 70_000 + b"\r\n", b"x" * 70_000 + b"\r\n", id="long-line"),
        pytest.param(b"", b"", id="empty"),
        pytest.param(
            b"A: 1\r\nX-Relayd-Tag: t\r\n u\r\nx-relayd-test: yes\r\nB: 2\r\n\r\nX-Relayd-Tag: t\r\n",
            b"A: 1\r\nB: 2\r\n\r\nX-Relayd-Tag: t\r\n",
            id="control-fields",
        ),
        pytest.param(b"Bcc: c@y.test\r\n\r\nx\r\n", b"Bcc: c@y.test\r\n\r\nx\r\n", id="bcc-kept"),
    ],
)
def test_bytes_in_are_bytes_out(sent: bytes, kept: bytes, loop: str) -> None:
    """Promise 5: nothing but our own control fields is taken out (S-23, S-33, S-49)."""

    async def main() -> None:
        async with receiving() as reception:
            client = await reception.greeted()
            assert (await send_message(client, sent)).startswith("250 ")
            content = reception.intake.messages[0].content
            assert content[:].partition(b"+0000\r\n")[2] == kept

    run_on(loop, main())


def test_what_is_stored_beside_the_content(tmp_path: Path) -> None:
    """Envelope, parameters, facts and client, as the store and the status log need them."""

    async def main() -> None:
        async with receiving(unix_path=tmp_path / "smtp") as reception:
            client = await reception.greeted("EHLO [192.0.2.7]")
            content = (
                b"Received: from a\r\nMessage-ID: <m@x.test>\r\nX-Relayd-Tag: batch 7\r\n"
                b"X-Relayd-Test: yes\r\n\r\nsch\xc3\xb6n\r\n"
            )
            await send_message(
                client,
                content,
                "MAIL FROM:<App@X.test> SIZE=99 BODY=8BITMIME",
                "RCPT TO:<User@Y.test>",
                'RCPT TO:<"a b"@z.test>',
            )
            (message,) = reception.intake.messages
            assert envelopes([message]) == ['<App@X.test> <User@Y.test> <"a b"@z.test>']
            assert message.parameters.words() == {"SIZE": "99", "BODY": "8BITMIME"}
            assert message.client.account == f"uid {os.getuid()}"
            assert {one.destination for one in message.recipients} == {"smarthost"}
            assert message.received_at == START
            facts, client_facts = message.facts, message.client
            assert (facts.size, facts.hops) == (len(content), 1)
            assert (facts.message_id_header, facts.tag) == ("<m@x.test>", "batch 7")
            assert (facts.is_test, facts.is_8bit, facts.utf8_headers) == (True, True, False)
            assert (client_facts.ip, client_facts.helo) == ("", "[192.0.2.7]")
            assert (client_facts.listener, client_facts.auth_user) == ("test", None)
            assert message.content[:].startswith(
                b"Received: from [192.0.2.7] (local socket)\r\n\tby "
            )

    run_on("asyncio", main())


def test_a_refusal_is_noted_with_what_is_known() -> None:
    """For the status log: who asked for what, and what it was told."""

    async def main() -> None:
        async with receiving(Options(networks=())) as reception:
            client = await reception.greeted()
            await client.ask("MAIL FROM:<app@x.test>")
            await client.ask("RCPT TO:<user@y.test>")
            await client.ask("RCPT TO:<user")
            assert reception.intake.refusals[0] == {
                "from": "app@x.test",
                "rcpt": "user@y.test",
                "client_ip": "127.0.0.1",
                "helo": "app.test",
                "code": 550,
                "enhanced": "5.7.1",
                "reply": "550 5.7.1 Relaying denied for your address",
                "fault": "policy",
            }
            assert [one["code"] for one in reception.intake.refusals] == [550, 501]

    run_on("asyncio", main())


@on_every_loop
def test_smuggled_bytes_make_one_message(loop: str) -> None:
    """E-01 to E-16 on the wire, in `normalize` mode: one message, however it is cut."""

    async def main() -> None:
        wire = b"a\n.\r\nb\r.\rc\r\n.\nd\r\n.\r\n"
        async with receiving(Options(line_endings=LineEndings.NORMALIZE)) as reception:
            client = await reception.greeted()
            for cut in range(1, len(wire)):
                await in_data(client)
                await client.send(wire[:cut])
                await client.send(wire[cut:])
                assert (await client.line()).startswith("250 ")
            contents = {
                message.content[:].partition(b"+0000\r\n")[2]
                for message in reception.intake.messages
            }
            assert contents == {b"a\r\n.\r\nb . c\r\n\r\nd\r\n"}
            assert len(reception.intake.messages) == len(wire) - 1

    run_on(loop, main())


# --- faults of the store and of the connection at the final dot --------------------------------


@pytest.mark.parametrize(
    ("fault", "reply"),
    [
        pytest.param(StoreFull("no room"), "452 4.3.1 ", id="full"),
        pytest.param(StoreUnavailable("gone"), "451 4.3.0 ", id="unavailable"),
    ],
)
def test_a_store_that_recovers_takes_the_next_message(
    fault: StoreFull | StoreUnavailable, reply: str
) -> None:
    """S-02, S-52, F-13: refused now, nothing kept, taken later, in the same session."""

    async def main() -> None:
        async with receiving() as reception:
            client = await reception.greeted()
            reception.intake.fault = fault
            assert (await send_message(client)).startswith(reply)
            assert not reception.intake.messages
            assert reception.intake.refusals[-1]["fault"] == "local"
            reception.intake.fault = None
            assert (await send_message(client)).startswith("250 ")
            assert len(reception.intake.messages) == 1

    run_on("asyncio", main())


@on_every_loop
def test_a_half_close_during_the_commit_still_gets_its_reply(loop: str) -> None:
    """F-28: however long the commit takes."""

    async def main() -> None:
        async with receiving() as reception:
            reception.intake.is_slow = True
            client = await reception.greeted()
            await in_data(client)
            await client.send(CONTENT + b".\r\n")
            await until(lambda: reception.intake.messages)
            client.half_close()
            (session,) = reception.receiver._sessions
            await until(lambda: session._at_eof)
            reception.intake.commit()
            assert (await client.line()).startswith("250 2.0.0 ")
            await client.closed()

    run_on(loop, main())


@on_every_loop
def test_a_reset_during_the_commit_changes_nothing(loop: str) -> None:
    """F-29, S-05: the message stays ours; the receiver goes on."""

    async def main() -> None:
        async with receiving() as reception:
            for slow in (True, False):
                reception.intake.is_slow = slow
                client = await reception.greeted()
                await in_data(client)
                await client.send(CONTENT + b".\r\n")
                await until(lambda: reception.intake.messages)
                client.reset()
                await until(lambda: not reception.receiver._sessions)
                reception.intake.commit()
            assert len(reception.intake.messages) == 2
            assert (await send_message(await reception.greeted())).startswith("250 ")

    run_on(loop, main())


@on_every_loop
def test_what_comes_during_the_commit_waits_for_it(loop: str) -> None:
    """S-39: replies come in order, and a client that floods us is not read on."""

    async def main() -> None:
        async with receiving() as reception:
            reception.intake.is_slow = True
            client = await reception.greeted()
            await in_data(client)
            await client.send(CONTENT + b".\r\n")
            await until(lambda: reception.intake.messages)
            await client.send(b"MAIL FROM:<n@x.test>\r\n")
            (session,) = reception.receiver._sessions
            await until(lambda: session._input.octets)
            await client.send(b"RCPT TO:<n@y.test>\r\n" * 400)
            await until(lambda: len(session._input.octets) > 4096)
            reception.intake.commit()
            assert (await client.line()).startswith("250 2.0.0 OK queued")
            assert await client.line() == "250 2.1.0 OK"
            for _ in range(100):
                assert await client.line() == "250 2.1.5 OK"
            assert (await client.line()).startswith("452 4.5.3 ")

    run_on(loop, main())


# --- limits -------------------------------------------------------------------------------------


@on_every_loop
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(Options(connections_per_client=2), id="per-client"),
        pytest.param(Options(connections=2), id="in-total"),
    ],
)
def test_a_connection_too_many_is_turned_away(options: Options, loop: str) -> None:
    """A-01: 421 and closed; a place that is free again is given again."""

    async def main() -> None:
        async with receiving(options) as reception:
            first = await reception.greeted()
            await reception.greeted()
            for _ in range(3):
                turned_away = await reception.connect()
                line = await turned_away.line()
                assert line == "421 4.7.0 Too many connections, try again later"
                await turned_away.closed()
            assert (await first.ask("QUIT")).startswith("221 ")
            await until(lambda: len(reception.receiver._sessions) == 1)
            assert (await send_message(await reception.greeted())).startswith("250 ")

    run_on(loop, main())


@on_every_loop
def test_idle_sessions_of_the_greediest_make_room(loop: str) -> None:
    """A-01: nobody keeps the others out by being there; who sends is left alone."""

    async def main() -> None:
        async with receiving(Options(connections=4)) as reception:
            sending = await reception.connect(source="127.0.0.2")
            assert (await sending.line()).startswith("220 ")
            for command in ("EHLO a.test", "MAIL FROM:<a@x.test>", "RCPT TO:<b@y.test>", "DATA"):
                await sending.ask(command)
            idle = []
            for _ in range(3):
                idle.append(await reception.connect(source="127.0.0.2"))
                assert (await idle[-1].line()).startswith("220 ")
            good = await reception.connect()
            assert (await good.line()).startswith("220 ")
            assert await idle[0].line() == "421 4.7.0 Idle, and others need the room"
            await idle[0].closed()
            assert (await good.ask("EHLO app.test")).startswith("250 ")
            assert (await send_message(good)).startswith("250 ")
            again = await reception.connect(source="127.0.0.2")  # it has as many as it may
            assert (await again.line()).startswith("421 4.7.0 Too many connections")
            await sending.send(b".\r\n")
            assert (await sending.line()).startswith("250 2.0.0 OK queued")

    run_on(loop, main())


@pytest.mark.parametrize("command", ["NOOP", "RSET", "VRFY user", "HELP", "EHLO app.test"])
def test_junk_has_an_end(command: str) -> None:
    """A-03: a hundred commands in a row that bring no mail along, then 421."""

    async def main() -> None:
        async with receiving() as reception:
            client = await reception.greeted(None)
            for _ in range(JUNK_LIMIT):
                assert (await client.ask(command))[0] == "2"
            await client.ask(command)
            assert await client.line() == "421 4.7.0 Too many commands without mail"
            await client.closed()

    run_on("asyncio", main())


def test_mail_in_between_is_no_junk() -> None:
    """A client that resets before each message may do so for ever."""

    async def main() -> None:
        async with receiving() as reception:
            client = await reception.greeted()
            for _ in range(JUNK_LIMIT + 20):
                assert await client.ask("RSET") == "250 2.0.0 OK"
                assert (await send_message(client)).startswith("250 ")

    run_on("uvloop", main())


def test_errors_have_an_end() -> None:
    """A-05: recipients above the limit are refused one by one, but not for ever."""

    async def main() -> None:
        async with receiving(Options(recipients=1)) as reception:
            client = await reception.greeted()
            await client.ask(*TRANSACTION)
            await client.send(b"RCPT TO:<user@y.test>\r\n" * 1000)
            for _ in range(ERROR_LIMIT + 1):
                assert (await client.line()).startswith("452 4.5.3 ")
            assert await client.gone() == b"421 4.7.0 Too many commands without mail\r\n"
            assert not reception.intake.messages

    run_on("asyncio", main())


class Exhausted(socket.socket):
    """A listening socket that gives no connection, a few times."""

    number, failures = errno.EMFILE, 3

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failures:
            self.failures -= 1
            raise OSError(self.number, os.strerror(self.number))
        return super().accept()


@on_every_loop
@pytest.mark.parametrize(
    "number",
    [
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EPERM,
        errno.EACCES,
        errno.EPROTO,
        errno.ENETDOWN,
    ],
    ids=errno.errorcode.__getitem__,
)
def test_accepting_goes_on_when_the_system_gives_connections_again(
    loop: str, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """F-15, HU-08: a pause instead of a busy loop; the client that waited is served.

    Whatever accept(2) says: an error raised from there would be told of without end.
    """
    monkeypatch.setattr("relayd.receiver.accept._PAUSE", 0.01)
    monkeypatch.setattr(Exhausted, "number", number)

    async def main() -> None:
        async with receiving(start=False) as reception:
            receiver: Receiver = reception.receiver
            ((sock, context),) = receiver._acceptor._sockets
            with Exhausted(fileno=sock.detach()) as exhausted:
                receiver._acceptor._sockets[:] = [(exhausted, context)]
                client = await reception.connect()
                reception.start()
                assert (await client.line()).startswith("220 ")
                await receiver.stop(within=1)
            await client.gone()

    run_on(loop, main())
    assert capsys.readouterr().out.count("accept_paused") == 1


@on_every_loop
def test_a_neighbour_that_takes_nobody_keeps_nobody_waiting(loop: str) -> None:
    """Another worker that has fewer clients may be first, and may be stuck."""
    balance = AcceptBalance()
    neighbour = balance.share_of("2")
    neighbour.tell(0)

    async def main() -> None:
        async with receiving(share=balance.share_of("1")) as reception:
            for _ in range(8):
                await reception.greeted()
            assert balance.share_of("1").has_more()
            acceptor = reception.receiver._acceptor
            assert acceptor._unbalanced_until > 0, "a few times in vain are enough for a while"
            neighbour.tell(8)
            assert not balance.share_of("1").has_more()

    run_on(loop, main())
    neighbour.tell(0)
    assert not balance.share_of("1").has_more(), "nobody waits for it when it has stopped"


@on_every_loop
def test_connections_of_proxies_count_before_they_say_for_whom(loop: str) -> None:
    balance = AcceptBalance()
    balance.share_of("2").tell(0)

    async def main() -> None:
        options = Options(proxy_networks=("127.0.0.0/8",))
        async with receiving(options, share=balance.share_of("1")) as reception:
            clients = [await reception.connect() for _ in range(4)]
            await until(balance.share_of("1").has_more)
            for client in clients:
                client.reset()
            await until(lambda: not balance.share_of("1").has_more())

    run_on(loop, main())


# --- the end ------------------------------------------------------------------------------------


async def stopping(reception: Reception) -> None:
    """Begin to stop; return once every session knows."""
    reception.tasks.create_task(reception.receiver.stop(within=5))
    await until(lambda: all(one._stopping for one in reception.receiver._sessions))


@on_every_loop
def test_a_stop_tells_the_idle_ones(loop: str) -> None:
    """F-22: 421 at once, also with a transaction begun, and nobody new comes in."""

    async def main() -> None:
        async with receiving() as reception:
            fresh, begun = await reception.greeted(None), await reception.greeted()
            await begun.ask(*TRANSACTION)
            await reception.receiver.stop(within=5)
            for client in (fresh, begun):
                assert await client.line() == STOPPING
                await client.closed()
            with socket.socket() as late:  # where no other worker listens
                assert late.connect_ex(reception.address) == errno.ECONNREFUSED

    run_on(loop, main())


@on_every_loop
@pytest.mark.parametrize(
    ("content", "reply"),
    [
        pytest.param(CONTENT, "250 2.0.0 OK queued as ", id="accepted"),
        pytest.param(b"Received: x\r\n" * 101, "554 5.4.6 ", id="refused"),
        pytest.param(b"x" * 1_100_000 + b"\r\n", "550 5.6.0 ", id="refused-for-a-line"),
    ],
)
def test_a_message_under_way_is_finished_first(content: bytes, reply: str, loop: str) -> None:
    """F-22: its own true answer, then 421; refused or not."""

    async def main() -> None:
        async with receiving(Options(message_size=2_000_000)) as reception:
            client = await reception.greeted()
            await in_data(client)
            await client.send(content[:100])
            (session,) = reception.receiver._sessions
            await stopping(reception)
            await client.send(content[100:] + b".\r\nMAIL FROM:<next@x.test>\r\n")
            assert (await client.line()).startswith(reply)
            assert await client.line() == STOPPING
            await client.gone()
            await until(lambda: session not in reception.receiver._sessions)

    run_on(loop, main())


@on_every_loop
def test_a_commit_under_way_is_finished_first(loop: str) -> None:
    """S-04, F-22: a begun commit is never cancelled."""

    async def main() -> None:
        async with receiving() as reception:
            reception.intake.is_slow = True
            client = await reception.greeted()
            await in_data(client)
            await client.send(CONTENT + b".\r\n")
            await until(lambda: reception.intake.messages)
            await stopping(reception)
            reception.intake.commit()
            assert (await client.line()).startswith("250 2.0.0 OK queued as ")
            assert await client.line() == STOPPING
            await client.closed()

    run_on(loop, main())


@on_every_loop
def test_who_does_not_finish_in_time_is_cut_off(loop: str) -> None:
    async def main() -> None:
        async with receiving() as reception:
            client = await reception.greeted()
            await in_data(client)
            await client.send(b"never finished\r\n")
            await reception.receiver.stop(within=0.01)
            assert await client.gone() == b""
            await until(lambda: not reception.receiver._sessions)
            assert not reception.intake.messages

    run_on(loop, main())


def test_the_clock_is_the_one_that_was_given() -> None:
    """The instant in the trace field, in the id and in the store are one."""

    async def main() -> None:
        async with receiving() as reception:
            await send_message(await reception.greeted())
            (message,) = reception.intake.messages
            assert message.received_at == datetime(2026, 3, 1, 12, tzinfo=UTC)

    run_on("asyncio", main())

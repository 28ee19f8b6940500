"""AUTH over real sockets: where it is offered, in every state, what it allows, and what it leaks."""

import asyncio
import base64
import json
import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayd.accounts import passwords
from relayd.accounts.passwords import is_password
from relayd.receiver import users
from relayd.settings import ListenerAuth, ListenerTls
from tests.dialogs.test_listener_tls import ENVELOPE, connected
from tests.support.accounts import write_users
from tests.support.certificates import Authority
from tests.support.receiving import (
    FQDN,
    Options,
    WireClient,
    on_every_loop,
    receiving,
    run_on,
    until,
)

OFFER = "AUTH PLAIN LOGIN"
SECRETS = ("hunter2", "sesame-open", "aHVudGVyMg", "c2VzYW1lLW9wZW4")


def plain(user: str, password: str = "hunter2", acts_as: str = "") -> str:
    return base64.b64encode(f"{acts_as}\0{user}\0{password}".encode()).decode()


GOOD = f"AUTH PLAIN {plain('app')}"
OPTIONAL = Options(auth=ListenerAuth.OPTIONAL)
REQUIRED = Options(auth=ListenerAuth.REQUIRED)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def with_tls(options: Options, authority: Authority, tmp_path: Path, tls: ListenerTls) -> Options:
    return replace(options, tls=tls, certificate=authority.write_pair(tmp_path, FQDN))


STATES: dict[str, tuple[str, ...]] = {
    "greeted": (),
    "helo": ("HELO app.test",),
    "ehlo": ("EHLO app.test",),
    "mail": ("EHLO app.test", "MAIL FROM:<a@x.test>"),
    "rcpt": ("EHLO app.test", "MAIL FROM:<a@x.test>", "RCPT TO:<b@y.test>"),
    "logged-in": ("EHLO app.test", GOOD),
    "logged-in-mail": ("EHLO app.test", GOOD, "MAIL FROM:<a@x.test>"),
    "failed": ("EHLO app.test", f"AUTH PLAIN {plain('app', 'x')}"),
    "cancelled": ("EHLO app.test", "AUTH LOGIN", "*"),
    "ehlo-again": ("EHLO app.test", GOOD, "EHLO app.test"),
}
COMMANDS: dict[str, tuple[int, ...]] = {
    #                                 helo      mail      in       failed    again
    "AUTH": (503, 503, 501, 503, 503, 503, 503, 501, 501, 503),
    "AUTH NTLM": (503, 503, 504, 503, 503, 503, 503, 504, 504, 503),
    "AUTH PLAIN": (503, 503, 334, 503, 503, 503, 503, 334, 334, 503),
    "AUTH LOGIN": (503, 503, 334, 503, 503, 503, 503, 334, 334, 503),
    "AUTH PLAIN !": (503, 503, 501, 503, 503, 503, 503, 501, 501, 503),
    GOOD: (503, 503, 235, 503, 503, 503, 503, 235, 235, 503),
    f"AUTH LOGIN {plain('x')}": (503, 503, 501, 503, 503, 503, 503, 501, 501, 503),
    f"AUTH PLAIN {plain('app', 'y')}": (503, 503, 535, 503, 503, 503, 503, 535, 535, 503),
}


@on_every_loop
@pytest.mark.parametrize("state", STATES)
def test_every_auth_in_every_state(state: str, loop: str) -> None:
    """RFC 4954 section 4."""

    async def main() -> None:
        index = list(STATES).index(state)
        for command, codes in COMMANDS.items():
            async with receiving(OPTIONAL) as reception:
                client = await reception.greeted(None)
                for step in STATES[state]:
                    await client.ask(step)
                assert (await client.ask(command)).startswith(f"{codes[index]} "), command
                if codes[index] == 334:
                    assert (await client.ask("*")).startswith("501 5.7.0 ")
                assert await client.ask("NOOP") == "250 2.0.0 OK"

    run_on(loop, main())


# --- where it is offered


@pytest.mark.parametrize(
    ("options", "is_offered", "refusal", "mail"),
    [
        (Options(), False, "502 5.5.1 ", "250 2.1.0 "),
        (OPTIONAL, False, "538 5.7.11 ", "250 2.1.0 "),
        (REQUIRED, False, "538 5.7.11 ", "530 5.7.0 Authentication"),
    ],
    ids=["off", "optional", "required"],
)
def test_a_password_never_crosses_a_network_in_clear_text(
    options: Options, refusal: str, mail: str, *, is_offered: bool
) -> None:
    """The proxy is here, but the client that it speaks for is not."""
    settings = replace(options, proxy_networks=("127.0.0.0/8",), networks=("0.0.0.0/0",))

    async def main() -> None:
        async with receiving(settings) as reception:
            client = await reception.connect()
            await client.send(b"PROXY TCP4 192.0.2.7 127.0.0.1 5000 25\r\n")
            await client.reply()
            await client.send(b"EHLO app.test\r\n")
            assert any(OFFER in line for line in await client.reply()) is is_offered
            for command in (GOOD, "AUTH LOGIN", "AUTH NTLM"):
                assert (await client.ask(command)).startswith(refusal)
            assert (await client.ask("MAIL FROM:<a@x.test> AUTH=<>")).startswith(
                "530 5.7.0 " if options is REQUIRED else "555 5.5.4 "
            )
            assert (await client.ask("MAIL FROM:<a@x.test>")).startswith(mail)

    run_on("asyncio", main())


@on_every_loop
def test_a_client_in_clear_text_is_asked_for_tls_where_it_must_log_in(
    authority: Authority, tmp_path: Path, loop: str
) -> None:
    settings = replace(
        with_tls(REQUIRED, authority, tmp_path, ListenerTls.STARTTLS),
        proxy_networks=("127.0.0.0/8",),
    )

    async def main() -> None:
        first = b"PROXY TCP4 192.0.2.7 127.0.0.1 5000 25\r\n"
        async with receiving(settings) as reception, connected(reception, first=first) as client:
            await client.reply()
            assert not any(OFFER in line for line in await client.ask_all("EHLO app.test"))
            for command in (GOOD, ENVELOPE[0]):
                assert await client.ask(command) == "530 5.7.0 Must issue a STARTTLS command first"
            await client.start_tls(authority)
            assert any(OFFER in line for line in await client.ask_all("EHLO app.test"))
            assert (await client.ask(ENVELOPE[0])).startswith("530 5.7.0 Authentication required")
            assert (await client.ask(GOOD)).startswith("235 2.7.0 ")
            assert (await client.send()).startswith("250 2.0.0 ")
            [message] = reception.intake.messages
            assert (message.client.ip, message.client.auth_user) == ("192.0.2.7", "app")
            assert message.client.account == "login app"
            assert b"(relayd) with ESMTPSA id" in message.content[:]

    run_on(loop, main())


@on_every_loop
def test_auth_under_implicit_tls(authority: Authority, tmp_path: Path, loop: str) -> None:
    """HD-08."""
    settings = with_tls(REQUIRED, authority, tmp_path, ListenerTls.IMPLICIT)

    async def main() -> None:
        async with receiving(settings) as reception, connected(reception, authority) as client:
            await client.reply()
            assert any(OFFER in line for line in await client.ask_all("EHLO app.test"))
            assert (await client.ask(GOOD)).startswith("235 2.7.0 ")
            assert (await client.send()).startswith("250 2.0.0 ")
            assert b"(relayd) with ESMTPSA id" in reception.intake.messages[0].content[:]

    run_on(loop, main())


@on_every_loop
def test_starttls_forgets_the_login(authority: Authority, tmp_path: Path, loop: str) -> None:
    """RFC 3207 section 4.2; on loopback one can log in before."""
    settings = with_tls(REQUIRED, authority, tmp_path, ListenerTls.STARTTLS)

    async def main() -> None:
        async with receiving(settings) as reception, connected(reception) as client:
            await client.reply()
            await client.ask_all("EHLO app.test")
            assert (await client.ask(GOOD)).startswith("235 2.7.0 ")
            await client.start_tls(authority)
            await client.ask_all("EHLO app.test")
            assert (await client.ask(ENVELOPE[0])).startswith("530 5.7.0 ")
            assert (await client.ask(GOOD)).startswith("235 2.7.0 ")

    run_on(loop, main())


def test_auth_on_a_unix_socket_is_in_the_trace(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiving(REQUIRED, unix_path=tmp_path / "smtp") as reception:
            client = await reception.greeted()
            assert (await client.ask(GOOD)).startswith("235 2.7.0 ")
            for command in ENVELOPE:
                await client.ask(command)
            await client.send(b"x\r\n.\r\n")
            assert (await client.line()).startswith("250 2.0.0 ")
            [message] = reception.intake.messages
            assert b"(relayd) with ESMTPA id" in message.content[:]
            assert (message.client.ip, message.client.auth_user) == ("", "app")

    run_on("asyncio", main())


@on_every_loop
def test_a_proxy_that_says_who_logged_in_is_believed(loop: str) -> None:
    settings = replace(REQUIRED, xclient_networks=("127.0.0.1/32",))

    async def main() -> None:
        async with receiving(settings) as reception:
            client = await reception.greeted(None)
            assert (await client.ask("XCLIENT ADDR=192.0.2.7 LOGIN=far")).startswith("220 ")
            await client.ask("EHLO far.test")
            for command in ENVELOPE[:2]:
                assert (await client.ask(command)).startswith("250 ")
            other = await reception.greeted(None)
            assert (await other.ask("XCLIENT ADDR=192.0.2.8")).startswith("220 ")
            await other.ask("EHLO far.test")
            assert (await other.ask(ENVELOPE[0])).startswith("530 5.7.0 ")

    run_on(loop, main())


@on_every_loop
def test_a_client_that_its_proxy_does_not_know_is_not_on_this_machine(loop: str) -> None:
    settings = replace(OPTIONAL, xclient_networks=("127.0.0.1/32",))

    async def main() -> None:
        async with receiving(settings) as reception:
            client = await reception.greeted(None)
            assert (await client.ask("XCLIENT ADDR=[UNAVAILABLE]")).startswith("220 ")
            await client.ask("EHLO far.test")
            assert (await client.ask("AUTH PLAIN")).startswith("538 ")

    run_on(loop, main())


# --- the dialogue


@on_every_loop
@pytest.mark.parametrize("begin", ["", "AUTH PLAIN "], ids=["answer", "initial"])
def test_a_line_of_12288_octets(begin: str, loop: str) -> None:
    """RFC 4954 section 4; one octet more is too long, and so it is for other commands."""

    async def main() -> None:
        async with receiving(OPTIONAL) as reception:
            for octets in (12288, 12289):
                client = await reception.greeted()
                if not begin:
                    assert await client.ask("AUTH PLAIN") == "334 "
                room = octets - 2 - len(begin)
                await client.send(f"{begin}{'A' * room}\r\n".encode())
                if octets == 12288:
                    assert (await client.line())[:4] in ("501 ", "535 ")
                    assert await client.ask("NOOP") == "250 2.0.0 OK"
                else:
                    assert await client.line() == "500 5.5.2 Line too long"
                    await client.gone()
            client = await reception.greeted()
            await client.send(b"NOOP " + b"A" * 4096 + b"\r\n")
            assert await client.line() == "500 5.5.2 Line too long"
            await client.gone()

    run_on(loop, main())


@on_every_loop
def test_nothing_is_read_while_a_login_is_checked(
    monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    """And others are served meanwhile: the check is not the loop's (HD-11)."""
    started: list[str] = []

    async def main() -> None:
        gate = asyncio.Event()
        here = asyncio.get_running_loop()

        def slowly(password: str, hashed: str) -> bool:
            started.append(hashed)
            asyncio.run_coroutine_threadsafe(gate.wait(), here).result(5)
            return is_password(password, hashed)

        monkeypatch.setattr(passwords, "is_password", slowly)
        async with receiving(REQUIRED) as reception:
            client, other = await reception.greeted(), await reception.greeted()
            leaving = await reception.greeted()
            await client.send(f"{GOOD}\r\nMAIL FROM:<a@x.test>\r\n".encode())
            await leaving.send(f"AUTH PLAIN {plain('shop')}\r\n".encode())
            await until(lambda: len(started) == 2)
            assert await other.ask("NOOP") == "250 2.0.0 OK"
            assert reception.intake.refusals == []
            leaving.reset()
            gate.set()
            await until(lambda: len(reception.receiver._sessions) == 2)
            assert (await client.line()).startswith("235 2.7.0 ")
            assert (await client.line()).startswith("250 2.1.0 ")

    run_on(loop, main())


def test_the_relay_stops_while_a_client_logs_in() -> None:
    async def main() -> None:
        async with receiving(OPTIONAL) as reception:
            client = await reception.greeted()
            await client.ask("AUTH LOGIN")
            reception.receiver.hurry()
            assert (await client.line()).startswith("421 4.3.2 ")
            await client.closed()

    run_on("asyncio", main())


@on_every_loop
def test_an_account_that_changes_ends_its_sessions(loop: str) -> None:
    """With the next message: what is removed or has a new password does not go on sending."""

    async def main() -> None:
        async with receiving(REQUIRED) as reception:
            client, other = await reception.greeted(), await reception.greeted()
            await client.ask(GOOD)
            await other.ask(f"AUTH PLAIN {plain('shop')}")
            write_users(reception.users_file, ("shop", "hunter2", "@x.test"))
            reception.clock.advance(timedelta(seconds=2))
            assert (await client.ask(ENVELOPE[0])).startswith("421 4.7.0 ")
            await client.closed()
            assert (await other.ask(ENVELOPE[0])).startswith("250 2.1.0 ")

    run_on(loop, main())


@on_every_loop
def test_who_fails_in_many_sessions_is_put_off(loop: str) -> None:
    """A-32: across sessions, and without a check."""

    async def main() -> None:
        async with receiving(OPTIONAL) as reception:
            codes: list[str] = []
            for _ in range(3):
                client = await reception.greeted()
                wrong = f"AUTH PLAIN {plain('app', 'x')}"
                codes += [(await client.ask(wrong))[:3] for _ in range(3)]
                assert (await client.line()).startswith("421 4.7.0 ")
                await client.closed()
            assert codes == ["535"] * 5 + ["454"] * 4
            client = await reception.greeted()
            assert (await client.ask(GOOD)).startswith("454 4.7.0 Too many failed logins")
            reception.clock.advance(timedelta(minutes=16))
            assert (await client.ask(GOOD)).startswith("235 2.7.0 ")

    run_on(loop, main())


# --- secrets


async def _say_all(client: WireClient) -> None:
    """Every way to say a password, right and wrong."""
    for command in (
        f"AUTH PLAIN {plain('app', 'sesame-open')}",
        f"AUTH PLAIN {plain('app', 'hunter2', 'other')}",
        f"AUTH PLAIN {plain('app')} again",
        f"AUTH CRAM-MD5 {plain('app')}",
        f"AUTH PLAIN {plain('app')[:-1]}",
    ):
        await client.ask(command)
    await client.ask("AUTH LOGIN")
    await client.ask("YXBw")
    await client.ask("aHVudGVyMg==")
    await client.ask(f"MAIL FROM:<a@x.test> AUTH={plain('app').rstrip('=')}")


def test_no_secret_is_in_any_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A-33, at debug level of everything that logs."""
    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        asyncio.get_running_loop().set_debug(True)
        async with receiving(OPTIONAL) as reception:
            client = await reception.greeted()
            await _say_all(client)
            await until(lambda: reception.intake.refusals)
            written.append(json.dumps(reception.intake.refusals, default=str))
            written.extend(
                repr((vars(session), vars(session._dialogue), session.client))
                for session in reception.receiver._sessions
            )

    written: list[str] = []
    with capture_logs() as logs:
        run_on("asyncio", main())
    assert [entry["event"] for entry in logs if entry["event"] == "login_failed"]
    everything = "\n".join([*written, repr(logs), caplog.text, *capfd.readouterr()])
    assert "5.7.8" in everything
    assert not [secret for secret in SECRETS if secret in everything]


def test_a_failed_login_is_noted_with_a_clean_name() -> None:
    """A-25: in the operational log with its name, in the status log as other refusals."""

    async def main() -> None:
        async with receiving(OPTIONAL) as reception:
            client = await reception.greeted()
            name = "ä\r\n\x1b[2J" + "x" * 500
            assert (await client.ask(f"AUTH PLAIN {plain(name)}")).startswith("535 5.7.8 ")
            [refusal] = reception.intake.refusals
            assert (refusal["client_ip"], refusal["code"]) == ("127.0.0.1", 535)

    with capture_logs() as logs:
        run_on("asyncio", main())
    [entry] = [entry for entry in logs if entry["event"] == "login_failed"]
    assert entry["client_ip"] == "127.0.0.1"
    assert entry["auth_user"].isascii()
    assert entry["auth_user"].isprintable()
    assert len(entry["auth_user"]) <= 64


@on_every_loop
def test_a_bug_in_one_session_ends_no_other(
    loop: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """House style 6.3: its traceback is logged once, and its client hears nothing more."""

    async def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    async def main() -> None:
        async with receiving(OPTIONAL) as reception:
            monkeypatch.setattr(users.Users, "check", fail)
            unlucky, other = await reception.greeted(), await reception.greeted()
            await unlucky.send(f"{GOOD}\r\n".encode())
            await until(lambda: "session_failed" in capsys.readouterr().out)
            assert (await other.ask("NOOP")).startswith("250 ")

    run_on(loop, main())

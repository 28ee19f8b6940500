"""The network as a worker has it: a login with what its file holds now."""

import asyncio
import os
import resource
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from relayd.errors import Shortage
from relayd.mail.attempt import RouteKind
from relayd.mail.reply import Stage
from relayd.mail.words import Fault
from relayd.policy.oauth2.grants import Flow, OAuth2Settings
from relayd.policy.tls.ladder import asked_by
from relayd.ports.outward import SessionFailed, Target
from relayd.settings import AuthMechanism, Login, TlsMode
from relayd.worker.system import SmtpTransport
from tests.support.certificates import Authority
from tests.support.clock import FakeClock
from tests.support.scripted_server import Script, ScriptedServer
from tests.support.token_server import TokenServer, granted

NEW = "AUTH XOAUTH2 dXNlcj1hcHABYXV0aD1CZWFyZXIgbmV3AQE="  # of app, with the token "new"


def target_of(server: ScriptedServer, file: Path) -> Target:
    return Target(
        route=RouteKind.SMARTHOST,
        host="localhost",
        ip="127.0.0.1",
        port=server.port,
        requirement=asked_by(TlsMode.OFF, "127.0.0.1"),
        login=Login(username="app", secret="old", mechanism=AuthMechanism.XOAUTH2, file=str(file)),
    )


async def test_each_login_has_the_secret_of_its_file_as_it_is_now(tmp_path: Path) -> None:
    """S-53: a token lives for an hour, and no reload follows a new one."""
    file = tmp_path / "token"
    file.write_text("old\n")
    file.chmod(0o600)
    script: Script = {"EHLO": ["AUTH XOAUTH2"], "AUTH": "535 5.7.8 no", NEW: "235 welcome"}
    async with ScriptedServer(script) as server:
        transport = SmtpTransport(helo="relay.test", clock=FakeClock())
        target = target_of(server, file)
        with pytest.raises(SessionFailed) as caught:
            await transport.connect(target)
        assert caught.value.login_refused
        file.write_text("new\n")
        connection = await transport.connect(target)
        await connection.quit()


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no such file"), (b"", "empty"), (b"new\nsecret", "one line"), (b"\xff", "UTF-8")],
)
async def test_without_its_secret_nobody_is_asked(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    """It is a fault of ours: the mail waits as when the login is refused."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    async with ScriptedServer({"EHLO": ["AUTH XOAUTH2"]}) as server:
        transport = SmtpTransport(helo="relay.test", clock=FakeClock())
        with pytest.raises(SessionFailed, match=words) as caught:
            await transport.connect(target_of(server, file))
        failed = caught.value
        assert (failed.stage, failed.login_refused) == (Stage.AUTH, True)
        assert failed.breakdown is not None
        assert failed.breakdown.fault is Fault.LOCAL
        assert "secret" not in str(failed)
        assert server.connections == 0


async def test_a_lack_of_descriptors_refuses_no_login(tmp_path: Path) -> None:
    """It passes in seconds; a refused login is left alone for an hour."""
    file = tmp_path / "token"
    file.write_text("new\n")
    file.chmod(0o600)
    async with ScriptedServer({"EHLO": ["AUTH XOAUTH2"], "AUTH": "235 welcome"}) as server:
        transport = SmtpTransport(helo="relay.test", clock=FakeClock())
        await asyncio.to_thread(int)  # a thread is there already
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        following = os.open(file, os.O_RDONLY)
        os.close(following)
        resource.setrlimit(resource.RLIMIT_NOFILE, (following, hard))
        try:
            with pytest.raises(Shortage, match="our password or token"):
                await transport.connect(target_of(server, file))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        connection = await transport.connect(target_of(server, file))
        await connection.quit()


async def test_a_login_without_a_file_stays_what_it_is(tmp_path: Path) -> None:
    async with ScriptedServer({"EHLO": ["AUTH XOAUTH2"], "AUTH": "235 welcome"}) as server:
        transport = SmtpTransport(helo="relay.test", clock=FakeClock())
        target = target_of(server, tmp_path)
        assert target.login is not None
        target = replace(target, login=replace(target.login, file="", secret="new"))
        connection = await transport.connect(target)
        await connection.quit()
        assert NEW in server.dialog


async def test_a_token_that_was_revoked_is_replaced_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is old enough to be to blame: a new one is asked for, and no mail has to wait."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)
    secret = tmp_path / "secret"
    secret.write_text("s\n")
    secret.chmod(0o600)
    script: Script = {"EHLO": ["AUTH XOAUTH2"], "AUTH": "235 welcome", NEW: "235 welcome"}
    clock = FakeClock()
    answers = [granted("old"), granted("new")]
    async with (
        ScriptedServer(script) as server,
        TokenServer(authority.server_context("127.0.0.1"), answers) as tokens,
    ):
        transport = SmtpTransport(helo="relay.test", clock=clock)
        target = target_of(server, secret)
        assert target.login is not None
        oauth2 = OAuth2Settings(
            name="default",
            user="app",
            flow=Flow.CLIENT_CREDENTIALS,
            token_url=tokens.url,
            device_url="",
            scope="",
            client_id="id",
            secret_file=str(secret),
            state=str(tmp_path / "oauth2" / "default"),
        )
        login = replace(target.login, mechanism=AuthMechanism.OAUTH2, oauth2=oauth2)
        target = replace(target, login=login)
        await (await transport.connect(target)).quit()
        server.script["AUTH"] = "535 5.7.8 revoked"
        with pytest.raises(SessionFailed):  # it is too young
            await transport.connect(target)
        assert len(tokens.forms) == 1
        clock.advance(timedelta(minutes=2))
        await (await transport.connect(target)).quit()
        assert len(tokens.forms) == 2

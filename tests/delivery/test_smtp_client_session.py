"""Making a session: connect, greeting, EHLO, STARTTLS, login, against servers of every kind."""

import asyncio
import base64
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from relayd.mail.attempt import RouteKind
from relayd.mail.reply import Stage
from relayd.mail.tls_result import Proof, TlsProof, TlsResultType
from relayd.mail.tlsa import Tlsa
from relayd.mail.words import Category, Fault
from relayd.net.smtp.client import (
    Connection,
    SessionFailed,
    Target,
    Timers,
    TlsContexts,
    connect,
    resolve,
)
from relayd.net.smtp.login import lines_of
from relayd.policy.tls.ladder import Level, Requirement, TlsEvent, TlsFailure, asked_by
from relayd.settings import AuthMechanism, CertificateSettings, Login, TlsMode
from tests.support import next_hop
from tests.support.certificates import Authority, untrusted_context
from tests.support.clock import FakeClock
from tests.support.next_hop import (
    HASTY,
    PATIENT,
    a_target,
    all_seen,
    connect_to,
    deliver,
    shared_contexts,
)
from tests.support.scripted_server import (
    CLOSE,
    CUTS,
    HANG,
    RESET,
    SWALLOW,
    Action,
    Cut,
    Drip,
    InTurn,
    Raw,
    Script,
    ScriptedServer,
    Wait,
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def contexts(authority: Authority) -> TlsContexts:
    return TlsContexts(cafile=authority.cafile)


async def failure_of(
    server: ScriptedServer,
    *,
    timers: Timers | None = None,
    tls: TlsMode = TlsMode.OFF,
    login: Login | None = None,
    contexts: TlsContexts | None = None,
) -> SessionFailed:
    """Connect, which must fail, and say how."""
    with pytest.raises(SessionFailed) as caught:
        await connect_to(server, timers=timers or Timers(), tls=tls, login=login, contexts=contexts)
    failure = caught.value
    assert (failure.reply is None) != (failure.breakdown is None)
    assert failure.peer is not None
    assert failure.peer.port == server.port
    return failure


def words_of(failure: SessionFailed) -> tuple[str, str]:
    """Category and reason."""
    assert failure.breakdown is not None
    return failure.breakdown.category.value, failure.breakdown.reason


# Connect


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = ScriptedServer()
        server.port = unused.getsockname()[1]
        failure = await failure_of(server)
    assert failure.stage is Stage.CONNECT
    assert words_of(failure) == ("connection_failure", "connection refused")
    assert str(failure) == "connect: connection refused"


async def test_a_source_address_that_is_not_ours_is_our_fault() -> None:
    target = Target(
        route=RouteKind.DIRECT,
        host="mx.test",
        ip="127.0.0.1",
        port=9,
        requirement=asked_by(TlsMode.OFF, "127.0.0.1"),
        login=None,
        source_ip="192.0.2.1",
    )
    with pytest.raises(SessionFailed) as caught:
        await connect(
            target, helo="relay.test", timers=HASTY, tls=shared_contexts(), clock=FakeClock()
        )
    assert caught.value.breakdown is not None
    assert caught.value.breakdown.fault.value == "local"


async def test_the_source_address_is_used() -> None:
    async with ScriptedServer() as server:
        target = Target(
            route=RouteKind.SMARTHOST,
            host="mx.test",
            ip="127.0.0.1",
            port=server.port,
            requirement=asked_by(TlsMode.OFF, "127.0.0.1"),
            login=None,
            source_ip="127.0.0.2",
        )
        connection = await connect(
            target, helo="relay.test", timers=HASTY, tls=shared_contexts(), clock=FakeClock()
        )
        await connection.quit()
        peer = connection.peer
        assert (peer.route, peer.host, peer.ip, peer.port) == (
            RouteKind.SMARTHOST,
            "mx.test",
            "127.0.0.1",
            server.port,
        )
        assert (peer.local_ip, peer.helo, peer.tls) == ("127.0.0.2", "relay.test", None)


@pytest.mark.parametrize("literal", ["192.0.2.1", "2001:db8::1"])
async def test_a_literal_is_not_looked_up(literal: str) -> None:
    assert await resolve(literal, 25) == [literal]


async def test_a_name_is_looked_up() -> None:
    assert "127.0.0.1" in await resolve("localhost", 25)


@pytest.mark.parametrize("name", ["a..b", "x" * 300, "nowhere.invalid"])
async def test_a_name_without_address_fails(name: str) -> None:
    with pytest.raises(SessionFailed) as caught:
        await resolve(name, 25)
    assert caught.value.breakdown is not None
    assert caught.value.breakdown.category.value == "dns_failure"
    assert caught.value.stage is Stage.CONNECT


# Greeting and EHLO


@pytest.mark.parametrize("stage", ["greeting", "ehlo", "starttls"])
@pytest.mark.parametrize("code", [421, 450, 454, 521, 554, 599])
async def test_a_refusal_before_mail(stage: str, code: int) -> None:
    """A-43, S-16: it is recorded as it is; nothing in here bounces anything."""
    script: Script = {"EHLO": ["STARTTLS"]} if stage == "starttls" else {"HELO": f"{code} no"}
    async with ScriptedServer({**script, stage: f"{code} no"}) as server:
        failure = await failure_of(server, tls=TlsMode.REQUIRED)
        assert failure.stage == stage
        assert failure.reply is not None
        assert failure.reply.code == code
        assert not failure.login_refused
        assert (server.dialog[-1:] == ["QUIT"]) == (code != 421)  # RFC 5321 §4.1.1.10


@pytest.mark.parametrize("stage", ["greeting", "ehlo"])
@pytest.mark.parametrize(
    ("action", "category"),
    [
        pytest.param(SWALLOW, "connection_failure", id="silence"),
        pytest.param(Drip("220 slowly slowly", 0.05), "connection_failure", id="drip"),
        pytest.param(CLOSE, "connection_failure", id="close"),
        pytest.param(RESET, "connection_failure", id="reset"),
        pytest.param(("220 a", "220 b"), "protocol_error", id="two"),
        pytest.param("354 go", "protocol_error", id="354"),
        pytest.param(Raw(b"SSH-2.0-x\r\n"), "protocol_error", id="ssh"),
        pytest.param(Raw(b"220-x\r\n" * 10_000), "protocol_error", id="endless-lines"),
        pytest.param(Raw(b"2" * 10_000_000), "protocol_error", id="10-MB"),
    ],
)
async def test_a_breakdown_before_mail(stage: str, action: Action, category: str) -> None:
    """A-40, A-41, A-42, A-45, A-46."""
    async with ScriptedServer({stage: action}) as server:
        slow = action is SWALLOW or isinstance(action, Drip)
        failure = await failure_of(server, timers=HASTY if slow else PATIENT)
        assert failure.stage == stage
        assert words_of(failure)[0] == category


async def test_talk_between_greeting_and_ehlo_is_a_violation() -> None:
    async with ScriptedServer({"GREETING": ("220 hi", Raw(b"25"))}) as server:
        assert words_of(await failure_of(server))[0] == "protocol_error"


@pytest.mark.parametrize("code", [500, 501, 502, 503, 504, 530, 550, 555, 599])
async def test_helo_where_ehlo_is_not_known(code: int) -> None:
    """RFC 5321 §3.2: after any 5yz that may be about EHLO; nothing counts as offered then."""
    async with ScriptedServer({"EHLO": f"{code} what"}) as server:
        connection = await connect_to(server)
        await deliver(connection)
        await connection.quit()
        assert server.dialog[:3] == [
            "EHLO relay.test",
            "HELO relay.test",
            "MAIL FROM:<app@app.test>",
        ]


@pytest.mark.parametrize("code", [421, 450, 521, 554, 556])
async def test_no_helo_where_no_mail_is_taken(code: int) -> None:
    """RFC 7504; a 4yz is for now, and another hello would not change it."""
    async with ScriptedServer({"EHLO": f"{code} no"}) as server:
        failure = await failure_of(server)
        assert (failure.stage, str(failure.reply)) == (Stage.EHLO, f"{code} no")
        assert "HELO relay.test" not in server.dialog


async def test_quit_to_a_host_that_refused_us_is_not_waited_for_long() -> None:
    """The next host comes after a second at the most."""
    async with ScriptedServer({"GREETING": "554 no", "QUIT": SWALLOW}) as server:
        failure = await failure_of(server, timers=Timers(refused=0.1))
        assert (failure.stage, server.dialog) == (Stage.GREETING, ["QUIT"])


async def test_helo_may_be_refused_too() -> None:
    async with ScriptedServer({"EHLO": "502 what", "HELO": "550 no"}) as server:
        failure = await failure_of(server)
        assert (failure.stage, str(failure.reply)) == (Stage.EHLO, "550 no")


@pytest.mark.parametrize(
    "extensions",
    [
        pytest.param([f"X{number}" for number in range(3000)], id="3000-lines"),
        pytest.param(
            ["SIZE -1", "size 9e99", "SIZE", "AUTH=", "AUTH " + "X " * 1000, ""], id="odd"
        ),
        pytest.param(["SIZE 0"], id="size-0-is-no-limit"),
        pytest.param(["SIZE 99999999999999999999999"], id="size-beyond-all"),
    ],
)
async def test_odd_extensions_do_no_harm(extensions: list[str]) -> None:
    """A-48."""
    async with ScriptedServer({"EHLO": extensions}) as server:
        connection = await connect_to(server)
        assert all_seen(await deliver(connection)) == [("dot", 250)]
        await connection.quit()


# TLS


async def delivered(server: ScriptedServer, connection: Connection) -> bool:
    """Deliver one message and say whether it went over TLS."""
    assert all_seen(await deliver(connection)) == [("dot", 250)]
    await connection.quit()
    return server.messages[-1].tls


@pytest.mark.parametrize("mode", [TlsMode.OPPORTUNISTIC, TlsMode.REQUIRED, TlsMode.VERIFY])
async def test_a_good_certificate(
    mode: TlsMode, authority: Authority, contexts: TlsContexts
) -> None:
    async with ScriptedServer(tls=authority.server_context("mx.test")) as server:
        connection = await connect_to(server, tls=mode, contexts=contexts)
        assert await delivered(server, connection)
        tls = connection.peer.tls
        assert tls is not None
        assert (tls.version, tls.verified, tls.problem) == ("TLSv1.3", True, "")
        assert tls.cipher.startswith("TLS_")
        assert server.dialog.count("EHLO relay.test") == 2  # again under TLS


def renew(authority: Authority, pair: CertificateSettings) -> None:
    Path(pair.key).unlink()
    authority.write_pair(Path(pair.key).parent, "relay.test")


def spoil(pair: CertificateSettings, text: str | None) -> None:
    if text is None:
        Path(pair.certificate).unlink(missing_ok=True)
    else:
        Path(pair.certificate).write_text(text)


@pytest.mark.parametrize("mode", [TlsMode.OPPORTUNISTIC, TlsMode.VERIFY, TlsMode.IMPLICIT])
async def test_a_server_that_wants_our_certificate_gets_it(
    mode: TlsMode, authority: Authority, tmp_path: Path
) -> None:
    """And a renewed one is shown on the next connection."""
    ours = authority.write_pair(tmp_path, "relay.test")
    context = authority.server_context("mx.test")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.cafile)
    contexts = TlsContexts(cafile=authority.cafile)
    implicit = mode is TlsMode.IMPLICIT
    async with ScriptedServer(tls=context, implicit=implicit) as server:
        for _ in range(2):
            connection = await connect_to(server, tls=mode, contexts=contexts, certificate=ours)
            assert await delivered(server, connection)
            await connection.quit()
            known = await contexts.context_for(ours)
            assert await contexts.context_for(ours) is known
            renew(authority, ours)
            assert await contexts.context_for(ours) is not known
        if mode is not TlsMode.OPPORTUNISTIC:  # which would go on in clear text
            with pytest.raises(SessionFailed):
                await connect_to(server, tls=mode, contexts=contexts)


@pytest.mark.parametrize("mode", [TlsMode.OPPORTUNISTIC, TlsMode.IMPLICIT])
async def test_without_our_certificate_nobody_is_asked(
    mode: TlsMode, authority: Authority, tmp_path: Path
) -> None:
    """Its files are ours to set right: the mail waits, and never goes without."""
    ours = authority.write_pair(tmp_path, "relay.test")
    spoil(ours, "no certificate")
    async with ScriptedServer(tls=authority.server_context("mx.test")) as server:
        for why in ("cannot be used", "no such file"):
            with pytest.raises(SessionFailed) as caught:
                await connect_to(server, tls=mode, certificate=ours)
            breakdown = caught.value.breakdown
            assert breakdown is not None
            assert (breakdown.category, breakdown.fault) == (Category.TLS_FAILURE, Fault.LOCAL)
            assert why in breakdown.reason.lower()
            spoil(ours, None)
        assert not server.dialog


BAD = [
    pytest.param(False, "other.test", "hostname mismatch", id="wrong-name"),
    pytest.param(False, "*.mx.test", "hostname mismatch", id="two-level-wildcard"),
    pytest.param(True, "mx.test", "unable to get local issuer certificate", id="unknown-authority"),
]


def bad_server(authority: Authority, name: str, *, unknown: bool) -> ssl.SSLContext:
    return untrusted_context(name) if unknown else authority.server_context(name)


@pytest.mark.parametrize(("unknown", "name", "problem"), BAD)
async def test_verify_means_verify(
    name: str, problem: str, authority: Authority, contexts: TlsContexts, *, unknown: bool
) -> None:
    """A-50: unreachable, with the reason."""
    async with ScriptedServer(tls=bad_server(authority, name, unknown=unknown)) as server:
        failure = await failure_of(server, tls=TlsMode.VERIFY, contexts=contexts)
        assert failure.stage is Stage.STARTTLS
        category, reason = words_of(failure)
        assert category == "tls_failure"
        assert problem in reason.lower()
        assert server.connections == 1


@pytest.mark.parametrize("mode", [TlsMode.OPPORTUNISTIC, TlsMode.REQUIRED])
@pytest.mark.parametrize(("unknown", "name", "problem"), BAD)
async def test_other_modes_take_any_certificate_and_say_so(
    mode: TlsMode,
    name: str,
    problem: str,
    authority: Authority,
    contexts: TlsContexts,
    *,
    unknown: bool,
) -> None:
    """On one connection each; the log has it once an hour, the history every time."""
    async with ScriptedServer(tls=bad_server(authority, name, unknown=unknown)) as server:
        with structlog.testing.capture_logs() as log:
            for expected in (1, 2):
                connection = await connect_to(server, tls=mode, contexts=contexts)
                assert await delivered(server, connection)
                tls = connection.peer.tls
                assert tls is not None
                assert not tls.verified
                assert problem in tls.problem.lower()
                assert server.connections == expected
        assert [entry["event"] for entry in log] == ["tls_failed"]


def by_records(*records: Tlsa) -> Requirement:
    host = "mx.test"
    return Requirement(level=Level.DANE, records=records, base=host, names=(host, "x.test"))


def of_issuer(authority: Authority) -> Tlsa:
    der = ssl.PEM_cert_to_DER_cert(Path(authority.cafile).read_text())
    return Tlsa(2, 0, 0, der)


async def reach(
    server: ScriptedServer, requirement: Requirement, contexts: TlsContexts
) -> Connection:
    target = replace(a_target(server), requirement=requirement)
    return await connect(target, helo="relay.test", timers=PATIENT, tls=contexts, clock=FakeClock())


async def test_a_host_of_which_tlsa_records_speak(
    authority: Authority, contexts: TlsContexts
) -> None:
    """RFC 7672 §3.1: under an anchor of its own name and dates count, for its own key neither."""
    anchor = of_issuer(authority)
    async with ScriptedServer(tls=authority.server_context("mx.test")) as server:
        connection = await reach(server, by_records(anchor), contexts)
        assert connection.proof == Proof(
            kind=TlsProof.DANE_TA, record=anchor, base="mx.test", name="mx.test"
        )
        assert connection.peer.tls is not None
        assert connection.peer.tls.verified
        assert await delivered(server, connection)
    async with ScriptedServer(tls=authority.server_context("other.test")) as server:
        with pytest.raises(SessionFailed) as caught:
            await reach(server, by_records(anchor), contexts)
        peer = caught.value.peer
        assert peer is not None
        assert peer.tls_result is not None
        assert peer.tls_result.result is TlsResultType.CERTIFICATE_HOST_MISMATCH
        assert server.connections == 1
        assert "MAIL" not in str(server.dialog)


async def test_no_mail_without_a_record_that_fits(
    authority: Authority, contexts: TlsContexts
) -> None:
    """Though an authority that everybody trusts vouches for it."""
    async with ScriptedServer(tls=authority.server_context("mx.test")) as server:
        with pytest.raises(SessionFailed) as caught:
            await reach(server, by_records(Tlsa(3, 1, 1, b"x" * 32)), contexts)
        assert caught.value.stage is Stage.STARTTLS
        assert words_of(caught.value)[0] == "tls_failure"
        assert "dane-no-match" in str(caught.value)
        assert set(server.dialog) == {"EHLO relay.test", "STARTTLS", "QUIT"}


@pytest.mark.parametrize(
    "script",
    [
        pytest.param({}, id="not-offered"),
        pytest.param({"EHLO": ["STARTTLS"], "STARTTLS": "454 not now"}, id="refused"),
        pytest.param({"EHLO": ["STARTTLS"], "STARTTLS": CLOSE}, id="closed"),
    ],
)
async def test_dane_never_goes_in_clear_text(script: Script, contexts: TlsContexts) -> None:
    """Not even to a host of which it is known that its TLS is broken."""
    async with ScriptedServer(script) as server:
        await (await connect_to(server, tls=TlsMode.OPPORTUNISTIC, contexts=contexts)).quit()
        with pytest.raises(SessionFailed):
            await reach(server, by_records(Tlsa(3, 1, 1, b"x" * 32)), contexts)
        assert not server.messages


@pytest.mark.parametrize(
    ("event", "remembered"),
    [
        pytest.param(TlsEvent.EXPIRED, 3599.0, id="certificate"),
        pytest.param(TlsEvent.NO_HANDSHAKE, 599.0, id="tls"),
    ],
)
def test_a_problem_is_forgotten(contexts: TlsContexts, event: TlsEvent, remembered: float) -> None:
    """A bad certificate after an hour; that there is no TLS after ten minutes."""
    target = a_target(ScriptedServer(port=25))
    elsewhere = [replace(target, ip="192.0.2.2"), replace(target, port=26)]
    problem = TlsFailure(event=event, reason="why")
    assert contexts.remember(target, problem, now=10.0)
    assert not contexts.remember(target, problem, now=11.0)
    assert contexts.failure_of(target, now=10.0 + remembered) == problem
    assert [contexts.failure_of(other, now=10.0) for other in elsewhere] == [None, None]
    assert contexts.failure_of(target, now=11.0 + remembered) is None


async def test_tls_is_not_used_when_off(authority: Authority) -> None:
    async with ScriptedServer(tls=authority.server_context("mx.test")) as server:
        assert not await delivered(server, await connect_to(server))


@pytest.mark.parametrize("mode", [TlsMode.REQUIRED, TlsMode.VERIFY])
async def test_starttls_that_is_not_offered(mode: TlsMode) -> None:
    """A-49: never plaintext."""
    async with ScriptedServer() as server:
        failure = await failure_of(server, tls=mode)
        assert failure.stage is Stage.STARTTLS
        assert words_of(failure) == ("tls_failure", "the server does not offer STARTTLS")
        assert server.dialog[-1] == "QUIT"


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(("220 go", CLOSE), id="close"),
        pytest.param(("220 go", RESET), id="reset"),
        pytest.param(("220 go", HANG), id="silence"),
    ],
)
async def test_a_handshake_that_fails(action: Action) -> None:
    """A-49: opportunistic goes on in clear text on a new connection, with a log entry."""
    script: Script = {"EHLO": ["STARTTLS"], "STARTTLS": action}
    timers = Timers(connect=0.3)
    async with ScriptedServer(script) as server:
        for mode in (TlsMode.REQUIRED, TlsMode.VERIFY):
            failure = await failure_of(server, tls=mode, timers=timers)
            assert failure.stage is Stage.STARTTLS
            assert words_of(failure)[0] == "tls_failure"
        with structlog.testing.capture_logs() as log:
            connection = await connect_to(server, tls=TlsMode.OPPORTUNISTIC, timers=timers)
        assert connection.peer.tls is None
        assert not await delivered(server, connection)
        assert server.connections == 4
        assert [entry["event"] for entry in log] == ["tls_failed"]


async def test_garbage_instead_of_a_handshake() -> None:
    script: Script = {
        "EHLO": ["STARTTLS"],
        "": "500 what",
        "GREETING": "220 hi",
        "STARTTLS": "220 go",
    }
    async with ScriptedServer(script) as server:
        failure = await failure_of(server, tls=TlsMode.REQUIRED, timers=Timers(connect=0.3))
        assert words_of(failure)[0] == "tls_failure"
        server.unclean.clear()  # a ClientHello is no SMTP


async def test_a_handshake_has_a_deadline() -> None:
    script: Script = {"EHLO": ["STARTTLS"], "STARTTLS": ("220 go", HANG)}
    async with ScriptedServer(script) as server:
        failure = await failure_of(server, tls=TlsMode.REQUIRED, timers=Timers(connect=0.2))
        assert words_of(failure) == ("tls_failure", "TLS handshake not finished in time")


async def test_an_old_protocol_is_refused(authority: Authority, contexts: TlsContexts) -> None:
    """A-49: a server that knows TLS 1.1 at most."""
    context = authority.server_context("mx.test")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with ScriptedServer(tls=context) as server:
        failure = await failure_of(server, tls=TlsMode.REQUIRED, contexts=contexts)
        assert words_of(failure)[0] == "tls_failure"


@pytest.mark.parametrize("cut", CUTS, ids=[cut.value for cut in CUTS])
async def test_plaintext_behind_the_220_is_an_attack(
    cut: Cut, authority: Authority, contexts: TlsContexts
) -> None:
    """A-49, HC-14: injected replies never reach a session under TLS; it is closed at once.

    What comes so late that the handshake has begun spoils that. Where clear text is allowed it is
    used, and logged, over another connection.
    """
    script: Script = {"STARTTLS": ("220 go", "250-mx.test", "250 AUTH PLAIN")}
    context = authority.server_context("mx.test")
    async with ScriptedServer(script, tls=context, cut=cut) as server:
        failure = await failure_of(server, tls=TlsMode.REQUIRED, contexts=contexts)
        assert failure.stage is Stage.STARTTLS
        assert words_of(failure)[0] == "tls_failure"
        with structlog.testing.capture_logs() as log:
            connection = await connect_to(server, tls=TlsMode.OPPORTUNISTIC, contexts=contexts)
        assert not await delivered(server, connection)
        assert [entry["event"] for entry in log] == ["tls_failed"]


NO_ANSWERS: list[object] = [
    pytest.param("354 go", id="354"),
    pytest.param("421 4.3.2 bye", id="421"),
    pytest.param("221 2.0.0 bye", id="221"),
    pytest.param("454 not now", id="454"),
    pytest.param("502 not known", id="502"),
    pytest.param(("454 not now", CLOSE), id="454-and-close"),
    pytest.param(Raw(b"\xff\xfe\r\n"), id="junk"),
    pytest.param(Raw(b"220-a\r\n250 b\r\n"), id="mixed-codes"),
    pytest.param(CLOSE, id="close"),
    pytest.param(RESET, id="reset"),
    pytest.param(HANG, id="silence"),
]


@pytest.mark.parametrize("action", NO_ANSWERS)
async def test_a_starttls_that_ends_the_session(action: Action) -> None:
    """Opportunistic goes on in clear text, over another connection if it has to; nobody else ever does."""
    is_refused = action in ("454 not now", "502 not known")  # by a server that goes on
    script: Script = {"EHLO": ["STARTTLS"], "STARTTLS": action}
    contexts, timers = TlsContexts(), Timers(connect=0.3)
    async with ScriptedServer(script) as server:
        for mode in (TlsMode.REQUIRED, TlsMode.VERIFY):
            failure = await failure_of(server, tls=mode, timers=timers, contexts=contexts)
            assert failure.stage is Stage.STARTTLS
        with structlog.testing.capture_logs() as log:
            for _ in range(2):
                connection = await connect_to(
                    server, tls=TlsMode.OPPORTUNISTIC, timers=timers, contexts=contexts
                )
                assert not await delivered(server, connection)
        assert [entry["event"] for entry in log] == ["tls_failed"]
        assert server.connections == (4 if is_refused else 5)  # the last one knew it


@pytest.mark.parametrize("mode", [TlsMode.REQUIRED, TlsMode.VERIFY])
async def test_a_handshake_that_stalled_is_remembered(
    mode: TlsMode, authority: Authority, contexts: TlsContexts
) -> None:
    """It costs one connection its 30 s; meanwhile clear text is used only where it is allowed."""
    stalls = Wait(asyncio.Event(), "220 go")
    script: Script = {"STARTTLS": InTurn(("220 go", stalls), "220 go")}
    timers = Timers(connect=0.3)
    context = authority.server_context("mx.test")
    async with ScriptedServer(script, tls=context) as server:
        tls = TlsMode.OPPORTUNISTIC
        for number in (2, 3):
            connection = await connect_to(server, tls=tls, timers=timers, contexts=contexts)
            assert not await delivered(server, connection)
            assert server.connections == number
        connection = await connect_to(server, tls=mode, contexts=contexts)
        assert await delivered(server, connection)


@pytest.mark.parametrize("action", [CLOSE, RESET, "221 bye"])
async def test_a_server_that_says_only_under_tls_that_it_wants_none(
    action: Action, authority: Authority, contexts: TlsContexts
) -> None:
    """With TLS 1.3 the client's handshake is over before the server has judged it."""
    good = "250 mx.test\nSTARTTLS"
    script: Script = {"EHLO": InTurn(good, action, good, action, "250 mx.test")}
    async with ScriptedServer(script, tls=authority.server_context("mx.test")) as server:
        failure = await failure_of(server, tls=TlsMode.REQUIRED, contexts=contexts)
        assert (failure.stage, words_of(failure)[0]) == (Stage.STARTTLS, "tls_failure")
        connection = await connect_to(server, tls=TlsMode.OPPORTUNISTIC, contexts=contexts)
        assert not await delivered(server, connection)


async def test_what_is_offered_under_tls_counts(
    authority: Authority, contexts: TlsContexts
) -> None:
    """A-48: EHLO different after TLS."""
    script: Script = {"EHLO": InTurn("250 mx.test\nSIZE 1\nSTARTTLS", "250 mx.test")}
    async with ScriptedServer(script, tls=authority.server_context("mx.test")) as server:
        connection = await connect_to(server, tls=TlsMode.VERIFY, contexts=contexts)
        assert await delivered(server, connection)


# TLS from the first octet on


async def test_implicit_tls(authority: Authority, contexts: TlsContexts) -> None:
    """RFC 8314 §3.3: one EHLO, no STARTTLS, and the certificate proves the name."""
    context = authority.server_context("mx.test")
    async with ScriptedServer(tls=context, implicit=True) as server:
        connection = await connect_to(server, tls=TlsMode.IMPLICIT, contexts=contexts)
        tls = connection.peer.tls
        assert tls is not None
        assert tls.verified
        assert await delivered(server, connection)
        assert [line.partition(" ")[0] for line in server.dialog] == [
            *("EHLO", "MAIL", "RCPT", "DATA", "QUIT"),
        ]


@pytest.mark.parametrize(("unknown", "name", "problem"), BAD)
@pytest.mark.usefixtures("not_loopback")
async def test_implicit_tls_verifies(
    name: str, problem: str, authority: Authority, contexts: TlsContexts, *, unknown: bool
) -> None:
    context = bad_server(authority, name, unknown=unknown)
    async with ScriptedServer(tls=context, implicit=True) as server:
        failure = await failure_of(server, tls=TlsMode.IMPLICIT, contexts=contexts)
        assert failure.stage is Stage.CONNECT
        category, reason = words_of(failure)
        assert category == "tls_failure"
        assert problem in reason.lower()
        assert not set(server.dialog) - {"QUIT"}


@pytest.mark.parametrize(("unknown", "name", "problem"), BAD)
async def test_implicit_tls_to_this_machine_takes_any_certificate(
    name: str, problem: str, authority: Authority, contexts: TlsContexts, *, unknown: bool
) -> None:
    """And says what is wrong with it; a login may follow, as with STARTTLS."""
    context = bad_server(authority, name, unknown=unknown)
    script: Script = {"EHLO": ["AUTH PLAIN"]}
    async with ScriptedServer(script, tls=context, implicit=True) as server:
        connection = await connect_to(
            server, tls=TlsMode.IMPLICIT, login=a_login(), contexts=contexts
        )
        assert await delivered(server, connection)
        assert PLAIN in server.dialog
        tls = connection.peer.tls
        assert tls is not None
        assert problem in tls.problem.lower()


async def test_implicit_tls_where_the_server_speaks_in_clear_text() -> None:
    """Never a word without TLS; the reason names the trap."""
    async with ScriptedServer() as server:
        failure = await failure_of(server, tls=TlsMode.IMPLICIT)
        assert failure.stage is Stage.CONNECT
        assert words_of(failure) == (
            "tls_failure",
            "TLS handshake failed: the server does not speak TLS here",
        )
        server.unclean.clear()  # a ClientHello is no SMTP


@pytest.mark.parametrize("action", [CLOSE, RESET, HANG])
async def test_implicit_tls_that_never_begins(action: Action) -> None:
    async with ScriptedServer({"GREETING": action}) as server:
        failure = await failure_of(server, tls=TlsMode.IMPLICIT, timers=Timers(connect=0.2))
        assert (failure.stage, words_of(failure)[0]) == (Stage.CONNECT, "tls_failure")
        server.unclean.clear()


@pytest.mark.parametrize("mode", [TlsMode.OFF, TlsMode.VERIFY])
async def test_a_server_that_does_not_greet_is_logged(mode: TlsMode) -> None:
    """Long before the five minutes that it has: it may want TLS from the first octet on."""
    timers = Timers(greeting=0.4, notice=0.1)
    async with ScriptedServer({"GREETING": HANG}) as server:
        with structlog.testing.capture_logs() as log:
            failure = await failure_of(server, tls=mode, timers=timers)
        assert words_of(failure) == ("connection_failure", "no greeting within 0.4 s")
        assert [
            (each["event"], each["log_level"], each["remote_host"], each["remote_port"])
            for each in log
        ] == [("no_greeting", "warning", "mx.test", server.port)]
        assert 'tls = "implicit"' in log[0]["reason"]


async def test_no_greeting_after_an_implicit_handshake(authority: Authority) -> None:
    """Then TLS is not what it waits for."""
    contexts = TlsContexts(cafile=authority.cafile)
    context = authority.server_context("mx.test")
    timers = Timers(greeting=0.4, notice=0.1)
    async with ScriptedServer({"GREETING": HANG}, tls=context, implicit=True) as server:
        with structlog.testing.capture_logs() as log:
            await failure_of(server, tls=TlsMode.IMPLICIT, timers=timers, contexts=contexts)
        assert [each["event"] for each in log] == ["no_greeting"]
        assert "implicit" not in log[0]["reason"]


async def test_a_greeting_in_time_is_not_logged() -> None:
    async with ScriptedServer() as server:
        with structlog.testing.capture_logs() as log:
            connection = await connect_to(server, timers=Timers(notice=0.1))
        await connection.quit()
        assert not log


# Login

USER = "relay@x.test"
SECRET = "open sesame"


@pytest.fixture
def not_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make our server look as if it were elsewhere: loopback is exempt from the rules of A-51."""
    monkeypatch.setattr(Target, "is_loopback", False)
    monkeypatch.setattr(next_hop, "SEEN_AT", "192.0.2.1")


def a_login(mechanism: AuthMechanism = AuthMechanism.AUTO) -> Login:
    return Login(username=USER, secret=SECRET, mechanism=mechanism)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


PLAIN = "AUTH PLAIN " + b64(f"\0{USER}\0{SECRET}")
XOAUTH2 = "AUTH XOAUTH2 " + b64(f"user={USER}\1auth=Bearer {SECRET}\1\1")


@pytest.mark.parametrize(
    ("mechanism", "offer", "dialog"),
    [
        pytest.param(AuthMechanism.AUTO, "AUTH LOGIN PLAIN", [PLAIN], id="auto-plain"),
        pytest.param(AuthMechanism.AUTO, "AUTH=PLAIN", [PLAIN], id="old-style"),
        pytest.param(
            AuthMechanism.AUTO,
            "AUTH CRAM-MD5 LOGIN",
            ["AUTH LOGIN", b64(USER), b64(SECRET)],
            id="auto-login",
        ),
        pytest.param(AuthMechanism.PLAIN, "AUTH PLAIN", [PLAIN], id="plain"),
        pytest.param(
            AuthMechanism.LOGIN,
            "AUTH PLAIN LOGIN",
            ["AUTH LOGIN", b64(USER), b64(SECRET)],
            id="login",
        ),
        pytest.param(AuthMechanism.XOAUTH2, "AUTH XOAUTH2", [XOAUTH2], id="xoauth2"),
    ],
)
async def test_login(mechanism: AuthMechanism, offer: str, dialog: list[str]) -> None:
    """To loopback a password may go in clear text."""
    script: Script = {
        "EHLO": [offer],
        "AUTH LOGIN": "334 VXNlcm5hbWU6",
        b64(USER): "334 UGFzc3dvcmQ6",
        b64(SECRET): "235 welcome",
    }
    async with ScriptedServer(script) as server:
        connection = await connect_to(server, login=a_login(mechanism))
        await connection.quit()
        assert server.dialog == ["EHLO relay.test", *dialog, "QUIT"]


@pytest.mark.parametrize(
    ("reply", "refused"),
    [
        ("530 5.7.0 no", True),
        ("534 5.7.9 no", True),
        ("535 5.7.8 no", True),
        ("538 5.7.11 no", True),
        ("454 4.7.0 later", False),
        ("421 4.3.2 bye", False),
        ("500 what", True),
        ("502 5.5.1 no", True),
        ("504 5.5.4 no", True),
        ("550 5.7.30 Basic authentication is not supported", True),
        ("599 ?", True),
    ],
)
async def test_a_refused_login(reply: str, *, refused: bool) -> None:
    """A-51, S-53."""
    async with ScriptedServer({"EHLO": ["AUTH PLAIN"], "AUTH": reply}) as server:
        failure = await failure_of(server, login=a_login())
        assert (failure.stage, str(failure.reply)) == (Stage.AUTH, reply)
        assert failure.login_refused == refused
        assert SECRET not in str(failure)


@pytest.mark.parametrize(
    ("reply", "tried"),
    [
        ("504 5.5.4 unrecognized authentication type", True),
        ("504 no", True),
        ("535 5.5.4 mechanism not supported", True),
        ("534 5.7.4 security features not supported", True),
        ("535 5.7.8 no", False),
        ("454 4.7.0 later", False),
        ("454 5.7.4 odd", False),
    ],
)
async def test_login_is_tried_where_plain_is_not_known(reply: str, *, tried: bool) -> None:
    """RFC 4954 §4: 504 is about the mechanism, which the server offered all the same."""
    script: Script = {
        "EHLO": ["AUTH PLAIN LOGIN"],
        "AUTH PLAIN": reply,
        "AUTH LOGIN": "334 VXNlcm5hbWU6",
        b64(USER): "334 UGFzc3dvcmQ6",
        b64(SECRET): "235 welcome",
    }
    async with ScriptedServer(script) as server:
        if tried:
            connection = await connect_to(server, login=a_login())
            await connection.quit()
        else:
            failure = await failure_of(server, login=a_login())
            assert str(failure.reply) == reply
        assert ("AUTH LOGIN" in server.dialog) == tried
        failure = await failure_of(server, login=a_login(AuthMechanism.PLAIN))
        assert str(failure.reply) == reply


async def test_the_last_refusal_counts() -> None:
    script: Script = {"EHLO": ["AUTH PLAIN LOGIN"], "AUTH": InTurn("504 no", "535 5.7.8 no")}
    async with ScriptedServer(script) as server:
        failure = await failure_of(server, login=a_login())
        assert (str(failure.reply), failure.login_refused) == ("535 5.7.8 no", True)


@pytest.mark.parametrize("mechanism", [AuthMechanism.PLAIN, AuthMechanism.XOAUTH2])
async def test_a_long_secret_waits_for_its_challenge(mechanism: AuthMechanism) -> None:
    """RFC 4954 §4: in a command of more than 512 octets there is no room for it."""
    script: Script = {
        "EHLO": [f"AUTH {mechanism.value.upper()}"],
        "AUTH": "334 ",
        "": "235 welcome",
        "GREETING": "220 hi",
    }
    login = Login(username=USER, secret="t" * 2200, mechanism=mechanism)
    async with ScriptedServer(script) as server:
        connection = await connect_to(server, login=login)
        await connection.quit()
        assert server.dialog[1] == f"AUTH {mechanism.value.upper()}"
        assert b"t" * 2200 in base64.b64decode(server.dialog[2])
        assert len(server.dialog) == 4


SPOKEN = [each for each in AuthMechanism if each not in (AuthMechanism.AUTO, AuthMechanism.OAUTH2)]
"""The others stand for one of these."""


@given(
    username=st.text(min_size=1, max_size=400),
    secret=st.text(min_size=1, max_size=3000),
    mechanism=st.sampled_from(SPOKEN),
)
@example(username="a" * 10, secret="b" * 361, mechanism=AuthMechanism.PLAIN)  # 512 octets
@example(username="a" * 10, secret="b" * 362, mechanism=AuthMechanism.PLAIN)
def test_no_login_is_longer_than_a_command(
    username: str, secret: str, mechanism: AuthMechanism
) -> None:
    """Up to 512 octets, CR LF included, the secret goes with it; then it does not."""
    login = Login(username=username, secret=secret, mechanism=mechanism)
    command, *responses = lines_of(login, mechanism)
    assert len(command) + 2 <= 512
    if mechanism is not AuthMechanism.LOGIN and b" " not in command.removeprefix(b"AUTH "):
        assert len(command) + 1 + len(responses[0]) + 2 > 512


@pytest.mark.parametrize("mechanism", ["plain", "login", "xoauth2"])
async def test_challenges_for_ever(mechanism: str) -> None:
    """A-51: a bounded exchange."""
    script: Script = {"EHLO": ["AUTH PLAIN LOGIN XOAUTH2"], "AUTH": "334 ", "": "334 "}
    async with ScriptedServer({**script, "GREETING": "220 hi"}) as server:
        failure = await failure_of(server, login=a_login(AuthMechanism(mechanism)))
        assert words_of(failure)[0] == "protocol_error"
        assert len(server.dialog) <= 4


async def test_the_error_of_xoauth2_is_asked_for() -> None:
    script: Script = {
        "EHLO": ["AUTH XOAUTH2"],
        "AUTH": "334 eyJzdGF0dXMiOiI0MDEifQ==",
        "": "535 no",
    }
    async with ScriptedServer({**script, "GREETING": "220 hi"}) as server:
        failure = await failure_of(server, login=a_login(AuthMechanism.XOAUTH2))
        assert failure.login_refused
        assert server.dialog[-2:] == ["", "QUIT"]


async def test_a_mechanism_that_is_not_offered() -> None:
    async with ScriptedServer({"EHLO": ["AUTH CRAM-MD5"]}) as server:
        failure = await failure_of(server, login=a_login())
        assert (failure.stage, words_of(failure)[0]) == (Stage.AUTH, "relay_denied")
        assert server.dialog == ["EHLO relay.test", "QUIT"]


@pytest.mark.usefixtures("not_loopback")
async def test_login_under_verified_tls(authority: Authority, contexts: TlsContexts) -> None:
    """To anybody; and only what is offered under TLS counts."""
    script: Script = {"EHLO": InTurn("250 x\nAUTH X\nSTARTTLS", "250 x\nAUTH PLAIN")}
    async with ScriptedServer(script, tls=authority.server_context("mx.test")) as server:
        connection = await connect_to(
            server, tls=TlsMode.REQUIRED, login=a_login(), contexts=contexts
        )
        await connection.quit()
        assert PLAIN in server.dialog


@pytest.mark.parametrize("mode", [TlsMode.OFF, TlsMode.OPPORTUNISTIC, TlsMode.REQUIRED])
@pytest.mark.usefixtures("not_loopback")
async def test_no_password_without_verified_tls(mode: TlsMode, contexts: TlsContexts) -> None:
    """A-51."""
    script: Script = {"EHLO": InTurn("250 x\nAUTH PLAIN\nSTARTTLS")}
    async with ScriptedServer(script, tls=untrusted_context("mx.test")) as server:
        failure = await failure_of(server, tls=mode, login=a_login(), contexts=contexts)
        assert failure.stage is Stage.AUTH
        category, reason = words_of(failure)
        assert category == "tls_failure"
        assert reason.startswith("no password without verified TLS")
        assert not [line for line in server.dialog if line.startswith("AUTH")]


async def test_contexts_are_safe(authority: Authority, tmp_path: Path) -> None:
    tls = TlsContexts(cafile=authority.cafile)
    assert (await tls.context_for(None)).minimum_version is ssl.TLSVersion.TLSv1_2
    with pytest.raises(FileNotFoundError):
        TlsContexts(cafile=str(tmp_path / "missing.pem"))

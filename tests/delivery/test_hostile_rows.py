"""Hostile servers, by the rows of the contract: what the other tests of the client leave out.

A-40 to A-51 and A-54 at the level of the SMTP client, over a real socket. A-44, A-46 and A-54 are
in the tests of content and transactions; A-42 and A-53 as they concern hosts and destination queues, in theirs.
"""

import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from relayd.mail.attempt import RouteKind
from relayd.mail.reply import Stage
from relayd.net.smtp.client import SessionFailed, Target, Timers, TlsContexts, connect
from relayd.policy.tls.ladder import asked_by
from relayd.settings import AuthMechanism, Login, TlsMode
from tests.support.certificates import Authority
from tests.support.clock import FakeClock
from tests.support.next_hop import HASTY, all_seen, connect_to, connected, deliver, shared_contexts
from tests.support.scripted_server import (
    CLOSE,
    RESET,
    SWALLOW,
    Action,
    Beneath,
    Drip,
    Raw,
    Script,
    ScriptedServer,
)

LOGIN = Login(username="relay", secret="secret", mechanism=AuthMechanism.PLAIN)
OFFERS = ["STARTTLS", "AUTH PLAIN"]
BIG = b"Subject: big\r\n\r\n" + (b"x" * 998 + b"\r\n") * 20_000


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def contexts(authority: Authority) -> TlsContexts:
    return TlsContexts(cafile=authority.cafile)


async def failure_at(stage: str, action: Action, *, timers: Timers | None = None) -> SessionFailed:
    """Fail to get a session with a server that does this at STARTTLS or AUTH."""
    tls = TlsMode.REQUIRED if stage == "STARTTLS" else TlsMode.OFF
    login = LOGIN if stage == "AUTH" else None
    async with ScriptedServer({"EHLO": OFFERS, stage: action}) as server:
        with pytest.raises(SessionFailed) as caught:
            await connect_to(server, timers=timers or Timers(), tls=tls, login=login)
    assert caught.value.stage == stage.lower()
    reply = caught.value.reply
    refuses_login = stage == "AUTH" and reply is not None and reply.is_permanent  # S-53
    assert caught.value.login_refused is refuses_login
    return caught.value


# --- one octet now and then, at the stages before MAIL


async def test_a_host_that_takes_no_connection_has_a_deadline() -> None:
    """A full backlog: the kernel drops what we say."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for filling in (first, second):
            filling.settimeout(0)
            filling.connect_ex(listening.getsockname())
        target = Target(
            route=RouteKind.DIRECT,
            host="mx.test",
            ip="127.0.0.1",
            port=listening.getsockname()[1],
            requirement=asked_by(TlsMode.OFF, "127.0.0.1"),
            login=None,
        )
        with pytest.raises(SessionFailed, match=r"no connection within 0\.2 s") as caught:
            await connect(
                target,
                helo="relay.test",
                timers=Timers(connect=0.2),
                tls=shared_contexts(),
                clock=FakeClock(),
            )
        assert caught.value.stage is Stage.CONNECT


@pytest.mark.parametrize("stage", ["STARTTLS", "AUTH"])
@pytest.mark.parametrize(
    "action",
    [pytest.param(SWALLOW, id="silence"), pytest.param(Drip("220 slowly slowly", 0.05), id="drip")],
)
async def test_a_slow_answer_before_mail_has_a_deadline(stage: str, action: Action) -> None:
    timers = replace(HASTY, connect=HASTY.command) if stage == "STARTTLS" else HASTY
    failure = await failure_at(stage, action, timers=timers)
    assert failure.breakdown is not None
    assert failure.breakdown.reason == f"no answer to {stage} within 0.2 s"


# --- the end at each stage


@pytest.mark.parametrize("stage", ["STARTTLS", "AUTH"])
@pytest.mark.parametrize("action", [CLOSE, RESET, (Raw(b"220-half\r\n"), CLOSE)])
async def test_an_end_before_mail_is_no_session(stage: str, action: Action) -> None:
    failure = await failure_at(stage, action)
    assert failure.breakdown is not None
    assert failure.breakdown.category.value == "connection_failure"


@pytest.mark.parametrize("action", [CLOSE, RESET])
async def test_an_end_right_behind_the_354_is_before_the_dot(action: Action) -> None:
    async with (
        ScriptedServer({"DATA": ("354 go", action)}) as server,
        connected(server) as connection,
    ):
        delivery = await deliver(connection, content=BIG)
        assert all_seen(delivery) == [("data", "connection_failure")]
        assert not delivery.facts[0].dot_sent


ALERT = Beneath(b"\x15\x03\x03\x00\x02\x02\x28")  # handshake failure, fatal


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize(
    "action", [CLOSE, RESET, (ALERT, SWALLOW)], ids=["close", "reset", "alert"]
)
async def test_an_end_under_tls_is_seen_as_one_in_clear_text(
    stage: str, action: Action, authority: Authority, contexts: TlsContexts
) -> None:
    """Also without close_notify, and by an alert or garbage where TLS is expected."""
    context = authority.server_context("mx.test")
    async with ScriptedServer({stage: action}, tls=context) as server:
        connection = await connect_to(server, tls=TlsMode.VERIFY, contexts=contexts)
        delivery = await deliver(connection)
        [(at, category)] = all_seen(delivery)
        assert category == "connection_failure"
        assert at == stage or isinstance(action, tuple), "an alert may void replies before it"
        assert delivery.facts[0].dot_sent == (stage == "dot")
        assert not connection.is_usable
        await connection.quit()


# --- refusals at AUTH


@pytest.mark.parametrize("code", [421, 450, 451, 454, 500, 501, 503, 535, 554])
async def test_any_5yz_at_auth_refuses_the_login(code: int) -> None:
    """S-53: whatever the code; a 4yz is no session (S-15)."""
    failure = await failure_at("AUTH", f"{code} no")
    assert failure.reply is not None
    assert failure.reply.code == code


# --- the grammar of replies, on the wire


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"%d ok\r%d ok\r\n", id="bare-cr-inside"),
        pytest.param(b"%d ok\r%d ok\r", id="only-bare-cr"),
        pytest.param(b"%d-ok\r\n550 no, %d\r\n", id="mixed-codes"),
        pytest.param(b" %d ok %d\r\n", id="blank-in-front"),
    ],
)
async def test_a_reply_that_can_be_read_in_two_ways_is_none(stage: str, octets: bytes) -> None:
    code = 354 if stage == "data" else 250
    script: Script = {stage: Raw(octets % (code, code))}
    async with ScriptedServer(script) as server, connected(server, timers=HASTY) as connection:
        delivery = await deliver(connection)
        [(at, category)] = all_seen(delivery)
        assert at == stage
        assert category in ("protocol_error", "connection_failure")
        assert delivery.facts[0].dot_sent == (stage == "dot")
        assert not connection.is_usable


async def test_what_costs_nothing_is_tolerated() -> None:
    """Replies without text, lines that end in LF alone, and the digits beyond the first."""
    script: Script = {
        "GREETING": Raw(b"220\n"),
        "EHLO": Raw(b"250-mx.test\n250 PIPELINING\n"),
        "MAIL": Raw(b"250\r\n"),
        "RCPT": Raw(b"251 \n"),
        "DATA": Raw(b"399\n"),
        "DOT": Raw(b"299\n"),
    }
    async with ScriptedServer(script) as server, connected(server) as connection:
        assert all_seen(await deliver(connection)) == [("dot", 299)]


# --- hostile words, at every stage


HOSTILE = b"a\x00b\x1b]0;x\x07c\x9bd\xe2\x80\xaee\xe2\x80\xa8f\xff<b>%s{}' --"


@pytest.mark.parametrize("stage", ["greeting", "ehlo", "STARTTLS", "AUTH", "mail", "rcpt", "dot"])
async def test_hostile_words_come_out_clean(stage: str) -> None:
    reply = Raw(b"554 5.0.0 " + HOSTILE + b"\r\n")
    if stage in ("STARTTLS", "AUTH"):
        words = str(await failure_at(stage, reply)).removesuffix(" (it offers PLAIN)")
    elif stage in ("greeting", "ehlo"):
        async with ScriptedServer({stage: reply, "HELO": reply}) as server:
            with pytest.raises(SessionFailed) as caught:
                await connect_to(server)
        words = str(caught.value)
    else:
        async with ScriptedServer({stage: reply}) as server, connected(server) as connection:
            words = str((await deliver(connection)).facts[0].reply)
    assert words.isprintable()
    assert words.endswith("a b ]0;x c\\x9bd e f\\xff<b>%s{}' --")


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
async def test_words_without_end_are_no_reply(stage: str) -> None:
    """64 KB in one reply."""
    script: Script = {stage: Raw(b"550 5.1.1 " + b"x" * 65_536 + b"\r\n")}
    async with ScriptedServer(script) as server, connected(server) as connection:
        assert all_seen(await deliver(connection)) == [(stage, "protocol_error")]
        assert not connection.is_usable


# --- EHLO


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        pytest.param(["SIZE 1000", "SIZE 1000"], ("dot", 250), id="twice-the-same"),
        pytest.param(["PIPELINING"] * 500, ("dot", 250), id="500-times"),
        pytest.param(["size 1", "8bitmime"], ("mail", 552), id="lower-case"),
    ],
)
async def test_extensions_offered_oddly(
    extensions: list[str], expected: tuple[str, int | str]
) -> None:
    async with ScriptedServer({"EHLO": extensions}) as server, connected(server) as connection:
        assert all_seen(await deliver(connection)) == [expected]


async def test_ten_thousand_extensions_are_too_many() -> None:
    """32 KiB for a reply."""
    async with ScriptedServer({"EHLO": [f"X{number}" for number in range(10_000)]}) as server:
        with pytest.raises(SessionFailed) as caught:
            await connect_to(server)
        assert caught.value.breakdown is not None
        assert caught.value.breakdown.category.value == "protocol_error"


# --- certificates


NOW = datetime.now(UTC)  # noqa: TID251 -- the clock of the TLS library, which nobody can set
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def a_certificate(key: Key, *names: x509.GeneralName) -> x509.Certificate:
    """Signed by itself."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mx.test")])
    return (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )


def server_with(directory: Path, key: Key, certificate: x509.Certificate) -> ssl.SSLContext:
    path = directory / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(path)
    return context


def of_trustme(authority: trustme.CA, *names: str, **more: datetime | str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **more).configure_cert(context)  # type: ignore[arg-type]
    return context


def expired(authority: trustme.CA, _: Path) -> ssl.SSLContext:
    return of_trustme(
        authority,
        "mx.test",
        not_before=NOW - timedelta(days=9),
        not_after=NOW - timedelta(days=1),
    )


def not_yet_valid(authority: trustme.CA, _: Path) -> ssl.SSLContext:
    return of_trustme(
        authority,
        "mx.test",
        not_before=NOW + timedelta(days=1),
        not_after=NOW + timedelta(days=9),
    )


def common_name_only(authority: trustme.CA, _: Path) -> ssl.SSLContext:
    return of_trustme(authority, "other.test", common_name="mx.test")


def address_instead_of_name(authority: trustme.CA, _: Path) -> ssl.SSLContext:
    return of_trustme(authority, "127.0.0.1")


def self_signed(_: trustme.CA, directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    return server_with(directory, key, a_certificate(key, x509.DNSName("mx.test")))


CERTIFICATES: list[tuple[Callable[[trustme.CA, Path], ssl.SSLContext], str]] = [
    (expired, "certificate has expired"),
    (not_yet_valid, "certificate is not yet valid"),
    (common_name_only, "hostname mismatch"),
    (address_instead_of_name, "hostname mismatch"),
    (self_signed, "self-signed certificate"),
]


@pytest.mark.parametrize(
    ("server_of", "problem"), CERTIFICATES, ids=[one.__name__ for one, _ in CERTIFICATES]
)
async def test_a_bad_certificate_is_refused_or_its_fault_is_told(
    server_of: Callable[[trustme.CA, Path], ssl.SSLContext],
    problem: str,
    authority: Authority,
    tmp_path: Path,
) -> None:
    """With `verify` there is no session; the other modes use it and say what is wrong with it."""
    server_tls = server_of(authority._authority, tmp_path)
    contexts = TlsContexts(cafile=authority.cafile)
    async with ScriptedServer(tls=server_tls) as server:
        with pytest.raises(SessionFailed) as caught:
            await connect_to(server, tls=TlsMode.VERIFY, contexts=contexts)
        assert caught.value.stage is Stage.STARTTLS
        assert problem in str(caught.value).replace("self signed", "self-signed").lower()
        connection = await connect_to(server, tls=TlsMode.OPPORTUNISTIC, contexts=contexts)
        assert all_seen(await deliver(connection)) == [("dot", 250)]
        tls = connection.peer.tls
        assert tls is not None
        assert not tls.verified
        assert problem in tls.problem.replace("self signed", "self-signed").lower()
        await connection.quit()


@pytest.mark.parametrize("kind", ["nul-in-the-name", "weak-key"])
async def test_a_certificate_that_means_harm_is_refused(kind: str, tmp_path: Path) -> None:
    """Though the client trusts who signed it: it is its own authority here."""
    if kind == "weak-key":
        key: Key = rsa.generate_private_key(65537, 1024)
        name = x509.DNSName("mx.test")
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.DNSName("mx.test\x00.evil.test")
    certificate = a_certificate(key, name, x509.IPAddress(ip_address("192.0.2.1")))
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    contexts = TlsContexts(cafile=str(trusted))
    async with ScriptedServer(tls=server_with(tmp_path, key, certificate)) as server:
        with pytest.raises(SessionFailed) as caught:
            await connect_to(server, tls=TlsMode.VERIFY, contexts=contexts)
        assert caught.value.breakdown is not None
        assert caught.value.breakdown.category.value == "tls_failure"

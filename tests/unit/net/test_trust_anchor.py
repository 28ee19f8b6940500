"""What certificates prove after the handshake: judged as OpenSSL judges them in one."""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from relayd.net.trust_anchor import Authorities, check_anchor
from relayd.policy.doctor.der import public_key_of
from relayd.policy.tls.anchor import Anchor, certificate_around
from relayd.policy.tls.ladder import TlsEvent, TlsFailure

HOST = "mx_1.a.test"  # no host name by the book, and there are such
DAY = timedelta(days=1)
NOW = datetime.now(UTC)  # noqa: TID251 -- OpenSSL has no other clock
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def a_certificate(
    name: str,
    key: Key,
    issuer: str,
    by: Key,
    *names: str,
    until: datetime = NOW + DAY,
) -> bytes:
    """With names it is a server's, without an authority's."""

    def called(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

    built = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 3 * DAY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        listed = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
        built = built.add_extension(listed, critical=False)
    digest = None if isinstance(by, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return built.sign(by, digest).public_bytes(Encoding.DER)


ROOT_KEY = ec_key()
KEY, OTHER_KEY = (rsa.generate_private_key(65537, 2048) for _ in range(2))
ROOT = a_certificate("root", ROOT_KEY, "root", ROOT_KEY)
ISSUER = a_certificate("issuer", KEY, "root", ROOT_KEY)
OWN_KEYS: dict[str, Key] = {
    "ecdsa": ec_key(),
    "rsa": rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "p521": ec.generate_private_key(ec.SECP521R1()),
}
CHAINS = {
    name: (a_certificate("mx", key, "issuer", KEY, HOST, "*.b.test"), ISSUER)
    for name, key in OWN_KEYS.items()
}
CHAIN = CHAINS["ecdsa"]
EXPIRED = (a_certificate("mx", KEY, "issuer", KEY, HOST, until=NOW - DAY), ISSUER)
SELF_SIGNED = (a_certificate("mx", KEY, "mx", KEY, HOST),)
FORGED = (a_certificate("mx", KEY, "issuer", OTHER_KEY, HOST), ISSUER)
ANOTHERS = (a_certificate("mx", KEY, "issuer", KEY, "mx.b.test"), ISSUER)


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    cafile = tmp_path_factory.mktemp("ca") / "ca.pem"
    cafile.write_text(ssl.DER_cert_to_PEM_cert(ROOT))
    return Authorities(str(cafile))


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_a_good_chain(chain: Sequence[bytes], authorities: Authorities) -> None:
    """Whatever the key is."""
    assert authorities.flaw_of(chain, HOST, now=0) is None
    assert authorities.flaw_of(chain, "x.b.test", now=0) is None


@pytest.mark.parametrize(
    ("chain", "name", "event", "words"),
    [
        pytest.param(EXPIRED, HOST, TlsEvent.EXPIRED, "certificate has expired", id="expired"),
        pytest.param(ANOTHERS, HOST, TlsEvent.WRONG_NAME, "Hostname mismatch", id="name"),
        pytest.param(CHAIN, "x.y.b.test", TlsEvent.WRONG_NAME, "Hostname mismatch", id="wildcard"),
        pytest.param(CHAIN, "mx", TlsEvent.WRONG_NAME, "Hostname mismatch", id="common-name"),
        pytest.param(CHAIN, "192.0.2.1", TlsEvent.WRONG_NAME, "IP address mismatch", id="ip"),
        pytest.param(SELF_SIGNED, HOST, TlsEvent.NOT_TRUSTED, "self-signed", id="self-signed"),
        pytest.param(FORGED, HOST, TlsEvent.NOT_TRUSTED, "signature failure", id="forged"),
        pytest.param(CHAIN[:1], HOST, TlsEvent.NOT_TRUSTED, "local issuer", id="issuer-missing"),
        pytest.param((), HOST, TlsEvent.NOT_TRUSTED, "there is none", id="none"),
        pytest.param((b"x",), HOST, TlsEvent.NOT_TRUSTED, "cannot be read", id="junk"),
        pytest.param((CHAIN[0], b"x"), HOST, TlsEvent.NOT_TRUSTED, "cannot be read", id="junk-2"),
        pytest.param(CHAIN, "a..b", TlsEvent.NOT_TRUSTED, "cannot be read", id="no-name"),
        pytest.param((*CHAIN, ISSUER * 200), HOST, TlsEvent.NOT_TRUSTED, "", id="too-long"),
    ],
)
def test_a_flaw(
    chain: Sequence[bytes], name: str, event: TlsEvent, words: str, authorities: Authorities
) -> None:
    flaw = authorities.flaw_of(chain, name, now=0)
    assert flaw is not None
    assert flaw.event is event
    assert flaw.reason.startswith("certificate not valid: ")
    assert words in flaw.reason


@given(st.lists(st.binary(max_size=60) | st.sampled_from(CHAIN), max_size=3))
@example(list(CHAIN))
@example(
    [b"", *CHAIN]
)  # behind the one above: what is known of a chain is not known of others with the same octets
def test_any_octets_are_judged(authorities: Authorities, chain: list[bytes]) -> None:
    is_good = chain[:1] == [CHAIN[0]] and ISSUER in chain
    flaw = authorities.flaw_of(chain, HOST, now=0)
    assert flaw is not None or is_good
    assert check_anchor(chain, Anchor(b"x"), (HOST,)) != HOST
    assert check_anchor(chain, Anchor(b"x", is_key=True), (HOST,)) != HOST


def test_what_was_found_is_known_for_ten_minutes(authorities: Authorities) -> None:
    first = authorities.flaw_of(EXPIRED, HOST, now=1000)
    assert authorities.flaw_of(EXPIRED, HOST, now=1599) is first
    again = authorities.flaw_of(EXPIRED, HOST, now=1601)
    assert again == first
    assert again is not first


ODD_NAMES = (
    HOST,
    "*.b.test",
    "*.test",
    "f*.c.test",
    "*.*.d.test",
    "a.*.d.test",
    "*.e_e.test",
    "*.-e.test",
    "*.e-.test",
    "*.e.test-",
    "*.xn--e.test",
    "192.0.2.1",
    "*",
    "",
)
ASKED = (
    HOST, HOST.upper(), "x.b.test", "X.b.test", "x.y.b.test", "b.test", ".b.test", "*.b.test", "_x.b.test",
    "x-1.b.test", "xn--a.b.test", "x.test", "foo.c.test", "x.y.d.test", "a.x.d.test", "192.0.2.1", "test", "mx",
    "x.e_e.test", "x.-e.test", "x.e-.test", "x.e.test-", "x.xn--e.test", "-x.b.test", f"{'x' * 64}.b.test",
)  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_is_known_of_a_chain_changes_no_verdict(tmp_path: Path, name: str) -> None:
    """OpenSSL alone says the same of a name as relayd does that knows what the chain proves."""
    odd = (a_certificate("mx", OWN_KEYS["ecdsa"], "issuer", KEY, *ODD_NAMES), ISSUER)
    cafile = tmp_path / "ca.pem"
    cafile.write_text(ssl.DER_cert_to_PEM_cert(ROOT))
    knows, fresh = Authorities(str(cafile)), Authorities(str(cafile))
    assert knows.flaw_of(odd, HOST, now=0) is None
    assert knows.flaw_of(odd, name, now=0) == fresh.flaw_of(odd, name, now=0)


class Counted(ssl.SSLObject):
    """Counts the handshakes in memory."""

    made = 0

    def do_handshake(self) -> None:
        Counted.made += 1
        super().do_handshake()


@pytest.mark.parametrize(
    ("chain", "judged"),
    [
        pytest.param(CHAIN, 1, id="good"),
        pytest.param(SELF_SIGNED, 1, id="self-signed"),
        pytest.param(CHAIN[:1], 1, id="issuer-missing"),
        pytest.param(EXPIRED, 3, id="expired"),
        pytest.param(FORGED, 3, id="forged"),
    ],
)
def test_one_chain_of_many_hosts_is_judged_once(
    chain: Sequence[bytes], judged: int, authorities: Authorities
) -> None:
    """Unless the flaw may be another one for another name."""
    authorities._context.sslobject_class = Counted
    Counted.made = 0
    for name in ("x.b.test", "y.b.test", "z.b.test"):
        authorities.flaw_of(chain, name, now=10_000)
    assert Counted.made == 2 * judged


def test_the_authorities_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the file and those of the folder; what of it is missing or empty vouches for nobody."""
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "0.pem").write_text(ssl.DER_cert_to_PEM_cert(ROOT))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    assert Authorities().flaw_of(CHAIN, HOST, now=0) is not None  # without links by hash
    name = bytes.fromhex("310d300b06035504030c04") + b"root"  # as OpenSSL hashes a subject
    by_hash = int.from_bytes(sha1(name, usedforsecurity=False).digest()[:4], "little")
    (folder / f"{by_hash:08x}.0").symlink_to("0.pem")
    assert Authorities().flaw_of(CHAIN, HOST, now=0) is None
    monkeypatch.setenv("SSL_CERT_DIR", "")
    assert Authorities().flaw_of(CHAIN, HOST, now=0) is not None
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "0.pem"))
    assert Authorities().flaw_of(CHAIN, HOST, now=0) is None


def key_of(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


NAMES = ("mx.c.test", HOST)
ANCHORS = [
    pytest.param(CHAIN, Anchor(ISSUER), id="of-the-chain"),
    pytest.param(CHAIN[:1], Anchor(ISSUER), id="not-in-the-chain"),
    pytest.param((CHAIN[0], ISSUER, ROOT), Anchor(ROOT), id="root"),
    pytest.param((CHAIN[0], ROOT, ISSUER), Anchor(ROOT), id="shuffled"),
    pytest.param(CHAIN, Anchor(key_of(KEY), is_key=True), id="key-of-the-issuer"),
    pytest.param(CHAIN[:1], Anchor(key_of(KEY), is_key=True), id="key-of-an-issuer-not-shown"),
    pytest.param(CHAIN, Anchor(key_of(ROOT_KEY), is_key=True), id="key-of-the-root"),
]


@pytest.mark.parametrize(("chain", "anchor"), ANCHORS)
def test_a_name_under_an_anchor(chain: Sequence[bytes], anchor: Anchor) -> None:
    """RFC 7671 §5.2: no root is needed, nor all of the chain."""
    assert check_anchor(chain, anchor, NAMES) == HOST


@pytest.mark.parametrize(
    ("chain", "anchor", "event", "words"),
    [
        pytest.param(EXPIRED, Anchor(ISSUER), TlsEvent.EXPIRED, "has expired", id="expired"),
        pytest.param(ANOTHERS, Anchor(ISSUER), TlsEvent.WRONG_NAME, "mismatch", id="name"),
        pytest.param(FORGED, Anchor(ISSUER), TlsEvent.NO_MATCH, "signature", id="forged"),
        pytest.param(
            FORGED, Anchor(key_of(KEY), is_key=True), TlsEvent.NO_MATCH, "", id="forged-under-a-key"
        ),
        pytest.param(
            CHAIN, Anchor(key_of(OTHER_KEY), is_key=True), TlsEvent.NO_MATCH, "", id="another-key"
        ),
        pytest.param(SELF_SIGNED, Anchor(ROOT), TlsEvent.NO_MATCH, "self-signed", id="elsewhere"),
        pytest.param(CHAIN, Anchor(b""), TlsEvent.NO_MATCH, "no certificate", id="nothing"),
        pytest.param(CHAIN, Anchor(ISSUER[:-9]), TlsEvent.NO_MATCH, "no certificate", id="cut"),
        pytest.param((), Anchor(b"", is_key=True), TlsEvent.NO_MATCH, "no name", id="no-chain"),
    ],
)
def test_no_name_under_an_anchor(
    chain: Sequence[bytes], anchor: Anchor, event: TlsEvent, words: str
) -> None:
    found = check_anchor(chain, anchor, ("mx.c.test", HOST))
    assert isinstance(found, TlsFailure)
    assert found.event is event
    assert found.reason.startswith("dane-ta: ")
    assert words in found.reason


def test_a_certificate_around_a_key() -> None:
    """It is one to anybody who reads certificates."""
    name = x509.load_der_x509_certificate(ROOT).subject
    made = x509.load_der_x509_certificate(certificate_around(key_of(KEY), name.public_bytes()))
    assert made.subject == made.issuer == name
    assert public_key_of(made.public_bytes(Encoding.DER)) == key_of(KEY)
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca

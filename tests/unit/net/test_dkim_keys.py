"""Keys of DKIM: what is taken, what is refused, and signatures that others find right."""

import json
import subprocess
import sys
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.mail import dkim
from relayd.mail.dkim import Algorithm
from relayd.mail.header import header_end
from relayd.net.dkim_keys import DkimKey, KeyUnfit, load_key, read_key_file
from tests.support.dkim import (
    ed25519_pem,
    pem_of,
    private_rsa,
    records,
    rsa_pem,
    verified,
    write_key,
)

AT = datetime(2026, 11, 29, tzinfo=UTC)
RFC_8463 = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
RFC_HEADER = (
    b"From: Joe SixPack <joe@football.example.com>\r\n"
    b"To: Suzie Q <suzie@shopping.example.net>\r\n"
    b"Subject: Is dinner ready?\r\n"
    b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
)


def test_the_signature_is_that_of_rfc_8463() -> None:
    """RFC 8463 App. A: key, public key, and b= to the octet."""
    key = DkimKey(Ed25519PrivateKey.from_private_bytes(b64decode(RFC_8463)))
    field = (
        b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
        b" d=football.example.com; i=@football.example.com;\r\n"
        b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
        b" subject : date : message-id : from : subject : date;\r\n"
        b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
        b" b="
    )
    fields = dkim.fields_of(RFC_HEADER)
    assert fields is not None
    names = ["from", "to", "subject", "date", "message-id", "from", "subject", "date"]
    signature = key.sign(dkim.signing_input(dkim.canonical(fields, names), field))
    assert key.published() == "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    assert b64encode(signature) == (
        b"/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    )


@pytest.mark.parametrize("form", ["pkcs1", "pkcs8"])
def test_rsa_keys_are_read_in_both_forms(form: str) -> None:
    key = load_key(pem_of(private_rsa(), form))
    assert (key.algorithm, key.bits, key.is_slow) == (Algorithm.RSA, 2048, False)
    assert repr(key) == "DkimKey(rsa-sha256, 2048 bits)"


def test_an_ed25519_key_is_read() -> None:
    key = load_key(ed25519_pem())
    assert (key.algorithm, key.is_slow) == (Algorithm.ED25519, False)


def test_a_long_key_is_slow() -> None:
    assert load_key(rsa_pem(4096)).is_slow


def _curve() -> bytes:
    private = ec.generate_private_key(ec.SECP256R1())
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _with_password() -> bytes:
    return private_rsa().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        pytest.param(lambda: rsa_pem(1024), "the key has 1024 bits; expected 2048", id="short"),
        pytest.param(_curve, "expected an RSA or an Ed25519 key", id="another-kind"),
        pytest.param(_with_password, "the key has a password", id="password"),
        pytest.param(lambda: b"", "expected a private key in PEM", id="empty"),
        pytest.param(lambda: rsa_pem()[:900], "expected a private key in PEM", id="cut"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_in_words(pem: object, why: str) -> None:
    assert callable(pem)
    with pytest.raises(KeyUnfit, match=why):
        load_key(pem())


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_a_key_file_that_is_ours_alone_is_read(tmp_path: Path, mode: int) -> None:
    path = write_key(tmp_path / "key.pem", rsa_pem(), mode)
    assert read_key_file(path) == rsa_pem()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_key_file_of_the_world_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_key(tmp_path / "key.pem", rsa_pem(), mode)
    with pytest.raises(KeyUnfit, match=f"others may .*mode {mode:04o}.; run chmod"):
        read_key_file(path)


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyUnfit, match="there is no such file"):
        read_key_file(tmp_path / "none.pem")
    with pytest.raises(KeyUnfit, match="the file cannot be read: Is a directory"):
        read_key_file(tmp_path)
    with pytest.raises(KeyUnfit, match="the file cannot be read: Not a directory"):
        read_key_file(write_key(tmp_path / "a", b"") / "b")
    with pytest.raises(KeyUnfit, match="expected at most 65536 octets"):
        read_key_file(write_key(tmp_path / "large.pem", b"x" * 65537))


def _signed(content: bytes) -> bytes:
    """Return content with a signature of each kind in front; as it is where its header is not signed."""
    end = header_end(content)
    header = dkim.signed_header(content[:end])
    if header is None:
        return content
    body = dkim.body_hash(content[end + 2 :])
    fields = b""
    for selector, pem in (("r", rsa_pem()), ("e", ed25519_pem())):
        key = load_key(pem)
        field = dkim.unsigned_field(
            key.algorithm,
            domain="example.org",
            selector=selector,
            at=AT,
            names=header.names,
            body=body,
        )
        fields += dkim.signed_field(field, key.sign(dkim.signing_input(header.canonical, field)))
    return fields + content


RECORDS = records("example.org", r=rsa_pem(), e=ed25519_pem())
FROM = b"From: Shop <shop@example.org>\r\n"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(FROM + b"\r\nBody\r\n", id="plain"),
        pytest.param(FROM + b"\r\n", id="empty-body"),
        pytest.param(FROM, id="header-only"),
        pytest.param(FROM + b"\r\n\r\n\r\n\r\n", id="line-ends-only"),
        pytest.param(FROM + b"\r\nA\r\n\r\n\r\n", id="line-ends-behind"),
        pytest.param(FROM + b"\r\n.\r\n..\r\n.a\r\n", id="dots"),
        pytest.param(FROM + b"\r\nno line end", id="no-line-end"),
        pytest.param(
            FROM + b"Subject:\r\n\t \r\n   x \t y\r\n \r\n\r\nB\r\n", id="folded-and-blank"
        ),
        pytest.param(FROM + b"Subject:\r\nTo:   \r\n\r\nB\r\n", id="empty-fields"),
        pytest.param(FROM + b"To: a@x.test\r\nTo: b@x.test\r\n\r\nB\r\n", id="fields-twice"),
        pytest.param(FROM + "Subject: Grüße\r\n\r\nGrüße\r\n".encode(), id="utf-8"),
        pytest.param(FROM + b"Subject: \xff\xfe\r\n\r\n\xff\r\n", id="octets"),
        pytest.param(FROM + b"Subject: %s\r\n\r\nB\r\n" % (b"x" * 3000), id="long-field"),
        pytest.param(FROM + b"\r\n" + b"y" * 70_000 + b"\r\n", id="long-line"),
        pytest.param(FROM + b"\r\n \t \r\n \r\n", id="blank-lines"),
        pytest.param(
            FROM
            + b"DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=s; h=from; bh=a; b=b\r\n\r\nB\r\n",
            id="signed-by-another",
        ),
        pytest.param(
            FROM + b"List-Unsubscribe: <https://x.test/u>\r\n"
            b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nSender: a@x.test\r\n\r\nB\r\n",
            id="one-click",
        ),
    ],
)
def test_dkimpy_finds_odd_messages_right(content: bytes) -> None:
    assert verified(_signed(content), RECORDS)[:2] == [True, True]


@pytest.mark.parametrize("name", ["From", "Subject", "To", "Content-Type", "Reply-To", "Date"])
def test_a_second_field_in_front_breaks_the_signature(name: str) -> None:
    signed = _signed(FROM + b"Subject: s\r\n\r\nB\r\n")
    assert verified(name.encode() + b": other\r\n" + signed, RECORDS) == [False, False]


def test_what_lists_add_leaves_the_signature_whole() -> None:
    signed = _signed(FROM + b"Subject: s\r\n\r\nB\r\n")
    added = b"Sender: l@x.test\r\nList-Id: l\r\nList-Unsubscribe: <mailto:u@x.test>\r\n"
    assert verified(added + signed, RECORDS) == [True, True]


_VALUES = st.lists(
    st.sampled_from([b"a", b"  ", b"\t", b"\r\n ", b"\r\n\t", b"\xc3\xbc", b"\xff", b":", b";"]),
    max_size=8,
).map(b"".join)
_NAMES = st.sampled_from(
    [
        "From",
        "To",
        "Cc",
        "Subject",
        "Date",
        "Sender",
        "List-Id",
        "Resent-To",
        "X-A",
        "DKIM-Signature-X",
        "References",
    ]
)
_BODIES = st.lists(
    st.sampled_from([b"\r\n", b"a", b" ", b".", b"\t", b"\xff", b"\r\n\r\n", b"From x"]),
    max_size=20,
).map(b"".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=8), _BODIES)
def test_dkimpy_finds_any_message_right_that_is_signed(
    fields: list[tuple[str, bytes]], body: bytes
) -> None:
    header = b"".join(name.encode() + b":" + value + b"\r\n" for name, value in fields)
    signed = _signed(FROM + header + b"\r\n" + body)
    assert verified(signed, RECORDS) == [True, True]


def test_cryptography_is_not_loaded_until_a_key_is_read() -> None:
    script = "import json, sys, relayd.net.dkim_keys; print(json.dumps([*sys.modules]))"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert not [each for each in json.loads(told.stdout) if each.startswith("cryptography")]

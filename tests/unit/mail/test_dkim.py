"""What is signed of a message: the fields, the canonical forms, the hash of the body."""

import hashlib
from base64 import b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail import dkim
from relayd.mail.dkim import Algorithm, BodyHash

RFC_HEADER = (
    b"From: Joe SixPack <joe@football.example.com>\r\n"
    b"To: Suzie Q <suzie@shopping.example.net>\r\n"
    b"Subject: Is dinner ready?\r\n"
    b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
)
RFC_BODY = b"Hi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nJoe.\r\n"
AT = datetime(2026, 11, 29, tzinfo=UTC)


def _hash(body: bytes) -> str:
    return b64encode(dkim.body_hash(body)).decode()


@pytest.mark.parametrize(
    ("body", "hashed"),
    [
        pytest.param(RFC_BODY, "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=", id="rfc-6376-a.2"),
        pytest.param(
            RFC_BODY.replace(b". A", b".  A") + b"\r\n",
            "4bLNXImK9drULnmePzZNEBleUanJCX5PIsDIFoH4KTQ=",
            id="two-blanks-dkimpy",
        ),
        pytest.param(b"", "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=", id="rfc-6376-3.4.3"),
        pytest.param(b"\r\n\r\n", "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=", id="ends-only"),
    ],
)
def test_the_hash_of_a_body_is_that_of_the_rfc(body: bytes, hashed: str) -> None:
    assert _hash(body) == hashed


def _simple(body: bytes) -> bytes:
    """Write the rule of RFC 6376 §3.4.3 down as it stands there."""
    while body.endswith(b"\r\n"):
        body = body[:-2]
    return body + b"\r\n"


_LINES = st.lists(st.sampled_from([b"\r\n", b"a", b" ", b".", b"\xff", b"\r", b"\n", b"\r\n" * 9]))


@given(_LINES, st.lists(st.integers(0, 40)))
def test_a_body_has_the_same_hash_in_any_pieces(parts: list[bytes], cuts: list[int]) -> None:
    body = b"".join(parts)
    hashed, at = BodyHash(), 0
    for cut in cuts:
        hashed.update(body[at : at + cut])
        at += cut
    hashed.update(body[at:])
    assert hashed.digest() == hashlib.sha256(_simple(body)).digest()


def test_line_ends_that_are_put_off_are_hashed_in_blocks() -> None:
    ends = b"\r\n" * 100_000
    assert dkim.body_hash(b"a", ends, ends, b"b") == dkim.body_hash(b"a" + ends + ends + b"b")


def test_the_header_is_canonical_as_the_rfc_says() -> None:
    """RFC 6376 §3.4.5, and §3.4.2 for what is folded."""
    fields = dkim.fields_of(b"A: X\r\nB:Y\t\r\n\tZ  \r\n\r\n"[:-2])
    assert fields is not None
    assert dkim.canonical(fields, ["a", "b"]) == b"a:X\r\nb:Y Z\r\n"


def test_fields_are_taken_from_the_bottom_up() -> None:
    """RFC 6376 §5.4.2: what is named more often than it is there stands for nothing."""
    fields = dkim.fields_of(b"A: 1\r\nB: 2\r\na: 3\r\n")
    assert fields is not None
    assert dkim.canonical(fields, ["a", "a", "a", "c", "b"]) == b"a:3\r\na:1\r\nb:2\r\n"


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"From: a@x.test\r\nno field\r\n", id="a-line-that-is-none"),
        pytest.param(b" folded: a\r\nFrom: a@x.test\r\n", id="begins-with-a-continuation"),
        pytest.param(b"From : a@x.test\r\n", id="a-blank-before-the-colon"),
        pytest.param(b"From: a@x.test", id="no-end"),
        pytest.param(b"From: a@x.test\r\nSubject: \x0c\r\n", id="a-control-character"),
        pytest.param(b"From: a@x.test\r\nX: a\rb\r\n", id="a-bare-cr"),
        pytest.param(b"From: a@x.test\r\n" + b"X: \r\n" * dkim.FIELDS_LIMIT, id="too-many"),
    ],
)
def test_a_header_that_programs_read_differently_is_not_signed(header: bytes) -> None:
    assert dkim.signed_header(header) is None


def names_of(signed: dkim.SignedHeader) -> list[str]:
    return signed.names.replace("\r\n\t", "").split(":")


def test_what_is_signed_and_what_is_signed_though_it_is_not_there() -> None:
    header = (
        b"From: a@x.test\r\nSubject: s\r\nSender: b@x.test\r\nX-Mailer: m\r\n"
        b"List-Id: l\r\nList-Id: m\r\nList-Unsubscribe: u\r\nResent-From: r\r\nFeedback-ID: f\r\n"
        b"Received: us\r\nReferences: r\r\n"
    )
    signed = dkim.signed_header(header)
    assert signed is not None
    assert sorted(names_of(signed)) == sorted(
        [
            "from",
            "from",
            "to",
            "cc",
            "subject",
            "subject",
            "date",
            "message-id",
            "reply-to",
            "mime-version",
            "content-type",
            "content-transfer-encoding",
            "sender",
            "sender",
            "list-id",
            "list-id",
            "list-unsubscribe",
            "list-unsubscribe",
            "resent-from",
            "feedback-id",
            "references",
            "references",
        ]
    )
    assert signed.canonical.count(b"\r\n") == 9  # all but X-Mailer and Received


@pytest.mark.parametrize("name", ["sender", "list-unsubscribe", "list-unsubscribe-post", "list-id"])
def test_what_lists_add_is_not_signed_while_it_is_absent(name: str) -> None:
    signed = dkim.signed_header(RFC_HEADER)
    assert signed is not None
    assert name not in names_of(signed)


def test_the_field_is_whole_and_can_be_found_again() -> None:
    signed = dkim.signed_header(RFC_HEADER)
    assert signed is not None
    fields = b""
    for algorithm in Algorithm:
        field = dkim.unsigned_field(
            algorithm,
            domain="example.org",
            selector="r2026a",
            at=AT,
            names=signed.names,
            body=dkim.body_hash(RFC_BODY),
        )
        assert dkim.signing_input(b"a:b\r\n", field).endswith(b"; b=")
        fields += dkim.signed_field(field, b"x" * 256)
    assert max(map(len, fields.split(b"\r\n"))) <= 120
    trace = b"Received: from a\r\n\tby us\r\n"
    header = trace + fields + RFC_HEADER
    found = dkim.own_signatures(header)
    assert header[: found.start] + header[found.end :] == trace + RFC_HEADER
    assert found.body == dkim.body_hash(RFC_BODY)
    parsed = dkim.fields_of(header)
    assert parsed is not None
    assert parsed[1].relaxed.startswith(
        b"dkim-signature:v=1; a=rsa-sha256; c=relaxed/simple; d=example.org; s=r2026a; t=1795910400; h="
    )


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"Received: us\r\n", id="trace-only"),
        pytest.param(b"Received: us\r\nDKIM-Signature: v=1; d=x.test; b=a\r\n", id="foreign"),
    ],
)
def test_without_our_signatures_there_is_nothing_to_take_out(header: bytes) -> None:
    found = dkim.own_signatures(header)
    assert found.start == found.end
    assert found.body is None

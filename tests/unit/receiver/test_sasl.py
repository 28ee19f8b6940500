"""What clients send for AUTH: read, or refused with one error, whatever it is."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.reply import Reply, SyntaxRefused
from relayd.receiver.sasl import (
    CANCELLED,
    MALFORMED,
    Credentials,
    decode_initial,
    decode_response,
    parse_plain,
    parse_text,
)


def test_plain_is_read() -> None:
    """RFC 4616 section 4, and names beyond ASCII."""
    found = parse_plain(b"\0tim\0tanstaaftanstaaf")
    assert found == Credentials(user="tim", password="tanstaaftanstaaf")
    found = parse_plain("Ursel\0Kurt\0xipj3plmqü".encode())
    assert found == Credentials(acts_as="Ursel", user="Kurt", password="xipj3plmqü")


def test_an_equals_sign_is_an_empty_initial_response() -> None:
    """RFC 4954 section 4; as an answer it is malformed."""
    assert decode_initial(b"=") == b""
    assert decode_response(b"") == b""
    with pytest.raises(SyntaxRefused):
        decode_response(b"=")


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"*", CANCELLED),
        (b"**", MALFORMED),
        (b"AA", MALFORMED),
        (b"AAAA=", MALFORMED),
        (b"AA==AA==", MALFORMED),
        (b"AAAA====", MALFORMED),
        (b"====", MALFORMED),
        (b"AA A", MALFORMED),
        (b" AAAA", MALFORMED),
        (b"-_-_", MALFORMED),
        (b"\xff\xff\xff\xff", MALFORMED),
    ],
)
def test_what_is_no_answer(line: bytes, reply: Reply) -> None:
    with pytest.raises(SyntaxRefused) as caught:
        decode_response(line)
    assert caught.value.reply == reply


@pytest.mark.parametrize("message", [b"", b"a", b"\0a", b"\0a\0b\0", b"\0\xff\0b", b"\0a\0\xc3"])
def test_what_is_no_plain(message: bytes) -> None:
    with pytest.raises(SyntaxRefused) as caught:
        parse_plain(message)
    assert caught.value.reply == MALFORMED


def test_a_name_has_no_nul() -> None:
    with pytest.raises(SyntaxRefused):
        parse_text(b"a\0b")


@given(st.binary())
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    for read in (decode_initial, decode_response, parse_plain, parse_text):
        with suppress(SyntaxRefused):
            read(octets)
    with suppress(SyntaxRefused):
        parse_plain(decode_response(base64.b64encode(octets)))


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_what_is_encoded_is_read(text: str) -> None:
    line = base64.b64encode(f"\0{text}\0{text}".encode())
    assert parse_plain(decode_response(line)) == Credentials(user=text, password=text)


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(Credentials(user="app", password="hunter2"))

"""TLSA records: read, written, and which of them are of use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.tlsa import Tlsa, TlsaError, parse_tlsa

OCTET = st.integers(0, 255)


@given(OCTET, OCTET, OCTET, st.binary())
def test_what_is_written_is_read(usage: int, selector: int, matching: int, data: bytes) -> None:
    record = Tlsa(usage, selector, matching, data)
    if data:
        assert parse_tlsa(str(record)) == record
    assert record.short in str(record) or record.short.endswith("…")


def test_data_may_have_blanks_in_it() -> None:
    """RFC 6698 §2.2: whitespace is allowed within the hexadecimal text."""
    assert parse_tlsa("3 1 1 AB cd\tEF") == Tlsa(3, 1, 1, b"\xab\xcd\xef")


@pytest.mark.parametrize(
    "text", ["", "3 1 1", "3 1 x ab", "3 1 256 ab", "3 1 1 a", "3 1 1 xy", "-3 1 1 ab"]
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(TlsaError):
        parse_tlsa(text)


@pytest.mark.parametrize(
    ("record", "usable"),
    [
        pytest.param(Tlsa(3, 1, 1, b"x" * 32), True, id="3-1-1"),
        pytest.param(Tlsa(3, 0, 2, b"x" * 64), True, id="3-0-2"),
        pytest.param(Tlsa(2, 0, 1, b"x" * 32), True, id="2-0-1"),
        pytest.param(Tlsa(2, 1, 0, b"x"), True, id="2-1-0"),
        pytest.param(Tlsa(0, 1, 1, b"x" * 32), False, id="usage-0"),
        pytest.param(Tlsa(1, 1, 1, b"x" * 32), False, id="usage-1"),
        pytest.param(Tlsa(4, 1, 1, b"x" * 32), False, id="usage-4"),
        pytest.param(Tlsa(255, 1, 1, b"x" * 32), False, id="private-usage"),
        pytest.param(Tlsa(3, 2, 1, b"x" * 32), False, id="selector-2"),
        pytest.param(Tlsa(3, 1, 3, b"x" * 32), False, id="matching-3"),
        pytest.param(Tlsa(3, 1, 1, b"x" * 31), False, id="digest-too-short"),
        pytest.param(Tlsa(3, 1, 2, b"x" * 32), False, id="digest-of-the-other-length"),
        pytest.param(Tlsa(3, 1, 0, b""), False, id="no-data"),
    ],
)
def test_what_is_usable(record: Tlsa, *, usable: bool) -> None:
    """RFC 7672 §3.1: usages 0 and 1 are none for SMTP; digests have their length."""
    assert record.is_usable == usable

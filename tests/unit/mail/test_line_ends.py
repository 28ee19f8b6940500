"""Octets that no message may have: seen, and made harmless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.line_ends import cleaned, find_dot, is_clean


@pytest.mark.parametrize(
    ("content", "clean"),
    [
        pytest.param(b"", b"", id="empty"),
        pytest.param(b"a\r\nb\r\n", b"a\r\nb\r\n", id="crlf"),
        pytest.param(b"a\nb", b"a\r\nb", id="bare-lf"),
        pytest.param(b"a\r\nb\n", b"a\r\nb\r\n", id="both"),
        pytest.param(b"a\rb\r\r\n", b"a b \r\n", id="bare-cr"),
        pytest.param(b"a\0b", b"a b", id="nul"),
    ],
)
def test_bare_line_ends_and_nul_are_repaired(content: bytes, clean: bytes) -> None:
    assert is_clean(content) == (content == clean)
    assert cleaned(content) == clean


@given(st.text("\r\n\0a", max_size=12).map(str.encode))
def test_what_is_repaired_is_clean(content: bytes) -> None:
    assert is_clean(cleaned(content))
    assert cleaned(cleaned(content)) == cleaned(content)


@given(st.text("\r\n\0a", max_size=12).map(str.encode))
def test_clean_is_what_has_nothing_bare(content: bytes) -> None:
    without = content.replace(b"\r\n", b"")
    assert is_clean(content) == (not {*b"\r\n\0"} & {*without})


@given(st.text("\r\n.a", max_size=12).map(str.encode), st.integers(0, 12))
def test_a_dot_behind_a_line_end_is_found(content: bytes, start: int) -> None:
    assert find_dot(content, start) == content.find(b"\n.", start)
    assert find_dot(bytearray(content), start) == content.find(b"\n.", start)


def test_a_nul_may_look_like_a_dot() -> None:
    assert find_dot(b"a\r\n\0") == 2

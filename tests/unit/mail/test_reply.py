"""Replies: classes, enhanced codes, and text that is safe to store and show."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.reply import REPLY_TEXT_LIMIT, Reply, SyntaxRefused, clean_text, make_reply


@pytest.mark.parametrize("code", range(1000))
def test_the_first_digit_is_the_class(code: int) -> None:
    reply = Reply(code, None, ())
    classes = (reply.is_positive, reply.is_transient, reply.is_permanent)
    assert classes == tuple(code // 100 == digit for digit in (2, 4, 5))


@pytest.mark.parametrize(
    ("lines", "enhanced"),
    [
        pytest.param((), None, id="no-lines"),
        pytest.param(("",), None, id="no-text"),
        pytest.param(("5.1.1 no such user",), "5.1.1", id="usual"),
        pytest.param(("5.1.1",), "5.1.1", id="alone"),
        pytest.param(("  4.7.650 later",), "4.7.650", id="blanks-before"),
        pytest.param(("5.1.1\tx",), "5.1.1", id="tab-behind"),
        pytest.param(("no", "5.1.1 here"), None, id="only-the-first-line-counts"),
        pytest.param(("3.1.1 x",), None, id="class-3"),
        pytest.param(("5.1 x",), None, id="two-parts"),
        pytest.param(("5.1.1.1 x",), None, id="four-parts"),
        pytest.param(("5.1.1000 x",), None, id="four-digits"),
        pytest.param(("5.1.1x",), None, id="letter-behind"),
        pytest.param(("<5.1.1> x",), None, id="bracket"),
        pytest.param(("5.\u0661.1 x",), None, id="other-digits"),
    ],
)
def test_the_enhanced_code_is_read_off_the_first_line(
    lines: tuple[str, ...], enhanced: str | None
) -> None:
    assert make_reply(550, lines) == Reply(550, enhanced, lines)


def test_a_reply_prints_as_one_line() -> None:
    assert str(make_reply(550, ("5.1.1 no", "5.1.1 never"))) == "550 5.1.1 no 5.1.1 never"
    assert str(make_reply(250, ("",))) == "250"
    assert str(SyntaxRefused(make_reply(501, ("5.5.4 no",)))) == "501 5.5.4 no"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        pytest.param(b"plain text", "plain text", id="plain"),
        pytest.param("schön 漢".encode(), "schön 漢", id="utf8"),
        pytest.param(b"a\r\n250 ok", "a 250 ok", id="line-ends"),
        pytest.param(b"a\x00\x07b\x7f", "a b ", id="controls"),
        pytest.param(b"\x1b]0;title\x07\x1b[31m", " ]0;title [31m", id="terminal-sequences"),
        pytest.param(b"a\xff\xfeb", "a\\xff\\xfeb", id="not-utf8"),
        pytest.param(b"a\xed\xa0\x80b", "a\\xed\\xa0\\x80b", id="surrogate"),
        pytest.param("a\u0085\u009bb".encode(), "a b", id="c1"),
        pytest.param("a\u2028\u2029b".encode(), "a b", id="separators"),
        pytest.param("a\u202e\u2066\u200b\ufeff\u061cb".encode(), "a b", id="invisible"),
        pytest.param(b"", "", id="empty"),
    ],
)
def test_remote_text_becomes_safe_text(raw: bytes, text: str) -> None:
    """Decoded, and free of what a terminal, a log or a page would obey (A-47)."""
    assert clean_text(raw) == text


@given(
    st.binary(max_size=200)
    | st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")),
    st.integers(0, 50),
)
def test_any_octets_become_bounded_text(raw: bytes, limit: int) -> None:
    text = clean_text(raw, limit=limit)
    assert len(text) <= limit
    unsafe = ("Cc", "Cs", "Zl", "Zp")  # controls, surrogates, line and paragraph separators
    assert not [char for char in text if unicodedata.category(char) in unsafe]


def test_long_text_is_cut() -> None:
    assert clean_text(b"x" * 100_000) == "x" * REPLY_TEXT_LIMIT

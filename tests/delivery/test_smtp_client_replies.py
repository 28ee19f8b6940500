"""Reading replies: the grammar, the bounds, and that it does not matter how they arrive."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relayd.errors import ReplySyntaxError
from relayd.mail.reply import Reply
from relayd.net.smtp.replies import REPLY_LIMIT, ReplyReader


def read_all(data: bytes, *, size: int = 1 << 20) -> tuple[list[Reply], bool]:
    """All replies in `data`, fed in pieces of `size`, and whether it ended in an error."""
    reader, replies = ReplyReader(), list[Reply]()
    try:
        for start in range(0, len(data), size):
            replies += reader.read(data[start : start + size])
    except ReplySyntaxError:
        return replies, True
    return replies, False


@pytest.mark.parametrize(
    ("data", "code", "enhanced", "lines"),
    [
        pytest.param(b"250 2.1.0 ok\r\n", 250, "2.1.0", ("2.1.0 ok",), id="plain"),
        pytest.param(b"250\r\n", 250, None, ("",), id="no-text"),
        pytest.param(b"250 \r\n", 250, None, ("",), id="blank-only"),
        pytest.param(b"250 ok\n", 250, None, ("ok",), id="bare-lf"),
        pytest.param(b"250 ok\r\r\n", 250, None, ("ok",), id="cr-cr-lf"),
        pytest.param(b"250-a\r\r\n250\r\r\n", 250, None, ("a", ""), id="cr-cr-lf-each"),
        pytest.param(b"299 odd\r\n", 299, None, ("odd",), id="unknown-code-of-a-known-class"),
        pytest.param(
            b"550-5.1.1 a\r\n550 5.1.1 b\r\n", 550, "5.1.1", ("5.1.1 a", "5.1.1 b"), id="two"
        ),
        pytest.param(b"250-a\r\n250\r\n", 250, None, ("a", ""), id="last-line-without-text"),
        pytest.param(b"550 a\x00\x1b[31mb\xff\r\n", 550, None, ("a [31mb\\xff",), id="controls"),
        pytest.param("550 a\u202eb\u2028c\r\n".encode(), 550, None, ("a b c",), id="overrides"),
        pytest.param(b"550 " + b"x" * 9000 + b"\r\n", 550, None, ("x" * 4096,), id="long"),
        pytest.param(
            b"550 5.1.8 <b+1%b@b.test> unknown\r\n" % (b"0z" * 22 + b"0"),
            550,
            "5.1.8",
            (f"5.1.8 <b+{'*' * 46}@b.test> unknown",),
            id="return-path",
        ),
    ],
)
def test_a_reply_is_read(
    data: bytes, code: int, enhanced: str | None, lines: tuple[str, ...]
) -> None:
    """What the grammar allows, or what it costs nothing to tolerate, is a reply (A-45, A-47)."""
    assert read_all(data) == ([Reply(code, enhanced, lines)], False)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"25\r\n", id="two-digits"),
        pytest.param(b"2500 x\r\n", id="four-digits"),
        pytest.param(b"999 x\r\n", id="beyond-599"),
        pytest.param(b"199 x\r\n", id="below-200"),
        pytest.param(b"+25 x\r\n", id="sign"),
        pytest.param(b"2_5 x\r\n", id="underscore"),
        pytest.param("\uff12\uff15\uff10 x\r\n".encode(), id="other-digits"),
        pytest.param(b"250:x\r\n", id="separator"),
        pytest.param(b"\r\n", id="empty"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n", id="http"),
        pytest.param(b"550-no\r\n250 yes\r\n", id="mixed-codes"),
        pytest.param(b"250 ok\r250 ok\r\n", id="bare-cr"),
        pytest.param(b"250\r\r250 ok\r\n", id="two-bare-cr"),
        pytest.param(b"250 ok\r250 ok\r", id="bare-cr-only"),
        pytest.param(b"220 " + b"x" * REPLY_LIMIT + b"\r\n", id="long-line"),
        pytest.param(b"220 " + b"x" * REPLY_LIMIT, id="endless-line"),
        pytest.param(b"220-x\r\n" * REPLY_LIMIT, id="endless-lines"),
    ],
)
def test_anything_else_is_an_error(data: bytes) -> None:
    """No guess is made: it could turn a refusal into a success (A-40, A-45)."""
    assert read_all(data) == ([], True)
    assert read_all(data, size=1000) == ([], True)


def test_text_of_many_lines_is_capped() -> None:
    replies, _ = read_all(
        b"550-" + b"x" * 76 + b"\r\n" + (b"550-" + b"y" * 76 + b"\r\n") * 300 + b"550 z\r\n"
    )
    assert len(replies[0].text) <= 4096


octets = st.one_of(
    st.binary(max_size=40),
    st.lists(
        st.sampled_from(
            [
                b"250 ok\r\n",
                b"250-ok\r\n",
                b"550 no\n",
                b"550 no\r\r\n",
                b"550-",
                b"250",
                b"\r",
                b"\n",
                b"x",
                b"421 bye\r\n",
            ]
        ),
        max_size=8,
    ).map(b"".join),
)


@settings(max_examples=200)
@given(data=octets, size=st.integers(1, 5))
@example(data=b"250 ok\r250 ok\r\n", size=1)
def test_pieces_do_not_matter(data: bytes, size: int) -> None:
    """Fed whole or in pieces, the same replies come out, and an error is an error."""
    whole, pieces = read_all(data), read_all(data, size=size)
    assert pieces == whole

"""Command lines out of octets: whatever the pieces, and never too long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.receiver.lines import AUTH_LIMIT, COMMAND_LIMIT, LineInput, NoLine


def taken(*pieces: bytes, is_answer: bool = False) -> list[bytes]:
    """All lines of what comes in piece by piece."""
    lines, found = LineInput(), []
    for piece in pieces:
        lines.octets += piece
        while (line := lines.take(is_answer=is_answer)) is not None:
            found.append(line)
    return found


@given(st.lists(st.binary(max_size=5).filter(lambda line: not {10, 13, 22} & {*line}), min_size=1))
def test_pieces_make_no_difference(lines: list[bytes]) -> None:
    octets = b"".join(line + b"\r\n" for line in lines)
    assert taken(octets) == lines
    assert taken(*(octets[at : at + 1] for at in range(len(octets)))) == lines


@pytest.mark.parametrize(
    ("begin", "is_answer", "limit"),
    [
        pytest.param(b"NOOP ", False, COMMAND_LIMIT, id="command"),
        pytest.param(b"auth ", False, AUTH_LIMIT, id="auth"),
        pytest.param(b"", True, AUTH_LIMIT, id="answer"),
    ],
)
def test_a_line_has_its_limit(begin: bytes, limit: int, *, is_answer: bool) -> None:
    """Also before its end has come."""
    longest = begin + b"x" * (limit - 2 - len(begin)) + b"\r\n"
    assert taken(longest, is_answer=is_answer) == [longest[:-2]]
    for line in (b"x" + longest, begin + b"x" * (limit + 1 - len(begin))):
        too_long = begin + line[len(begin) :]
        with pytest.raises(NoLine) as refused:
            taken(too_long, is_answer=is_answer)
        assert refused.value.reply.startswith(b"500 5.5.2 Line too long")


@pytest.mark.parametrize("octets", [b"NOOP\n", b"NO\rOP\r\n", b"NOOP\r\r\n", b"\n"])
def test_only_crlf_ends_a_line(octets: bytes) -> None:
    with pytest.raises(NoLine):
        taken(octets)

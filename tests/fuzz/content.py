"""The reader of content against a slow reference, in any pieces, with and without small limits."""

from collections.abc import Mapping, Sequence

from relayd.receiver.reader import Fault
from relayd.settings import LineEndings
from tests.fuzz.pieces import arrival
from tests.support.content import PLENTY, a_reader, content_of, read, slow, small

TOKENS = (
    *(b"\r", b"\n", b"\r\n", b".", b"..", b"\r\n.", b"\r\n..", b"\r\n.\r\n", b".\r\n", b"\0", b"a"),
    *(b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\r\n", b"A: b\r\n\r\n", b"\xff", b"@\x01\n"),
    *(b"\x80\x01\x02\n", b"\x03\n", b"a" * 30),
)
_SIZES = (PLENTY, 40, 12, 3)
_LIMITS: tuple[Mapping[str, int], ...] = (
    {},
    {"piece": 5, "held": 4},
    {"piece": 6, "held": PLENTY, "line": 7},
    {"piece": 9, "held": 7, "line": 20},
)


def check(octets: bytes) -> None:
    choices, wire, pieces = arrival(octets)
    line_endings = LineEndings.NORMALIZE if choices & 1 else LineEndings.REJECT
    size, limits = _SIZES[choices >> 1 & 3], _LIMITS[choices >> 3 & 3]
    with small(**limits):
        found = read(iter(pieces), line_endings, size)
        _check_hopeless(pieces, line_endings, size)
    expected = slow(wire, line_endings, size)
    if found is None or expected is None:
        assert found is expected
        return
    assert found[1] == expected[1], "the end is elsewhere"
    assert found[0] in _possible(wire, expected[0], limits)
    if isinstance(found[0], bytes):
        assert not set(found[0].replace(b"\r\n", b"")) & set(b"\r\n\0")


def _possible(
    wire: bytes, expected: bytes | Fault, limits: Mapping[str, int]
) -> set[bytes | Fault]:
    """Return what may come of it: of a long line and irregular line ends, whichever is met first."""
    if expected is Fault.TOO_BIG:
        return {expected}
    faults = {expected} if isinstance(expected, Fault) else set()
    normalized = slow(wire, LineEndings.NORMALIZE, PLENTY)
    assert normalized is not None
    content = normalized[0]
    assert isinstance(content, bytes)
    if any(len(line) > limits.get("line", PLENTY) for line in content.split(b"\r\n")):
        faults.add(Fault.LONG_LINE)
    held = limits.get("held", PLENTY)
    if not faults and len(content) > held and not _has_header(content[:held]):
        faults.add(Fault.LONG_HEADER)
    return {*faults} or {expected}


def _has_header(head: bytes) -> bool:
    return head[:2] == b"\r\n" or head.find(b"\r\n\r\n") >= 0


def _check_hopeless(pieces: Sequence[bytes], line_endings: LineEndings, size: int) -> None:
    """The client is given up exactly when it has sent twice the limit, and little is held till then."""
    reader, seen = a_reader(size, line_endings), 0
    for piece in pieces:
        behind = reader.feed(piece)
        seen += len(piece)
        assert reader.is_hopeless is (seen > 2 * size)
        if behind is not None:
            break
    result = reader.result()
    if isinstance(result, Fault):
        assert not reader._head
        assert reader._rest is None
    else:
        content_of(result)

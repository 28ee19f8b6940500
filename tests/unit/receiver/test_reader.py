"""Where the content ends and what it is: the end-of-data matrix, in every form it can arrive."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relayd.errors import StoreError, StoreFull, StoreUnavailable
from relayd.receiver import reader as reading
from relayd.receiver.reader import LINE_LIMIT, DataReader, Fault, Received
from relayd.settings import LineEndings
from relayd.store.memory.spool import MemorySpool
from tests.support.content import PLENTY, a_reader, content_of, read, slow, small
from tests.support.end_of_data import BEHIND, ENDS, HEAD, MIDDLE, SMUGGLED, TAIL, arrivals
from tests.support.processor import took_by

REJECT, NORMALIZE = LineEndings.REJECT, LineEndings.NORMALIZE


@pytest.mark.parametrize(("sequence", "normalized", "clean"), MIDDLE)
def test_it_does_not_end_the_data(sequence: bytes, normalized: bytes, *, clean: bool) -> None:
    """What looks like an end to others is content, or refused; only CRLF.CRLF ends (S-30)."""
    wire = HEAD + sequence + SMUGGLED + TAIL + b".\r\n" + BEHIND
    content = HEAD + normalized + SMUGGLED + TAIL
    for pieces in arrivals(wire):
        assert read(pieces, REJECT) == (content if clean else Fault.LINE_ENDINGS, BEHIND)
    for pieces in arrivals(wire):
        assert read(pieces, NORMALIZE) == (content, BEHIND)


@pytest.mark.parametrize(("sequence", "normalized", "clean"), ENDS)
def test_it_ends_the_data(sequence: bytes, normalized: bytes, *, clean: bool) -> None:
    """The end is where it is, whatever came before it; all behind it is not content (E-25)."""
    wire, behind = HEAD + sequence + SMUGGLED + BEHIND, SMUGGLED + BEHIND
    for pieces in arrivals(wire):
        content = HEAD + normalized
        assert read(pieces, REJECT) == (content if clean else Fault.LINE_ENDINGS, behind)
    for pieces in arrivals(wire):
        assert read(pieces, NORMALIZE) == (HEAD + normalized, behind)


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        pytest.param(b".\r\n", b"", id="E-23"),
        pytest.param(b"\r\n.\r\n", b"\r\n", id="one-empty-line"),
        pytest.param(b"..\r\n.\r\n", b".\r\n", id="stuffed-first-line"),
        pytest.param(b".a\r\n.\r\n", b"a\r\n", id="unstuffed-first-line"),
    ],
)
def test_a_dot_right_behind_354_counts_too(wire: bytes, content: bytes) -> None:
    for pieces in arrivals(wire + BEHIND):
        assert read(pieces, REJECT) == (content, BEHIND)


@pytest.mark.parametrize("wire", [b"", b".", b".\r", b"\r\n.", b"a\r\n.\r", b"a\r\n..\r\n", b".\n"])
def test_without_its_end_there_is_no_message(wire: bytes) -> None:
    """E-24: whatever has come is nothing yet."""
    for pieces in arrivals(wire):
        assert read(pieces, REJECT) is None


@pytest.mark.parametrize("line_endings", LineEndings)
@pytest.mark.parametrize(
    "length",
    [*range(998, 1004), 65535, 65536, 65537, LINE_LIMIT - 1, LINE_LIMIT, LINE_LIMIT + 1],
)
def test_a_long_line_is_kept_whole_or_refused(length: int, line_endings: LineEndings) -> None:
    """E-22: a dot and CRLF at its tail end nothing; the limit is 1 MiB (S-40)."""
    line = b"x" * (length - 1) + b"."
    wire = b"\r\na\r\n" + line + b"\r\nb\r\n.\r\n"
    expected = wire[:-3] if length <= LINE_LIMIT else Fault.LONG_LINE
    for cut in (0, 5, 5 + length, 6 + length, 7 + length, len(wire) - 2):
        pieces = iter([wire[:cut], wire[cut:]])
        assert read(pieces, line_endings, 2 * LINE_LIMIT) == (expected, b"")


@pytest.mark.parametrize("lines", [1, 2, 5])
def test_every_line_has_the_limit_to_itself(lines: int) -> None:
    short = b"\r\n" + (b"x" * LINE_LIMIT + b"\r\n") * lines
    long = short + b"x" * (LINE_LIMIT + 1) + b"\r\n"
    assert read(iter([short + b".\r\n"]), REJECT, 8 * LINE_LIMIT) == (short, b"")
    assert read(iter([long + b".\r\n"]), REJECT, 8 * LINE_LIMIT) == (Fault.LONG_LINE, b"")


# --- size -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", [b"x" * 8 + b"\r\n", b".\r\n", b"\r\n"], ids=["text", "dot", "empty"]
)
def test_the_size_counts_without_the_stuffing(line: bytes) -> None:
    """S-38: exact to the octet, however many dots were added on the way."""
    content = line * 30
    stuffed = content.replace(b".\r\n", b"..\r\n") + b".\r\n"
    for pieces in arrivals(stuffed):
        assert read(pieces, REJECT, len(content)) == (content, b"")
    for pieces in arrivals(stuffed):
        assert read(pieces, REJECT, len(content) - 1) == (Fault.TOO_BIG, b"")


def test_a_message_far_too_big_is_not_kept() -> None:
    """S-38, A-06: at most a little more than the limit is held, and its end is still seen."""
    reader = a_reader(1000)
    for _ in range(25):
        assert reader.feed(b"x" * 98 + b"\r\n") is None
        assert len(reader._input) + len(reader._head) < 2500
    assert reader.feed(b".\r\nQUIT\r\n") == b"QUIT\r\n"
    assert reader.result() is Fault.TOO_BIG


@pytest.mark.parametrize("piece", [1, 7, 100, 5000])
def test_a_message_without_end_is_hopeless_in_time(piece: int) -> None:
    """The limit, and the limit again; what comes in one piece may overshoot by that piece."""
    reader, sent = a_reader(1000), 0
    while not reader.is_hopeless:
        assert reader.feed(b"x" * piece) is None
        sent += piece
    assert 2000 < sent <= 1000 * 4 / 3 + 1000 + 20 + piece


def test_what_fits_is_never_hopeless() -> None:
    reader = a_reader(1000)
    for _ in range(1990):
        reader.feed(b"x")
        assert not reader.is_hopeless


# --- against a slow reference -----------------------------------------------------------------


tokens = st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\0", b"a", b"\r\n.", b"\r\n.\r\n", b".."])


@settings(max_examples=400, deadline=None)
@given(
    wire=st.lists(tokens, max_size=24).map(b"".join),
    cuts=st.lists(st.integers(0, 60), max_size=8).map(sorted),
    line_endings=st.sampled_from(LineEndings),
    size=st.sampled_from([3, 6, 10, 20, PLENTY]),
)
@example(wire=b"\r\r\n.\r\n", cuts=[1, 2, 3, 4], line_endings=NORMALIZE, size=PLENTY)
@example(wire=b"..\r\n" * 5 + b".\r\n", cuts=list(range(23)), line_endings=REJECT, size=14)
@example(wire=b"..\r\n" * 5 + b".\r\n", cuts=list(range(23)), line_endings=REJECT, size=15)
def test_the_reader_agrees_with_the_slow_reference(
    wire: bytes, cuts: list[int], line_endings: LineEndings, size: int
) -> None:
    """Any octets in any pieces: the same content, the same rest, the same refusal."""
    edges = [0, *cuts, len(wire)]
    pieces = [wire[a:b] for a, b in pairwise(edges)]
    expected = slow(wire, line_endings, size)
    assert read(iter(pieces), line_endings, size) == expected
    for piece, held in ((5, 4), (6, PLENTY), (9, 7)):
        with small(piece=piece, held=held), pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "_has_header", lambda _: True)
            assert read(iter(pieces), line_endings, size) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(tokens, max_size=24).map(b"".join))
def test_what_is_stuffed_comes_out_unstuffed(text: bytes) -> None:
    """unstuff(stuff(x)) = x for clean content (S-32), and nothing irregular gets out (S-31)."""
    content = b"".join(line + b"\r\n" for line in text.translate(None, b"\r\0").split(b"\n"))
    stuffed = b"".join(
        (b"." + line if line[:1] == b"." else line) + b"\r\n"
        for line in content.split(b"\r\n")[:-1]
    )
    for line_endings in LineEndings:
        assert read(iter([stuffed + b".\r\n"]), line_endings) == (content, b"")
    normalized = read(iter([text + b"\r\n.\r\n"]), NORMALIZE)
    assert normalized is not None
    assert isinstance(normalized[0], bytes)
    lone = normalized[0].replace(b"\r\n", b"")
    assert not set(lone) & set(b"\r\n\0")


def test_normalizing_costs_no_work_by_the_octet() -> None:
    """A-08: the loop must not stand still for it."""

    def read() -> None:
        reader = a_reader(20 * PLENTY, NORMALIZE)
        assert reader.feed(b"\n" * 8_000_000 + b"\r\n.\r\n") == b""
        assert content_of(reader.result()) == b"\r\n" * 8_000_001

    assert took_by(read, 0.7) < 0.7


# --- what is too large to be held -------------------------------------------------------------

LARGE = 4 * reading.HELD


def test_what_is_large_is_not_held() -> None:
    """D.3: 25 MB of empty lines cost no more memory than anything else."""
    reader = a_reader(2 * LARGE)
    for _ in range(LARGE // 1000):
        assert reader.feed(b"\r\n" * 500) is None
        assert len(reader._input) + len(reader._head) <= reading.HELD + 70_000
    assert reader.feed(b".\r\n") == b""
    result = reader.result()
    assert isinstance(result, Received)
    assert len(result.head) == reading.HELD
    assert content_of(result) == b"\r\n" * (LARGE // 1000 * 500)


@pytest.mark.parametrize(
    ("header", "fits"),
    [
        pytest.param(b"A: b\r\n\r\n", True, id="short"),
        pytest.param(b"\r\n", True, id="none"),
        pytest.param(b"A: b\r\n" * (reading.HELD // 6 - 2) + b"\r\n", True, id="just-fits"),
        pytest.param(b"A: b\r\n" * (reading.HELD // 6 + 1) + b"\r\n", False, id="too-long"),
    ],
)
def test_the_header_section_of_what_is_large_has_to_be_held(header: bytes, *, fits: bool) -> None:
    """It is looked into and changed (S-23), which a file is not."""
    wire = header + (b"x" * 998 + b"\r\n") * (LARGE // 1000)
    found = read(iter([wire, b".\r\n"]), REJECT, 2 * LARGE)
    assert found == (wire if fits else Fault.LONG_HEADER, b"")


@pytest.mark.parametrize(
    ("error", "fault"),
    [(StoreFull("no room"), Fault.NO_ROOM), (StoreUnavailable("no disk"), Fault.NO_SPOOL)],
    ids=["full", "broken"],
)
@pytest.mark.parametrize("fails_at", ["creation", "write"])
def test_a_spool_that_fails_is_told_at_the_dot(
    error: StoreError, fault: Fault, fails_at: str
) -> None:
    """F-11: by 452 or 451, and what was spooled is gone."""
    spools: list[MemorySpool] = []

    class Failing(MemorySpool):
        def __init__(self) -> None:
            super().__init__()
            spools.append(self)
            if fails_at == "creation":
                raise error

        def write(self, octets: bytes, /) -> None:
            super().write(octets)
            if len(self._octets) > reading.HELD:
                raise error

    reader = DataReader(size_limit=2 * LARGE, line_endings=REJECT, spool=Failing)
    for _ in range(LARGE // 1000):
        assert reader.feed(b"x" * 998 + b"\r\n") is None
    assert reader.feed(b".\r\n") == b""
    assert reader.result() is fault
    assert [bytes(spool._octets) for spool in spools] == [b""]


def test_who_leaves_leaves_nothing_behind() -> None:
    """E-24."""
    spool = MemorySpool()
    reader = DataReader(size_limit=2 * LARGE, line_endings=REJECT, spool=lambda: spool)
    reader.feed(b"x\r\n" * reading.HELD)
    assert spool._octets
    reader.discard()
    assert not spool._octets

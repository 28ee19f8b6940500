"""A listener that is lenient: what it takes, and that no session has two ways to end the data."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from relayd.mail.lenient import Leniency
from relayd.receiver.lines import LineInput, NoLine
from relayd.receiver.reader import DataReader, Fault
from relayd.settings import LineEndings
from relayd.store.memory.spool import MemorySpool
from tests.support.content import content_of, small
from tests.support.line import LISTENER, Line
from tests.support.receiving import Options, envelopes, on_every_loop, receiving, run_on

ALL = frozenset(Leniency)
MAIL = b"MAIL FROM:<a@x.test>"
SEPTIC = st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\0"]), max_size=24).map(b"".join)
LF, CRLF = b"\n.\n", b"\r\n.\r\n"


def read(wire: bytes, cuts: Sequence[int], *, ends_in_lf: bool) -> tuple[DataReader, bytes | None]:
    """Feed a reader in pieces; return what is behind the end, None if that has not come."""
    reader = DataReader(
        size_limit=1000,
        line_endings=LineEndings.NORMALIZE,
        spool=MemorySpool,
        ends_in_lf=ends_in_lf,
    )
    places = [0, *sorted(min(each, len(wire)) for each in cuts), len(wire)]
    pieces = [wire[start:end] for start, end in pairwise(places)]
    for number, piece in enumerate(pieces):
        behind = reader.feed(piece)
        if behind is not None:
            return reader, behind + b"".join(pieces[number + 1 :])
    return reader, None


@given(SEPTIC, st.lists(st.integers(0, 24), max_size=5), st.sampled_from([LF, CRLF]))
@example(b"a\r\n.\r\nb\n.\n", [], LF)
@example(b"a\n.\nb\r\n.\r\n", [], CRLF)
@example(b"a\n.\r\nb\r\n.\nc\n.\r\n.\n", [3, 4], LF)
def test_no_octets_end_the_data_in_two_ways(wire: bytes, cuts: list[int], end: bytes) -> None:
    """In a session of LF the first LF.LF is the end, in one of CRLF the first CRLF.CRLF, and nothing else."""
    start = end[: end.index(b".")]  # the line of DATA has ended
    _, found, behind = (start + wire).partition(end)
    with small(piece=3, held=4):
        reader, rest = read(wire, cuts, ends_in_lf=end == LF)
    if not found:
        assert rest is None
        return
    assert rest == behind
    content = content_of(reader.result())
    if isinstance(content, Fault):
        assert content is Fault.LONG_HEADER
        return
    # What others would be given has one kind of line end, and is one message to them too.
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", content)


@pytest.mark.parametrize("cr", [b"a\r\n", b"a\rb\n", b"\r\n", b".\r\n", b"a\n.\r\n"])
def test_cr_in_content_of_lf_is_refused_unless_it_is_repaired(cr: bytes) -> None:
    reader = DataReader(
        size_limit=1000,
        line_endings=LineEndings.REJECT,
        spool=MemorySpool,
        ends_in_lf=True,
    )
    assert reader.feed(cr + b".\nQUIT\n") == b"QUIT\n"
    assert reader.result() is Fault.LINE_ENDINGS


@given(st.lists(st.sampled_from([b"\n", b"\r\n"]), min_size=1, max_size=5))
def test_the_first_line_decides_for_the_session(ends: list[bytes]) -> None:
    lines = LineInput(takes_bare_lf=True)
    for number, end in enumerate(ends):
        lines.octets += b"NOOP" + end
        if end == ends[0]:
            assert lines.take(is_answer=False) == b"NOOP"
            assert lines.ends_in_lf is (end == b"\n")
        else:
            with pytest.raises(NoLine):
                lines.take(is_answer=False)
            return
        assert number < len(ends)


def test_a_strict_listener_takes_no_lf() -> None:
    lines = LineInput()
    lines.octets += b"NOOP\n"
    with pytest.raises(NoLine):
        lines.take(is_answer=False)
    assert not lines.ends_in_lf


@on_every_loop
def test_a_session_of_lf(loop: str) -> None:
    """CRLF.CRLF in it is content, so that nothing behind it is a command."""

    async def main() -> None:
        options = Options(lenient=ALL, line_endings=LineEndings.NORMALIZE)
        async with receiving(options) as reception:
            client = await reception.greeted(None)
            await client.send(b"EHLO app\n")
            assert (await client.reply())[-1].startswith("250 ")
            await client.send(MAIL + b"\nRCPT TO:<b@y.test>\nDATA\n")
            assert [await client.line() for _ in range(2)] == ["250 2.1.0 OK", "250 2.1.5 OK"]
            assert await client.line() == "354 End data with <LF>.<LF>"
            await client.send(b"A: b\n\nx\r\n.\r\nMAIL FROM:<evil@x.test>\n..\n.\nNOOP\n")
            assert (await client.line()).startswith("250 2.0.0 OK queued")
            assert await client.line() == "250 2.0.0 OK"
            assert envelopes(reception.intake.messages) == ["<a@x.test> <b@y.test>"]
            content = reception.intake.messages[0].content[:]
            assert content.endswith(b"A: b\r\n\r\nx \r\n \r\nMAIL FROM:<evil@x.test>\r\n.\r\n"), (
                content
            )
            await client.send(b"NOOP\r\n")
            assert await client.line() == "500 5.5.2 Lines end as the first one did"
            await client.closed()

    run_on(loop, main())


def test_a_session_of_crlf_stays_strict() -> None:
    async def main() -> None:
        async with receiving(Options(lenient=ALL)) as reception:
            client = await reception.greeted()
            await client.ask(MAIL.decode(), "RCPT TO:<b@y.test>")
            assert await client.ask("DATA") == "354 End data with <CR><LF>.<CR><LF>"
            await client.send(b"A: b\r\n\r\nx\n.\nMAIL FROM:<evil@x.test>\n.\n\r\n.\r\n")
            assert (await client.line()).startswith("550 5.6.0 ")
            await client.closed()

    run_on("asyncio", main())


def test_addresses_as_old_programs_write_them() -> None:
    async def main() -> None:
        async with receiving(Options(lenient=ALL)) as reception:
            client = await reception.greeted()
            with capture_logs() as logs:
                for _ in range(2):
                    assert await client.ask("MAIL FROM: app SIZE=5") == "250 2.1.0 OK"
                    assert await client.ask("RCPT TO:<a..b@y.test.>") == "250 2.1.5 OK"
                    assert await client.ask("RCPT TO:<a@b@y.test>") != "250 2.1.5 OK"
                    assert (await client.ask("DATA")).startswith("354")
                    await client.send(b"x\r\n.\r\n")
                    assert (await client.line()).startswith("250 ")
            assert envelopes(reception.intake.messages) == ['<app@relay.test> <"a..b"@y.test>'] * 2
            assert [
                (each["event"], each["client_ip"], each["listener"], each["lenient"])
                for each in logs
            ] == [
                ("served_leniently", "127.0.0.1", "test", kind)
                for kind in ("brackets", "no_domain", "trailing_dot", "dotted_local_part")
            ]

    run_on("asyncio", main())


@pytest.mark.parametrize("kind", [each for each in Leniency if each is not Leniency.BARE_LF])
def test_each_kind_has_to_be_named(kind: Leniency) -> None:
    """With all the others a path of this kind is refused as ever."""
    wrong = {
        Leniency.BRACKETS: b"MAIL FROM:a@x.test",
        Leniency.TRAILING_DOT: b"MAIL FROM:<a@x.test.>",
        Leniency.DOTTED_LOCAL_PART: b"MAIL FROM:<a.@x.test>",
        Leniency.NO_DOMAIN: b"MAIL FROM:<a>",
    }[kind]
    for kinds, code in ((ALL - {kind}, b"501"), (frozenset({kind}), b"250")):
        line = Line(listener=replace(LISTENER, lenient=kinds))
        line.connect()
        assert line.say(b"EHLO x\r\n", wrong + b"\r\n")[-1].startswith(code)

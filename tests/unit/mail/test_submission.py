"""What is added for clients that leave it out, and what a local program's message becomes."""

from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.utils import parseaddr
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import Address
from relayd.mail.envelope import MessageFacts
from relayd.mail.header import header_end
from relayd.mail.line_ends import is_clean
from relayd.mail.submission import (
    facts_with,
    local_message,
    mailbox,
    missing_fields,
    until_dot,
    values_of,
    without_bcc,
)
from tests.support.processor import took_by

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DATE = b"Date: Sun, 01 Mar 2026 12:00:00 +0000\r\n"
ID = b"Message-ID: <m@x.test>\r\n"
FROM = b"From: a@x.test\r\n"
PIECES = st.lists(
    st.sampled_from([b"Bcc: b@x", b"Date: d", b"From ", b"x", b":", b" ", b"\t", b"\r\n", b"\n"]),
    max_size=12,
).map(b"".join)


def added_to(content: bytes, author: str = "") -> bytes:
    return missing_fields(content, message_id="<m@x.test>", at=AT, author=author)


MISSING = {
    "both": (b"Subject: x\r\n\r\nbody\r\n", DATE + ID),
    "date": (b"Message-ID: <o@x.test>\r\n\r\n", DATE),
    "message-id": (b"DATE: never\r\n\r\n", ID),
    "none": (b"message-id : <o@x.test>\r\nDate:\r\n Sun\r\n\r\n", b""),
    "malformed ones are there": (b"Message-ID:\r\nDate: soon\r\n\r\n", b""),
    "only in the body": (b"A: b\r\n\r\nDate: d\r\nMessage-ID: <o@x.test>\r\n", DATE + ID),
    "only in a folded line": (b"A: b\r\n Date: d\r\n\r\n", DATE + ID),
    "names that begin alike": (b"Date-Due: d\r\nResent-Date: d\r\n\r\n", DATE + ID),
    "no header": (b"\r\nbody\r\n", DATE + ID),
    "no body": (b"A: b\r\n", DATE + ID),
    "nothing": (b"", DATE + ID),
}
BROKEN = {
    "text only": (b"Hello Ann,\r\nyes.\r\n", DATE + ID + b"\r\n"),
    "text and an empty line": (b"Hello Ann,\r\n\r\nDate: d\r\n", DATE + ID + b"\r\n"),
    "begins with a continuation": (b" x\r\nDate: d\r\n\r\n", DATE + ID + b"\r\n"),
    "line of a mailbox": (b"From a@x.test Sun\r\nDate: d\r\n\r\n", ID),
    "text between fields": (b"A: b\r\nHello Ann,\r\nDate: d\r\n\r\n", ID),
}


@pytest.mark.parametrize(("content", "added"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_added(content: bytes, added: bytes) -> None:
    """RFC 6409 sections 8.2 and 8.3; a field that is there is never doubled."""
    assert added_to(content) == added
    assert added_to(added + content) == b""


@pytest.mark.parametrize(("content", "added"), BROKEN.values(), ids=BROKEN)
def test_a_broken_header_section_is_not_made_worse(content: bytes, added: bytes) -> None:
    """Text does not become part of our fields, and stays text."""
    assert added_to(content) == added


def test_from_is_added_if_there_is_an_author() -> None:
    assert added_to(DATE + ID + b"\r\n", "a@x.test") == FROM
    assert added_to(DATE + ID + b"from: b@x.test\r\n\r\n", "a@x.test") == b""


@given(st.binary(max_size=60) | PIECES)
def test_our_fields_stay_whole(content: bytes) -> None:
    """On any octets: nothing in front of them, nothing of what follows is taken in."""
    added = added_to(content, "a@x.test")
    assert added_to(added + content, "a@x.test") == b""
    if added:
        own = [line for line in (DATE, ID, FROM) if line in added]
        assert added in (b"".join(own), b"".join(own) + b"\r\n")
        assert (added + content)[: len(added) + 1][-1:] not in (b" ", b"\t") or added[-4:] == (
            b"\r\n\r\n"
        )


SIGNED = {
    "date": b"DKIM-Signature: v=1; h=from:Subject:DATE; b=x\r\n",
    "message-id": b"DKIM-Signature: a=b;\r\n\th = from :\r\n\tmessage-id : to\r\n",
    "bcc": b"dkim-signature: h=bcc:bcc;h=x\r\n",
    "none": b"DKIM-Signature: bh=date; d=message-id; b=h=bcc\r\n",
    "arc": b"ARC-Message-Signature: i=1; h=resent-bcc:date:message-id:bcc\r\n",
    "only named so": b"X-DKIM-Signature: h=date:bcc\r\n",
}
LEFT = {"date": ID, "message-id": DATE, "arc": b""}


@pytest.mark.parametrize("name", SIGNED)
def test_what_a_signature_covers_is_left_alone(name: str) -> None:
    """S-49: also the absence of a field may be signed (RFC 6376 section 5.4.2)."""
    content = SIGNED[name] + b"Subject: x\r\n\r\nDate: d\r\n"
    assert added_to(content) == LEFT.get(name, DATE + ID)
    kept = without_bcc(SIGNED[name] + b"Bcc: a\r\n b\r\nTo: c\r\n\r\nx\r\n")
    assert (b"\r\nBcc: a\r\n b\r\n" in kept) is (name in {"bcc", "arc"})
    assert kept.endswith(b"To: c\r\n\r\nx\r\n")


def test_signatures_without_end_cost_little() -> None:
    """A-08: the header section is 256 KiB at the most."""
    for piece in (b"; h", b";\r\n ", b"h=:", b":", b" h = "):
        header = b"DKIM-Signature: " + piece * (256 * 1024 // len(piece)) + b"\r\nBcc: a\r\n"
        assert took_by(partial(added_to, header), 0.25) < 0.25
        assert took_by(partial(without_bcc, header), 0.25) < 0.25


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        pytest.param(b"Bcc: a@x.test\r\n", b"", id="alone"),
        pytest.param(b"To: b\r\nBCC:a\r\nCc: c\r\n", b"To: b\r\nCc: c\r\n", id="any-case"),
        pytest.param(b"Bcc: a,\r\n b,\r\n\tc\r\nTo: d\r\n", b"To: d\r\n", id="folded"),
        pytest.param(b"To: d\r\nBcc:\r\n \r\n a\r\n", b"To: d\r\n", id="folded-blank-line"),
        pytest.param(b"Bcc: a\r\nTo: d\r\nbcc : b\r\n", b"To: d\r\n", id="several"),
        pytest.param(b"Resent-Bcc: a\r\nTo: d\r\n", b"To: d\r\n", id="resent"),
        pytest.param(b"To: a\r\n Bcc: b\r\n", b"To: a\r\n Bcc: b\r\n", id="in-a-folded-line"),
        pytest.param(b"Bccc: a\r\nX-Bcc: b\r\n", b"Bccc: a\r\nX-Bcc: b\r\n", id="other-names"),
        pytest.param(b"\r\nBcc: a\r\n", b"\r\nBcc: a\r\n", id="in-the-body"),
        pytest.param(b"To: d\r\nBcc: a", b"To: d\r\n", id="without-an-end"),
    ],
)
def test_bcc_is_taken_out_whole(header: bytes, kept: bytes) -> None:
    """S-49; a message without To and Cc stays one (RFC 5322 section 3.6.3)."""
    assert without_bcc(header) == kept
    body = b"\r\nBcc: not here\r\n"
    if header.endswith(b"\n"):
        assert without_bcc(header + body) == kept + body


@given(
    st.binary(max_size=100)
    | st.lists(
        st.sampled_from([b"Bcc: b", b"To: a", b"Resent-", b" ", b"\r\n", b"\n", b"x", b":"]),
        max_size=12,
    ).map(b"".join)
)
def test_all_but_bcc_is_kept(content: bytes) -> None:
    """Every line that is left was there, in its order; the body and other fields are untouched."""
    kept = without_bcc(content)
    assert without_bcc(kept) == kept
    end = header_end(content)
    assert kept.endswith(content[end:])
    left = iter(content.split(b"\n"))
    assert all(any(line == one for one in left) for line in kept.split(b"\n") if line)
    if b"bcc" not in content[:end].lower():
        assert kept is content


def test_the_facts_know_the_added_message_id() -> None:
    facts = MessageFacts(size=9, hops=1, tag="t")
    assert facts_with(DATE, facts) is facts
    assert facts_with(DATE + ID, facts).message_id_header == "<m@x.test>"
    assert facts_with(ID + b"\r\n", facts).tag == "t"


def test_values_come_whole_and_in_order() -> None:
    content = b"To: a\r\nX: b\r\ncc :c\r\n d\r\nTO:\r\n\te\r\nCcc: f\r\n\r\nTo: g\r\n"
    assert list(values_of(content, "To", "Cc")) == [b" a\r", b"c\r\n d\r", b"\r\n\te\r"]


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        pytest.param([b"a\n", b".\n", b"b\n"], b"a\n", id="lf"),
        pytest.param([b"a\r\n", b".\r\n", b"b\r\n"], b"a\r\n", id="crlf"),
        pytest.param([b"a\n", b"."], b"a\n", id="at-the-end"),
        pytest.param([b"..\n", b".a\n", b" .\n", b". \n"], b"..\n.a\n .\n. \n", id="not-alone"),
        pytest.param([], b"", id="nothing"),
    ],
)
def test_a_single_dot_ends_the_message(lines: list[bytes], kept: bytes) -> None:
    assert until_dot(lines) == kept


LOCAL = {
    "as it should be": (b"A: b\r\n\r\nc\r\n", b"A: b\r\n\r\nc\r\n"),
    "lf": (b"A: b\n c\n\nd\n", b"A: b\r\n c\r\n\r\nd\r\n"),
    "no line end": (b"A: b\n\nc", b"A: b\r\n\r\nc\r\n"),
    "cr and nul": (b"A: b\n\nc\rd\0\n", b"A: b\r\n\r\nc d \r\n"),
    "nothing": (b"", b""),
    "fields only": (b"A: b\n", b"A: b\r\n"),
    "body only": (b"\nc\n", b"\r\nc\r\n"),
    "text only": (b"Hello Ann,\nyes.\n", b"\r\nHello Ann,\r\nyes.\r\n"),
    "text behind fields": (b"A: b\nHello\n\nB: c\n", b"A: b\r\n\r\nHello\r\n\r\nB: c\r\n"),
    "begins with a blank": (b" a\nB: c\n", b"\r\n a\r\nB: c\r\n"),
    "line of a mailbox": (b"From a Sun\nA: b\n\nc\n", b"A: b\r\n\r\nc\r\n"),
    "field with a blank before its colon": (b"From : a\nB: c\n", b"From : a\r\nB: c\r\n"),
    "line of a mailbox before that": (b"From a\nFrom : a\nB: c\n", b"From : a\r\nB: c\r\n"),
    "quoted line of a mailbox": (b">From a Sun\nA: b\n", b"A: b\r\n"),
    "text that begins with From": (b"From now on\nall is well\n", b"\r\nFrom now on\r\nall is well\r\n"),
    "separators of str": (b"A: b\x0bBcc: c\x1c\n\nd\n", b"A: b\x0bBcc: c\x1c\r\n\r\nd\r\n"),
}  # fmt: skip


@pytest.mark.parametrize(("given_", "content"), LOCAL.values(), ids=LOCAL)
def test_what_a_local_program_writes_becomes_content(given_: bytes, content: bytes) -> None:
    assert local_message(given_) == content


@given(st.binary(max_size=60) | PIECES)
def test_any_input_becomes_a_header_section_and_a_body(written: bytes) -> None:
    content = local_message(written)
    assert is_clean(content)
    assert local_message(content) == content
    header = content[: header_end(content)]
    for line in header.split(b"\r\n")[:-1]:
        assert line[:1] in b" \t" or b":" in line


ADDRESS = Address("a", "x.test")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("", "a@x.test", id="none"),
        pytest.param(" \r\n", "a@x.test", id="blank"),
        pytest.param("Cron Daemon", "Cron Daemon <a@x.test>", id="atoms"),
        pytest.param("Cron, the D.", '"Cron, the D." <a@x.test>', id="quoted"),
        pytest.param('A "B" \\', '"A \\"B\\" \\\\" <a@x.test>', id="escaped"),
        pytest.param("A\r\nBcc: b@y.test", '"A Bcc: b@y.test" <a@x.test>', id="injection"),
        pytest.param("J\u00fcrgen", "=?utf-8?B?SsO8cmdlbg==?= <a@x.test>", id="encoded"),
    ],
)
def test_a_mailbox_has_its_name_in_a_form_that_is_safe(name: str, value: str) -> None:
    assert mailbox(name, ADDRESS) == value


@given(st.text(max_size=150))
def test_a_name_is_read_as_it_was_given(name: str) -> None:
    """But for what cannot be shown; no line is too long (RFC 2047 section 2)."""
    value = mailbox(name, ADDRESS)
    if not name.isascii() and name.isprintable() and not name.startswith(" "):
        assert str(make_header(decode_header(value))).startswith(" ".join(name.split()))
        assert all(len(line) <= 90 for line in value.split("\r\n"))
    assert parseaddr(value.replace("\r\n", ""))[1] == "a@x.test"
    assert "\n" not in value.replace("\r\n ", "")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"x" * 8_000_000, id="one-line"),
        pytest.param(b"x\r\n" * 2_000_000, id="no-field"),
        pytest.param(b"A: b\r\n" * 1_000_000, id="fields"),
        pytest.param(b"A:" + b"\r\n x" * 2_000_000, id="one-field"),
    ],
)
def test_a_message_that_is_all_header_does_not_stop_the_loop(content: bytes) -> None:
    """A-08, as `read_facts` keeps it."""
    assert took_by(lambda: added_to(content), 1.5) < 1.5

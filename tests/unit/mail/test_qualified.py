"""Names without a domain in a header get one, and nothing else changes (RFC 6409 §4.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.qualified import qualified
from tests.support.processor import took_by

LIMIT = 0.5  # seconds
BODY = b"\r\nFrom: root\r\n"


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("root", "root@r.test"),
        ("root (Cron Daemon)", "root@r.test (Cron Daemon)"),
        ('"(Cron Daemon)" <root>', '"(Cron Daemon)" <root@r.test>'),
        ("Bob <  bob >", "Bob <  bob@r.test >"),
        ("=?utf-8?q?J=C3=BCrgen?= <bob>", "=?utf-8?q?J=C3=BCrgen?= <bob@r.test>"),
        ("a@x.test, carol,\r\n dave", "a@x.test, carol@r.test,\r\n dave@r.test"),
        ("Team: x, y@z.test, <w>;", "Team: x@r.test, y@z.test, <w@r.test>;"),
        ("(one (two)) first.last", "(one (two)) first.last@r.test"),
        ("jürgen", "jürgen@r.test"),
    ],
)
@pytest.mark.parametrize("field", ["From", "to", "CC", "Reply-To ", "Sender", "Resent-From"])
def test_a_name_gets_the_domain(field: str, written: str, becomes: str) -> None:
    content, wanted = (
        f"Subject: root\r\n{field}: {value}\r\nX: y\r\n".encode() + BODY
        for value in (written, becomes)
    )
    assert qualified(content, "r.test") == wanted
    assert qualified(wanted, "other.test") == wanted


@pytest.mark.parametrize(
    "written",
    [
        *("", " ", "<>", "a@x.test", "root@", "@x.test", "Bob B", '"Bob B"', "undisclosed-recipients:;"),
        *("undisclosed-recipients", "Undisclosed-Recipients", ", ".join(["someone"] * 110)),
        *("=?utf-8?q?x?=", "a..b", "(only a comment)", "root (not closed", "<a", "a, b > c", "[a]"),
    ],
)  # fmt: skip
def test_what_is_not_certainly_a_name_stays(written: str) -> None:
    content = f"From: {written}\r\n".encode() + BODY
    assert qualified(content, "r.test") == content


def test_octets_that_are_no_text_stay() -> None:
    content = b"From: J\xfcrgen\r\nTo: bob\r\n\r\n"
    assert qualified(content, "r.test") == b"From: J\xfcrgen\r\nTo: bob@r.test\r\n\r\n"


def test_fields_that_are_signed_stay() -> None:
    signed = b"DKIM-Signature: v=1; h=from:to; b=x\r\nFrom: root\r\nCc: bob\r\n" + BODY
    assert qualified(signed, "r.test") == signed.replace(b"Cc: bob", b"Cc: bob@r.test")


def test_other_fields_stay() -> None:
    content = b"Bcc: root\r\nErrors-To: root\r\nX-From: root\r\nFrom : root\r\n" + BODY
    assert qualified(content, "r.test") == content.replace(b"From : root", b"From : root@r.test")


@given(
    st.lists(
        st.sampled_from(
            ["root", " ", ",", "<", ">", "(", ")", ":", ";", '"', "\\", "@", "\r\n ", "x.y", "é"]
        )
    )
)
def test_only_domains_are_put_in(parts: list[str]) -> None:
    content = f"To:{''.join(parts)}\r\n".encode() + BODY
    found = qualified(content, "r.test")
    assert found.replace(b"@r.test", b"") == content
    assert qualified(found, "r.test") == found


@pytest.mark.parametrize("part", [b"a,", b"(", b"<a>", b'"a",', b" \r\n ", b"a:;", b"a@b,"])
def test_a_long_field_takes_its_length(part: bytes) -> None:
    """Doubled, it takes twice as long, and not four times."""
    short, long = (b"To: " + part * count + b"\r\n\r\n" for count in (20_000, 40_000))
    once = took_by(lambda: qualified(short, "r.test"), LIMIT)
    assert took_by(lambda: qualified(long, "r.test"), 3 * LIMIT) < max(3 * once, LIMIT)

"""Whatever the bytes: no exception, bounded time and memory, and one answer for one mail."""

import base64
import quopri
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.mail.words import Category
from relayd.policy.inbound_bounce import Kind, parse_bounce
from relayd.policy.inbound_bounce.mime import read_mail
from tests.support.processor import took_by

MIB = 1 << 20
HEAD = b"From: MAILER-DAEMON@mx.example\nSubject: failure notice\n"
STATUS = "Content-Type: message/delivery-status"


def nested(levels: int, *, same: bool) -> bytes:
    names = ["b" if same else f"b{level}" for level in range(levels)]
    return b"".join(
        f"Content-Type: multipart/mixed; boundary={name}\n\n--{name}\n".encode() for name in names
    )


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\x00" * 500, id="binary"),
        pytest.param(HEAD + b"\nnot delivered\n" + b"A" * (35 * MIB), id="35 MB on one line"),
        pytest.param(HEAD + b"\n" + b"<u@example.com>: 550 no\n" * MIB, id="24 MB of recipients"),
        pytest.param(nested(10_000, same=False), id="nested 10,000 deep"),
        pytest.param(nested(10_000, same=True), id="nested in one boundary"),
        pytest.param(
            b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 100_000, id="parts"
        ),
        pytest.param(b"X-A: b\n" * 500_000, id="fields"),
        pytest.param(b"Subject: a\n" + b" b\n" * 500_000, id="folds"),
        pytest.param(b"Subject: " + b"=?utf-8?q?a?= " * 200_000, id="encoded words"),
        pytest.param(HEAD + b"\n" + b"not " * MIB, id="words"),
        pytest.param(HEAD + b"\n" + b"5.1.1." * MIB, id="dotted digits"),
        pytest.param(HEAD + b"\n" + b"a@" * MIB, id="half addresses"),
        pytest.param(HEAD + b"\n" + (b"-" * 900 + b"\n") * 5000, id="rules"),
        pytest.param(HEAD + b"Content-Type: text/html\n\n" + b"<a " * MIB, id="tags"),
        pytest.param(HEAD + b"Content-Transfer-Encoding: base64\n\n" + b"QUFB" * MIB, id="base64"),
        pytest.param(
            STATUS.encode() + b"\n\n" + b"Final-Recipient: rfc822; a@b.test\n\n" * 200_000,
            id="groups",
        ),
        pytest.param(
            HEAD + b'\n"notificationType":"Bounce"' + b'{"emailAddress"' * 200_000, id="JSON"
        ),
    ],
)
def test_hostile_mail(raw: bytes) -> None:
    assert took_by(lambda: parse_bounce(raw), 1.5) < 1.5  # usually some hundredths of it
    parsed = parse_bounce(raw)
    assert len(parsed.recipients) <= 200
    assert all(len(one.diagnostic) <= 4096 for one in parsed.recipients)


def test_little_memory_beside_the_mail() -> None:
    raw = HEAD + b"\nnot delivered\n" + b"<u@example.com>: 550 no\n" * MIB
    tracemalloc.start()
    try:
        parse_bounce(raw)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=400), st.sampled_from([b"", HEAD, HEAD + b"\n", STATUS.encode() + b"\n\n"])
)
def test_any_bytes(raw: bytes, head: bytes) -> None:
    parsed = parse_bounce(head + raw)
    assert parsed.kind is not Kind.NOTBOUNCE or parsed.recipients == ()


LOCAL = st.text("abcdefgh0123456789._-+", min_size=1, max_size=12).map(
    lambda text: "u" + text + "x"
)
RECIPIENTS = st.lists(
    st.tuples(LOCAL, st.sampled_from(["5.1.1", "5.2.2", "5.7.1"])),
    min_size=1,
    max_size=4,
    unique_by=lambda pair: pair[0],
)
ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "7bit": lambda octets: octets,
    "base64": base64.encodebytes,
    "quoted-printable": lambda octets: quopri.encodestring(octets, quotetabs=True),
}


def compose(recipients: list[tuple[str, str]], *, encoding: str, fold: str, charset: str) -> bytes:
    groups = [
        f"Final-Recipient: rfc822;{fold}{local}@example.com\nAction: failed\nStatus: {status}\n"
        f"Diagnostic-Code: smtp;{fold}550 {status}{fold}refused\n"
        for local, status in recipients
    ]
    text = "Ihre Nachricht wurde nicht zugestellt, schöne Grüße\n".encode(charset)
    fields = ENCODE[encoding]("\n".join(["Reporting-MTA: dns; a.example\n", *groups]).encode())
    transfer = f"Content-Transfer-Encoding: {encoding}\n\n".encode()
    return b"".join(
        (
            f"From: Mail Delivery{fold}System <MAILER-DAEMON@a.example>\n".encode(),
            f"Content-Type: multipart/report;{fold}boundary=bb\n\n--bb\n".encode(),
            f"Content-Type: text/plain;{fold}charset={charset}\n".encode(),
            transfer + ENCODE[encoding](text),
            f"\n--bb\n{STATUS}\n".encode() + transfer + fields,
            b"\n--bb\nContent-Type: text/rfc822-headers\n\nMessage-ID:",
            f"{fold}<m@a.example>\n\n--bb--\n".encode(),
        )
    )


@settings(max_examples=100, deadline=None)
@given(
    RECIPIENTS,
    st.sampled_from(sorted(ENCODE)),
    st.sampled_from([" ", "\n ", "\n\t", "\n  \t"]),
    st.sampled_from(["utf-8", "iso-8859-1", "windows-1252"]),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_one_mail_has_one_answer(
    recipients: list[tuple[str, str]], encoding: str, fold: str, charset: str, line_end: bytes
) -> None:
    plain = parse_bounce(compose(recipients, encoding="7bit", fold=" ", charset="utf-8"))
    other = compose(recipients, encoding=encoding, fold=fold, charset=charset)
    assert parse_bounce(other.replace(b"\n", line_end)) == plain
    assert plain.original_message_id == "<m@a.example>"
    assert [(one.address, one.status) for one in plain.recipients] == [
        (f"{local}@example.com", status) for local, status in recipients
    ]


REASONS = {
    "550 5.1.1 Empfänger unbekannt": Category.BAD_MAILBOX,
    "552 5.2.2 Boîte aux lettres pleine": Category.MAILBOX_FULL,
    "550 5.1.1 Usuário não encontrado": Category.BAD_MAILBOX,
}


def compose_text(
    local: str, reason: str, *, encoding: str, fold: str, charset: str, words: str
) -> bytes:
    """A report for people only, in a language with accents."""
    subject = "Unzustellbar: schöne Grüße".encode(charset)
    octets = (
        base64.b64encode(subject) if words == "b" else quopri.encodestring(subject, header=True)
    )
    written = octets.decode()
    body = (
        "Ihre Nachricht konnte nicht zugestellt werden, schöne Grüße.\n"
        f"Could not be delivered to the following recipient:\n\n<{local}@example.com>: {reason}\n"
    )
    head = (
        f"From: Mail Delivery{fold}System <MAILER-DAEMON@a.example>\n"
        f"To:{fold}app@app.test\nSubject:{fold}=?{charset}?{words}?{written}?=\n"
        f"Content-Type: text/plain;{fold}charset={charset}\n"
        f"Content-Transfer-Encoding:{fold}{encoding}\n\n"
    )
    return head.encode() + ENCODE[encoding](body.encode(charset))


@settings(max_examples=100, deadline=None)
@given(
    LOCAL,
    st.sampled_from(sorted(REASONS)),
    st.sampled_from(sorted(ENCODE)),
    st.sampled_from([" ", "\n ", "\n\t", "\n  \t"]),
    st.sampled_from(["utf-8", "iso-8859-1", "windows-1252"]),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sampled_from("bq"),
)
def test_one_text_has_one_answer(
    local: str, reason: str, encoding: str, fold: str, charset: str, line_end: bytes, words: str
) -> None:
    """Also where the words that decide have accents."""
    raw = compose_text(local, reason, encoding=encoding, fold=fold, charset=charset, words=words)
    parsed = parse_bounce(raw.replace(b"\n", line_end))
    assert parsed.kind is Kind.BOUNCE
    assert [(one.address, one.category) for one in parsed.recipients] == [
        (f"{local}@example.com", REASONS[reason])
    ]


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_only_line_ends_end_lines(separator: str) -> None:
    body = (
        f"could not be delivered to\nx{separator}u@example.com: 550 no\n\nv@example.com: 550 no\n"
    )
    parsed = parse_bounce(HEAD + b"\n" + body.encode())
    assert [one.address for one in parsed.recipients] == ["v@example.com"]


@pytest.mark.parametrize(
    ("octets", "charset"),
    [
        pytest.param("失敗".encode("iso-2022-jp"), "iso-2022-jp", id="ISO-2022-JP"),
        pytest.param("失敗".encode("iso-2022-jp"), "us-ascii", id="undeclared"),
        pytest.param("失敗".encode("euc-jp"), "EUC-JP", id="EUC-JP"),
        pytest.param("失敗".encode("shift_jis"), '"Shift_JIS"', id="Shift_JIS"),
        pytest.param("失敗".encode(), "no-such-charset", id="unknown"),
    ],
)
def test_charsets(octets: bytes, charset: str) -> None:
    mail = read_mail(f"Content-Type: text/plain; charset={charset}\n\n".encode() + octets)
    assert mail.parts[0].text() == "失敗"


def test_octets_that_fit_no_charset_are_kept() -> None:
    assert read_mail(b"\n\xe9t\xe9").parts[0].text() == "\u00e9t\u00e9"


def test_encoded_words() -> None:
    raw = b"Subject: =?utf-8?B?ZsO8?= =?utf-8?Q?r_dich?= x =?y?\n\n"
    assert read_mail(raw).headers.decoded("subject") == "für dich x =?y?"

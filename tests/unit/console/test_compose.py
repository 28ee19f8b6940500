"""A message of JSON fields: what is taken, what it becomes, and that no field makes another one."""

import email
import email.policy
import re
from base64 import b64encode
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relayd.console.compose import compose
from relayd.console.json_fields import BadFields
from relayd.console.mail_fields import RECIPIENTS, read_mail
from relayd.mail.header import header_end, read_facts

SIMPLE = {"from": "app@x.test", "to": "a@y.test", "subject": "Hello", "text": "Hello.\n"}
NO_LINE = ["\r", "\n", "\0", "\x1c", "\x0b", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"]


def a_mail(**fields: Any) -> dict[str, Any]:
    given = {**SIMPLE, **{name.rstrip("_"): value for name, value in fields.items()}}
    return {name: value for name, value in given.items() if value is not ...}


def composed(**fields: Any) -> bytes:
    return compose(read_mail(a_mail(**fields)))


def parsed(content: bytes) -> EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)


def wrong(**fields: Any) -> list[str]:
    with pytest.raises(BadFields) as bad:
        read_mail(a_mail(**fields))
    return [each.where for each in bad.value.wrong]


def names_of(content: bytes) -> list[str]:
    header = content[: header_end(content)]
    return [
        found.decode() for found in re.findall(rb"^([^ \t\r\n:][^:\r\n]*):", header, re.MULTILINE)
    ]


def test_a_simple_message() -> None:
    assert composed() == (
        b"From: app@x.test\r\nTo: a@y.test\r\nSubject: Hello\r\n"
        b'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n'
        b"MIME-Version: 1.0\r\n\r\nHello.\r\n"
    )


def test_all_fields() -> None:
    content = composed(
        from_="Jürgen Groß <j@x.test>",
        to=["a@y.test", {"name": "B, C", "address": "b@y.test"}],
        cc='"D \\"E\\"" <d@y.test>',
        bcc=["secret@y.test"],
        subject="Grüße " * 40,
        html="<p>Grüße</p>",
        headers={
            "Reply-To": "Büro <office@x.test>",
            "Message-ID": "<1@x.test>",
            "Date": "Sun, 01 Mar 2026 12:00:00 +0000",
            "X-Campaign": "spring " * 40,
        },
        attachments=[
            {
                "name": "Grüße.pdf",
                "type": "application/pdf",
                "content": b64encode(b"%PDF").decode(),
            },
            {"name": 'a"b;c.txt', "content": ""},
        ],
        tag="news",
        test=True,
    )
    message = parsed(content)
    assert content.isascii()
    assert str(message["From"]) == "Jürgen Groß <j@x.test>"
    assert [str(each) for each in message["To"].addresses] == ["a@y.test", '"B, C" <b@y.test>']
    assert message["Cc"].addresses[0].display_name == 'D "E"'
    assert str(message["Subject"]) == ("Grüße " * 40).strip()
    assert str(message["Reply-To"]) == "Büro <office@x.test>"
    assert message["X-Campaign"] == ("spring " * 40).strip()
    assert b"secret" not in content
    assert message.get_body(("plain",)).get_content() == "Hello.\r\n"  # type: ignore[union-attr]
    assert message.get_body(("html",)).get_content() == "<p>Grüße</p>\r\n"  # type: ignore[union-attr]
    one, two = message.iter_attachments()
    assert (one.get_filename(), one.get_content_type()) == ("Grüße.pdf", "application/pdf")
    assert one.get_content() == b"%PDF"
    assert (two.get_filename(), two.get_content_type()) == ('a"b;c.txt', "application/octet-stream")
    facts, _ = read_facts(content)
    assert (facts.tag, facts.is_test, facts.message_id_header) == ("news", True, "<1@x.test>")


@pytest.mark.parametrize(
    ("fields", "reverse_path", "recipients"),
    [
        ({}, "app@x.test", ["a@y.test"]),
        (
            {"cc": ["b@y.test"], "bcc": "c@y.test"},
            "app@x.test",
            ["a@y.test", "b@y.test", "c@y.test"],
        ),
        ({"to": ..., "bcc": "c@y.test"}, "app@x.test", ["c@y.test"]),
        ({"cc": ["a@Y.test", "A@y.test"]}, "app@x.test", ["a@y.test", "A@y.test"]),
        ({"envelope": {"from": "bounces@x.test"}}, "bounces@x.test", ["a@y.test"]),
        ({"envelope": {"from": "", "to": ["z@y.test"]}}, None, ["z@y.test"]),
        ({"envelope": None}, "app@x.test", ["a@y.test"]),
        ({"envelope": {"from": None, "to": None}}, "app@x.test", ["a@y.test"]),
    ],
)
def test_the_envelope(
    fields: dict[str, Any], reverse_path: str | None, recipients: list[str]
) -> None:
    """Those of the header, each once, unless the envelope says otherwise."""
    mail = read_mail(a_mail(**fields))
    assert (None if mail.reverse_path is None else str(mail.reverse_path)) == reverse_path
    assert [str(each) for each in mail.recipients] == recipients


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        pytest.param({"from_": ...}, ["from"], id="no-from"),
        pytest.param({"from_": ["a@x.test", "b@x.test"]}, ["from"], id="two-from"),
        pytest.param({"from_": "app"}, ["from"], id="from-no-address"),
        pytest.param({"to": ...}, ["to"], id="nobody"),
        pytest.param({"to": ["a@y.test", "b y.test", 7]}, ["to[1]", "to[2]"], id="to-no-address"),
        pytest.param({"to": "a@y.test, b@y.test"}, ["to"], id="two-in-one"),
        pytest.param({"to": "A <a@y.test> <b@y.test>"}, ["to"], id="two-in-brackets"),
        pytest.param({"to": {"address": "a@y.test", "nme": "A"}}, ["to.nme"], id="unknown-of-to"),
        pytest.param({"to": "a@1.2.3.4"}, ["to"], id="no-domain"),
        pytest.param({"to": [f"{n}@y.test" for n in range(RECIPIENTS + 1)]}, ["to"], id="many"),
        pytest.param({"subjet": "x"}, ["subjet"], id="unknown"),
        pytest.param({"a\nb": "x"}, ["a\\nb"], id="unknown-of-two-lines"),
        pytest.param({"subject": "x" * 999}, ["subject"], id="long"),
        pytest.param({"subject": "x" * 950}, ["subject"], id="long-word"),
        pytest.param({"subject": None}, ["subject"], id="null"),
        pytest.param({"text": 1}, ["text"], id="text-of-a-number"),
        pytest.param({"text": ...}, ["text"], id="no-text"),
        pytest.param({"text": "\0"}, ["text"], id="nul"),
        pytest.param({"html": "\ud800"}, ["html"], id="lone-surrogate"),
        pytest.param({"headers": []}, ["headers"], id="headers-of-a-list"),
        pytest.param({"headers": {"X-A": 1}}, ["headers.X-A"], id="header-of-a-number"),
        pytest.param({"headers": {"X A": "x"}}, ["headers.X A"], id="name-with-a-blank"),
        pytest.param({"headers": {"": "x"}}, ["headers."], id="no-name"),
        pytest.param({"headers": {"X-A:": "x"}}, ["headers.X-A:"], id="name-with-a-colon"),
        pytest.param({"headers": {"BCC": "a@x.test"}}, ["headers.BCC"], id="bcc-by-header"),
        pytest.param({"headers": {"Content-Type": "x"}}, ["headers.Content-Type"], id="mime"),
        pytest.param({"headers": {"X-Relayd-Tag": "x"}}, ["headers.X-Relayd-Tag"], id="ours"),
        pytest.param({"headers": {"X-A": "1", "x-a": "2"}}, ["headers.x-a"], id="twice"),
        pytest.param({"headers": {"Message-ID": "x"}}, ["headers.Message-ID"], id="message-id"),
        pytest.param({"headers": {"Date": "today"}}, ["headers.Date"], id="date"),
        pytest.param({"headers": {"List-Id": "ü"}}, ["headers.List-Id"], id="not-ascii"),
        pytest.param({"headers": {"Reply-To": "x"}}, ["headers.Reply-To"], id="reply-to"),
        pytest.param({"tag": "x" * 201}, ["tag"], id="long-tag"),
        pytest.param({"test": "yes"}, ["test"], id="test"),
        pytest.param({"envelope": {"rcpt": []}}, ["envelope.rcpt"], id="unknown-of-envelope"),
        pytest.param({"envelope": {"to": []}}, ["to"], id="envelope-to-nobody"),
        pytest.param(
            {"attachments": [{"name": "../a", "content": "="}]},
            ["attachments[0].name", "attachments[0].content"],
            id="attachment",
        ),
        pytest.param(
            {"attachments": [{"name": "a", "content": "", "type": "message/rfc822"}]},
            ["attachments[0].type"],
            id="attached-message",
        ),
        pytest.param({"attachments": [{}]}, ["attachments[0].name", "attachments[0].content"], id="empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(fields: dict[str, Any], where: list[str]) -> None:
    assert wrong(**fields) == where


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"from_": ...}, "it is missing"),
        ({"headers": {"Bcc": "a@x.test"}}, "the field bcc of the message"),
        ({"headers": {"X-Relayd-Tag": "x"}}, "written by relayd alone"),
        ({"text": "tab\there, bell\a"}, "U+0007 as its character 15"),
        ({"subject": "a\u2028b"}, "U+2028 as its character 2"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(BadFields) as bad:
        read_mail(a_mail(**fields))
    assert expected in str(bad.value)


def test_of_many_mistakes_the_first_are_told() -> None:
    assert len(wrong(**{f"k{number}": 1 for number in range(100_000)})) == 20
    assert len(wrong(to=["x"] * 999)) == 20


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\t"], ids=ascii)
def test_text_has_what_word_processors_put_between_lines(char: str) -> None:
    content = parsed(composed(text=f"one{char}two\n", html=f"<p>{char}"))
    body = content.get_body(("plain",))
    assert body is not None
    assert body.get_content() == f"one{char}two\r\n"


def test_a_type_has_parameters() -> None:
    text = {
        "name": "a.ics",
        "type": 'text/calendar; method=REQUEST; charset="utf-8"',
        "content": b64encode("Grüße".encode()).decode(),
    }
    [part] = parsed(composed(attachments=[text])).iter_attachments()
    assert part.get_content_type() == "text/calendar"
    assert part["Content-Type"].params == {"method": "REQUEST", "charset": "utf-8"}
    assert part.get_content() == "Grüße"
    many = "a/b" + "".join(f"; p{number}=1" for number in range(60))
    for kind in (
        many,
        "a/b;",
        "a/b; x",
        "a/b; name=x",
        "a/b; boundary=x",
        "a/b; x=1; X=2",
        'a/b; x="\\"',
    ):
        assert wrong(attachments=[{**text, "type": kind}]) == ["attachments[0].type"]


@pytest.mark.parametrize("text", ["Hello.", ...], ids=["with text", "HTML alone"])
def test_html_shows_what_has_an_id(text: Any) -> None:
    logo = {"name": "l.png", "type": "image/png", "content": "AAAA", "content_id": "logo@x.test"}
    other = {"name": "a.pdf", "content": "AAAA"}
    content = parsed(
        composed(text=text, html='<img src="cid:logo@x.test">', attachments=[logo, other])
    )
    [related] = [each for each in content.walk() if each.get_content_type() == "multipart/related"]
    html, image = related.iter_parts()
    assert html.get_content_type() == "text/html"
    assert (image["Content-ID"], image.get_content_disposition()) == ("<logo@x.test>", "inline")
    assert [each.get_filename() for each in content.iter_attachments()][-1] == "a.pdf"
    assert wrong(attachments=[{**logo, "content_id": "<x>"}]) == ["attachments[0].content_id"]


def test_a_picture_without_html_is_a_file() -> None:
    logo = {"name": "l.png", "type": "image/png", "content": "AAAA", "content_id": "logo"}
    assert parsed(composed(attachments=[logo])).get_content_type() == "multipart/mixed"


def test_a_long_list_of_references_is_folded() -> None:
    ids = " ".join(f"<{number:040}@x.test>" for number in range(60))
    content = composed(headers={"References": ids})
    assert max(map(len, content.split(b"\r\n"))) <= 100
    assert str(parsed(content)["References"]) == ids
    assert wrong(headers={"References": ids * 4}) == ["headers.References"]


@pytest.mark.parametrize("blanks", [1, 60, 900, 990, 2000])
def test_no_line_is_too_long(blanks: int) -> None:
    """Blanks do not fold a line; where there are too many, the field is refused."""
    subject = "s" * 400 + " " * blanks + "x" * 90
    for fields in ({"subject": subject}, {"headers": {"X-A": "a" + " " * blanks + "b " * 40}}):
        try:
            content = composed(**fields)
        except BadFields:
            assert blanks > 500
        else:
            assert max(map(len, content.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("char", NO_LINE, ids=ascii)
@pytest.mark.parametrize(
    "field",
    ["from_", "to", "cc", "bcc", "subject", "tag", "header", "header name", "reply-to", "name", "type"],
)  # fmt: skip
def test_no_end_of_a_line_is_taken(field: str, char: str) -> None:
    """Wherever the text is for one line."""
    evil = f"a{char}Bcc: x@y.test"
    given: dict[str, dict[str, Any]] = {
        "header": {"headers": {"X-A": evil}},
        "header name": {"headers": {f"X-A{char}": "x"}},
        "reply-to": {"headers": {"Reply-To": f"{evil} <a@x.test>"}},
        "name": {"attachments": [{"name": evil, "content": ""}]},
        "type": {"attachments": [{"name": "a", "type": f"a/b{char}", "content": ""}]},
        "subject": {"subject": evil},
        "tag": {"tag": evil},
    }
    assert wrong(**given.get(field, {field: f"{evil} <a@x.test>"}))


TEXT = st.text(max_size=120) | st.text('ab =?_"\\<>,;:()@\r\n\té\U0001f468\u200d', max_size=120)
BODY = st.text(max_size=300) | st.text("ab.\r\n =é", max_size=300)
NAME = st.from_regex(r"X-[!-9;-~]{1,40}", fullmatch=True)


@given(
    subject=TEXT,
    name=TEXT,
    headers=st.dictionaries(NAME, TEXT, max_size=3),
    file=TEXT,
    text=st.none() | BODY,
    html=st.none() | BODY,
    tag=TEXT,
)
@example("=?utf-8?q?a=0D=0ABcc:_x?=", "=?utf-8?q?=0A?=", {}, "=?utf-8?q?=0Ab?=", "", None, "")
@example("x" * 100, "\u200d", {"X-A": "a " * 300}, "ü" * 120, "x" * 2000, "é" * 2000, "é")
def test_whatever_is_taken_makes_no_other_field(
    subject: str,
    name: str,
    headers: dict[str, str],
    file: str,
    text: str | None,
    html: str | None,
    tag: str,
) -> None:
    """The header section has the fields that were asked for; what was given comes out again."""
    fields = a_mail(
        to={"name": name, "address": "a@y.test"},
        subject=subject,
        headers=headers,
        text=text,
        html=html,
        tag=tag,
        attachments=[{"name": file, "content": b64encode(b"x").decode()}],
    )
    try:
        mail = read_mail(fields)
    except BadFields:
        return
    content = compose(mail)
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    given = [("Subject", mail.subject), *mail.headers]
    assert names_of(content) == [
        "From",
        "To",
        *(each for each, value in given if value),
        *(["X-Relayd-Tag"] if mail.tag else []),
        "Content-Type",
        "MIME-Version",
    ]
    message = email.message_from_bytes(content)
    for each, value in given:
        if value:
            raw = message[each].replace("\r\n", "")
            assert str(make_header(decode_header(raw))) == value
    [attached] = [part for part in message.walk() if part.get_content_disposition()]
    assert attached.get_payload(decode=True) == b"x"
    assert attached.get_filename() == mail.attachments[0].name
    bodies = [part for part in message.walk() if part.get_content_maintype() == "text"]
    expected = [body for body in (text, html) if body is not None]
    read = [part.get_payload(decode=True).decode() for part in bodies]  # type: ignore[union-attr]
    assert [each.splitlines() for each in read] == [each.splitlines() or [""] for each in expected]


def test_an_address_that_is_not_ascii_stays_itself() -> None:
    """Its domain goes as A-labels, so only the local part asks for SMTPUTF8 (S-36)."""
    assert b"To: a@xn--bcher-kva.test\r\n" in composed(to="a@bücher.test")
    assert "To: ü@xn--bcher-kva.test\r\n".encode() in composed(to="ü@bücher.test")
    [recipient] = read_mail(a_mail(to="a@bücher.test")).recipients
    assert str(recipient) == "a@bücher.test"


def test_bcc_is_in_the_envelope_alone() -> None:
    mail = read_mail(a_mail(bcc="Hidden <hidden@y.test>"))
    assert "hidden@y.test" in map(str, mail.recipients)
    assert b"idden" not in compose(mail)

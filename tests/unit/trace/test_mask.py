"""What is shown of a dialogue never holds what logs somebody in, wherever one begins to look."""

import base64
from collections.abc import Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from relayd.mail.ids import MessageId
from relayd.policy import verp
from relayd.trace.mask import LONGEST, Mask, shown_content

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)
TOKEN = str(verp.encode(MessageId(1 << 40), 7, key=b"k" * 32, domain="back.test"))
OTHER_WORDS = (
    "ehlo app.test 250 relay.test mail from:<a@x.test> 250 2.1.0 ok 535 5.7.8 no such login"
)
Said = Sequence[tuple[str, str]]  # who, and the line


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def logins(secret: str) -> dict[str, Said]:
    """Each way to log in with a secret; the other side repeats it where it can."""
    plain, name, word = coded(f"\0app\0{secret}"), coded("app"), coded(secret)
    bearer = coded(f"user=app\1auth=Bearer {secret}\1\1")
    refused = ("S", f"535 5.7.8 no such login: {word} {secret} {secret.upper()}")
    return {
        "PLAIN": [("C", f"AUTH PLAIN {plain}"), refused],
        "PLAIN, late": [("C", "auth plain"), ("S", "334 "), ("C", plain), refused],
        "LOGIN": [
            ("C", "AUTH LOGIN"),
            ("S", "334 VXNlcm5hbWU6"),
            ("C", name),
            ("S", "334 UGFzc3dvcmQ6"),
            ("C", word),
            refused,
        ],
        "LOGIN, early": [("C", f"AUTH LOGIN {name}"), ("S", "334 UGFz"), ("C", word), refused],
        "XOAUTH2": [("C", f"AUTH XOAUTH2 {bearer}"), ("S", f"334 {word}"), ("C", ""), refused],
        "in one go": [("C", "AUTH PLAIN"), ("C", plain), refused],
        "by a strange name": [("C", f"AUTH {word}"), ("S", f"504 5.5.4 {word} what?")],
        "two blanks": [("C", f"AUTH  PLAIN  {plain}"), refused],
        "no command": [("C", f"PASS {secret}"), ("S", f"500 5.5.1 PASS {secret}")],
        "with a tab": [("C", f"AUTH\tPLAIN\t{plain}"), refused],
        "an argument too many": [("C", f"DATA {plain}"), refused],
        "a proxy": [("C", f"XCLIENT ADDR=192.0.2.1 LOGIN={secret}"), refused],
    }


def shown(said: Said, *, since: int = 0) -> str:
    """What somebody sees who begins to look at this line."""
    mask = Mask(is_known=not since)
    lines = [
        mask.of_command(line.encode()) if who == "C" else mask.of_reply(line)
        for who, line in said[since:]
    ]
    return "\n".join(lines)


@pytest.mark.parametrize("way", list(logins("secret12")))
@settings(max_examples=40)
@given(secret=SECRETS, data=st.data())
def test_no_secret_is_shown_from_wherever_one_looks(
    way: str, secret: str, data: st.DataObject
) -> None:
    assume(secret.lower() not in OTHER_WORDS)
    said = [
        ("C", "EHLO app.test"),
        ("S", "250 relay.test"),
        *logins(secret)[way],
        ("C", "MAIL FROM:<a@x.test>"),
        ("S", "250 2.1.0 OK"),
    ]
    seen = shown(said, since=data.draw(st.integers(0, len(said)))).lower()
    assert secret.lower() not in seen
    assert coded(secret).lower() not in seen


def test_all_else_of_a_dialogue_is_shown() -> None:
    said = [
        ("C", "EHLO app.test"),
        ("S", "250-relay.test\n250 AUTH PLAIN"),
        ("C", f"AUTH PLAIN {coded(chr(0) + 'app@x.test' + chr(0) + 'geheim12')}"),
        ("S", "235 2.7.0 welcome"),
        ("C", "MAIL FROM:<app@x.test> SIZE=3"),
        ("S", "250 2.1.0 <app@x.test> OK"),
        ("C", "XCLIENT ADDR=192.0.2.1 LOGIN=joe PROTO=ESMTP"),
        ("C", "QUIT"),
    ]
    assert shown(said).split("\n") == [
        "EHLO app.test",
        "250-relay.test",
        "250 AUTH PLAIN",
        "AUTH PLAIN ***",
        "235 2.7.0 welcome",
        "MAIL FROM:<app@x.test> SIZE=3",
        "250 2.1.0 <app@x.test> OK",
        "XCLIENT ADDR=192.0.2.1 LOGIN=*** PROTO=ESMTP",
        "QUIT",
    ]


def test_the_end_of_a_transaction_without_content_is_shown() -> None:
    """A pipelining client owes it after DATA when all its recipients were refused (RFC 2920 §3.1)."""
    assert Mask().of_command(b".") == "."
    assert "secret" not in Mask().of_command(b". secret")


def test_who_comes_in_the_midst_sees_nothing_of_a_client_before_an_answer() -> None:
    said = [("C", "QUIT"), ("C", "RCPT TO:<a@x.test>"), ("S", "250 OK"), ("C", "NOOP")]
    assert shown([("S", ""), *said], since=1).split("\n") == [
        "***",
        "RCPT TO:<a@x.test>",
        "250 ***",
        "NOOP",
    ]


def test_the_mask_of_another_dialogue_knows_the_same_secrets() -> None:
    first = Mask()
    first.of_command(f"AUTH PLAIN {coded(chr(0) + 'app' + chr(0) + 'geheim12')}".encode())
    second = first.of_another()
    assert second.of_command(b"NOOP geheim12") == "NOOP ***"


def test_it_forgets_the_oldest_of_many() -> None:
    mask = Mask()
    for number in range(40):
        mask.of_command(f"junk{number:04}".encode())
    assert len(mask._secrets) == 32
    assert mask.shown("junk0039 junk0000") == "*** junk0000"


def test_tokens_of_return_paths_are_masked_everywhere() -> None:
    token = TOKEN.partition("+")[2].partition("@")[0]
    mask = Mask()
    told = [
        mask.of_command(f"MAIL FROM:<{TOKEN}>".encode()),
        mask.of_reply(f"250 <{TOKEN}> OK"),
        mask.shown(TOKEN),
        shown_content(f"Return-Path: <{TOKEN}>\r\n".encode(), most=1000),
    ]
    assert not [one for one in told if token in one]


def test_a_long_line_is_cut() -> None:
    assert len(Mask().of_command(b"NOOP " + b"x" * 5000)) == LONGEST + len(" [...]")


def test_octets_that_are_no_text_are_shown_as_numbers() -> None:
    assert Mask().of_command(b"HELO \xff") == "HELO \\xff"
    assert shown_content(b"a\xff\r\nb", most=1000) == "a\\xff\nb"

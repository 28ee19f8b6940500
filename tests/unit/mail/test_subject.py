"""The subject as people read it: decoded, on one line, not long, whatever was written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.mail.subject import subject_of
from relayd.mail.text import is_shown

SUBJECTS = {
    "plain": (b"Subject: Your invoice 4711\r\n", "Your invoice 4711"),
    "none": (b"From: a@x.test\r\n", None),
    "empty": (b"Subject: \r\n", None),
    "nothing at all": (b"Subject:\r\n", None),
    "any case": (b"SUBJECT :  hello \r\n", "hello"),
    "the first of two": (b"Subject: one\r\nSubject: two\r\n", "one"),
    "no other field": (b"X-Subject: x\r\nSubject-Line: y\r\nSubject: z\r\n", "z"),
    "folded": (b"Subject: a long\r\n one\r\n\tin three lines\r\n", "a long one in three lines"),
    "folded at once": (b"Subject:\r\n later\r\n", "later"),
    "Q": (b"Subject: =?ISO-8859-1?Q?Gr=FC=DFe_aus_K=F6ln?=\r\n", "Grüße aus Köln"),
    "B": (b"Subject: =?utf-8?B?5pel5pys6Kqe?=\r\n", "日本語"),
    "two words": (b"Subject: =?utf-8?Q?caf=C3=A9?=\r\n =?utf-8?Q?_ol=C3=A9?=\r\n", "café olé"),
    "between text": (b"Subject: Re: =?utf-8?Q?caf=C3=A9?= today\r\n", "Re: café today"),
    "no charset that we know": (b"Subject: =?x-secret?Q?abc?=\r\n", "abc"),
    "bad base64": (b"Subject: =?utf-8?B?a?=\r\n", "a"),
    "no encoded word": (b"Subject: 2 =? 3\r\n", "2 =? 3"),
    "raw UTF-8": ("Subject: Käse\r\n".encode(), "Käse"),
    "raw Latin-1": (b"Subject: K\xe4se\r\n", "Käse"),
    "Japanese": (b"Subject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\r\n", "日本"),
    "hidden marks": (b"Subject: =?utf-8?Q?a=E2=80=AEb=1B[31mc?=\r\n", "a b [31mc"),
    "a line in a word": (b"Subject: =?utf-8?Q?a=0D=0ABcc:_b?=\r\n", "a Bcc: b"),
    "long": (b"Subject: " + b"x" * 5000 + b"\r\n", "x" * 200),
    "in the body": (b"From: a@x.test\r\n\r\nSubject: no\r\n", None),
}


@pytest.mark.parametrize(("header", "subject"), SUBJECTS.values(), ids=SUBJECTS)
def test_a_subject(header: bytes, subject: str | None) -> None:
    assert subject_of(header + b"\r\nSubject: in the body\r\n") == subject


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_are_one_short_line(octets: bytes) -> None:
    subject = subject_of(b"Subject: " + octets + b"\r\n\r\n")
    assert subject is None or (is_shown(subject) and 0 < len(subject) <= 200)

"""What rspamd and spamd answer, read: all that is well, and all that is not."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.errors import CheckerDown
from relayd.net.content import rspamd, spamd
from relayd.policy.intake.content import Scored, Symbol
from tests.support.checkers import http_says, rspamd_says, spamd_says

REPORT = b"""\
SPAMD/1.1 0 EX_OK\r
Content-length: 1408\r
Spam: True ; 1006.4 / 5.0\r
\r
Spam detection software, running on the system "mail",
has identified this incoming email as possible spam.

Content preview:  -0.9 NOT_A_RULE            a line of the mail
   1.0 NOR_THIS one

Content analysis details:   (1006.4 points, 5.0 required)

 pts rule name              description
---- ---------------------- --------------------------------------------------
-0.0 NO_RECEIVED            Informational: message has no Received headers
1000 GTUBE                  BODY: Generic Test for Unsolicited Bulk Email
 0.2 NORMAL_HTTP_TO_IP      URI: URI host has a public dotted-decimal IPv4
                            address
 1.0 A_RULE_WITH_A_NAME_LONGER_THAN_ITS_COLUMN Long
 0.1 SILENT


The original message was not completely plain text, and may be unsafe to
 9.0 NOT_A_RULE             open with some email clients
"""


def test_a_report_of_spamd() -> None:
    assert spamd.parse_answer(REPORT, "spamd") == Scored(
        score=1006.4,
        required=5.0,
        symbols=(
            Symbol("NO_RECEIVED", 0.0, "Informational: message has no Received headers"),
            Symbol("GTUBE", 1000.0, "BODY: Generic Test for Unsolicited Bulk Email"),
            Symbol(
                "NORMAL_HTTP_TO_IP", 0.2, "URI: URI host has a public dotted-decimal IPv4 address"
            ),
            Symbol("A_RULE_WITH_A_NAME_LONGER_THAN_ITS_COLUMN", 1.0, "Long"),
            Symbol("SILENT", 0.1, ""),
        ),
    )


def test_a_report_by_another_template_has_a_score_alone() -> None:
    octets = b"SPAMD/1.5 0 EX_OK\r\nspam: False ; -0.1 / 5.0\r\n\r\nHello.\r\n"
    assert spamd.parse_answer(octets, "spamd") == Scored(score=-0.1, required=5.0, symbols=())


SPAMD_FAULTS = {
    "nothing": (b"", "not that of spamd"),
    "HTTP": (b"HTTP/1.1 200 OK\r\n\r\n", "not that of spamd"),
    "an error": (b"SPAMD/1.0 76 Bad header line: x\r\n\r\n", "it answers 76 Bad"),
    "no score": (b"SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\n\r\n", "no score"),
    "half a score": (b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; x / 5\r\n\r\n", "no score"),
    "a score in the body": (b"SPAMD/1.1 0 EX_OK\r\n\r\nSpam: True ; 1 / 5\r\n", "no score"),
}


@pytest.mark.parametrize(("octets", "reason"), SPAMD_FAULTS.values(), ids=SPAMD_FAULTS)
def test_what_is_no_answer_of_spamd(octets: bytes, reason: str) -> None:
    with pytest.raises(CheckerDown, match=f"^here: .*{reason}"):
        spamd.parse_answer(octets, "here")


def test_an_answer_of_rspamd() -> None:
    found = rspamd.parse_answer(rspamd_says(7.499999, {"BAYES_SPAM": 5.1, "X": -1.0}), "rspamd")
    assert found == Scored(
        score=7.5,
        required=15.0,
        symbols=(Symbol("BAYES_SPAM", 5.1, "about BAYES_SPAM"), Symbol("X", -1.0, "about X")),
    )


def test_rspamd_may_leave_things_out() -> None:
    """And its words are cleaned."""
    octets = http_says(
        b'{"score":1,"required_score":15,"symbols":{"A\\u001b":{"description":null}}}'
    )
    found = rspamd.parse_answer(octets, "rspamd")
    assert found.symbols == (Symbol("A ", 0.0, ""),)
    assert rspamd.parse_answer(http_says(b'{"score":1,"required_score":15}'), "x").symbols == ()


def test_rspamd_may_answer_in_chunks() -> None:
    body = b'{"score":1,"required_score":15}'
    octets = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    assert rspamd.parse_answer(octets % (len(body), body), "rspamd").score == 1.0


RSPAMD_FAULTS = {
    "nothing": (b"", "not HTTP"),
    "SMTP": (b"220 mail.test ESMTP\r\n", "not HTTP"),
    "cut short": (rspamd_says(1.0)[:-5], "not HTTP"),
    "forbidden": (http_says(b"{}", "403 Forbidden"), "HTTP status 403"),
    "an error": (http_says(b'{"error":"x"}', "500 Internal"), "HTTP status 500"),
    "no JSON": (http_says(b"<html>"), "no score"),
    "a list": (http_says(b"[]"), "no score"),
    "no score": (http_says(b'{"symbols":{}}'), "no score"),
    "a score in words": (http_says(b'{"score":"1","required_score":15}'), "no score"),
    "a score that is true": (http_says(b'{"score":true,"required_score":15}'), "no score"),
    "no number": (http_says(b'{"score":NaN,"required_score":15}'), "no score"),
    "too large a number": (http_says(b'{"score":1e400,"required_score":15}'), "no score"),
    "symbols in a list": (
        http_says(b'{"score":1,"required_score":15,"symbols":["A"]}'),
        "no score",
    ),
    "a symbol without fields": (
        http_says(b'{"score":1,"required_score":15,"symbols":{"A":1}}'),
        "no score",
    ),
    "deep": (http_says(b"[" * 100_000), "no score"),
}


@pytest.mark.parametrize(("octets", "reason"), RSPAMD_FAULTS.values(), ids=RSPAMD_FAULTS)
def test_what_is_no_answer_of_rspamd(octets: bytes, reason: str) -> None:
    with pytest.raises(CheckerDown, match=f"^here: .*{reason}"):
        rspamd.parse_answer(octets, "here")


ANSWERS = st.one_of(
    st.binary(),
    st.binary().map(http_says),
    st.binary().map(lambda noise: spamd_says(1.0, {"A": 1.0}) + noise),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text()),
        lambda inner: st.one_of(
            st.lists(inner),
            st.dictionaries(
                st.sampled_from(["score", "required_score", "symbols", "description"]), inner
            ),
        ),
    ).map(lambda value: http_says(json.dumps(value).encode())),
)


@given(ANSWERS)
def test_an_answer_is_read_or_refused(octets: bytes) -> None:
    for client in (rspamd, spamd):
        with suppress(CheckerDown):
            assert isinstance(client.parse_answer(octets, "here"), Scored)

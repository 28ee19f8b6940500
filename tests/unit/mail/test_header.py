"""The header section: facts read, control fields removed, a trace field made; all else untouched."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.header import header_end, is_relayed, read_facts, trace_header
from tests.support.processor import took_by


@pytest.mark.parametrize(
    ("content", "end"),
    [
        pytest.param(b"", 0, id="empty"),
        pytest.param(b"\r\nbody\r\n", 0, id="no-header"),
        pytest.param(b"A: b\r\n", 6, id="header-only"),
        pytest.param(b"A: b\r\n\r\nbody\r\n\r\n", 6, id="header-and-body"),
        pytest.param(b"A: b\r\n c\r\n\r\n", 10, id="folded"),
    ],
)
def test_the_header_section_ends_before_the_first_empty_line(content: bytes, end: int) -> None:
    assert header_end(content) == end


@pytest.mark.parametrize(
    ("header", "hops"),
    [
        pytest.param(b"Subject: x\r\n", 0, id="none"),
        pytest.param(b"Received: a\r\nReceived: b\r\n", 2, id="two"),
        pytest.param(b"RECEIVED: a\r\nreceived: b\r\n", 2, id="any-case"),
        pytest.param(b"Received:\r\n from a\r\n by b\r\n", 1, id="folded"),
        pytest.param(b"Received : a\r\n", 1, id="blank-before-the-colon"),
        pytest.param(b"Subject: a\r\n Received: b\r\n", 0, id="in-a-folded-line"),
        pytest.param(b"X-Received: a\r\nReceived-SPF: pass\r\n", 0, id="other-fields"),
        pytest.param(b"Subject: Received: x\r\n", 0, id="in-a-value"),
        pytest.param(b"Received: a\r\n" * 101, 101, id="a-loop"),
    ],
)
def test_hops_are_the_received_fields_of_the_top_header(header: bytes, hops: int) -> None:
    """Folded or not, in any case, and not those of an attached message (S-21)."""
    facts, content = read_facts(header + b"\r\nReceived: in the body\r\n")
    assert facts.hops == hops
    assert content == header + b"\r\nReceived: in the body\r\n"


@pytest.mark.parametrize(
    ("header", "message_id"),
    [
        pytest.param(b"Message-ID: <a@b>\r\n", "<a@b>", id="usual"),
        pytest.param(b"message-id:<a@b>\r\n", "<a@b>", id="any-case-no-blank"),
        pytest.param(b"Message-ID:\r\n <a@b>\r\n", "<a@b>", id="folded"),
        pytest.param(b"Message-ID: <a@b> (x)\r\n", "<a@b>", id="comment-behind"),
        pytest.param(b"Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n", "<a@b>", id="first-counts"),
        pytest.param(b"Message-ID: a@b\r\n", None, id="no-brackets"),
        pytest.param(b"Message-ID: <a b>\r\n", None, id="blank-inside"),
        pytest.param(b"Message-ID: <" + b"x" * 991 + b">\r\n", None, id="too-long"),
        pytest.param(b"In-Reply-To: <a@b>\r\n", None, id="another-field"),
        pytest.param("Message-ID: <ü@b>\r\n".encode(), "<ü@b>", id="utf8"),
        pytest.param(b"Message-ID: <\xff@b>\r\n", "<\\xff@b>", id="not-utf8"),
        pytest.param(b"Message-ID: <a\x1b[1m@b>\r\n", "<a [1m@b>", id="escape-sequence"),
        pytest.param("Message-ID: <a\u202e\u009b@b>\r\n".encode(), "<a @b>", id="c1-and-bidi"),
    ],
)
def test_the_message_id_is_kept_as_written_but_safe_to_show(
    header: bytes, message_id: str | None
) -> None:
    """It goes to the log and the terminal, so no control character comes along (A-24)."""
    facts, _ = read_facts(header + b"\r\n")
    assert facts.message_id_header == message_id


@pytest.mark.parametrize(
    ("header", "kept", "tag", "is_test"),
    [
        pytest.param(b"X-Relayd-Tag: a b\r\n", b"", "a b", False, id="tag"),
        pytest.param(b"x-relayd-TAG:a\r\n", b"", "a", False, id="any-case"),
        pytest.param(b"X-Relayd-Tag:  a\r\n\t b \r\n", b"", "a b", False, id="folded"),
        pytest.param(b"X-Relayd-Tag:\r\n", b"", None, False, id="empty-tag"),
        pytest.param(
            b"X-Relayd-Tag: " + b"x" * 300 + b"\r\n", b"", "x" * 200, False, id="long-tag"
        ),
        pytest.param(b"X-Relayd-Tag: a\x1b[1mb\xff\r\n", b"", "a[1mb\\xff", False, id="unsafe-tag"),
        pytest.param(b"X-Relayd-Test: yes\r\n", b"", None, True, id="test"),
        pytest.param(b"X-Relayd-Test: YES\r\n", b"", None, True, id="test-any-case"),
        pytest.param(b"X-Relayd-Test: no\r\n", b"", None, False, id="no-test"),
        pytest.param(b"X-Relayd-Other: x\r\n", b"", None, False, id="unknown-control-field"),
        pytest.param(
            b"A: 1\r\nX-Relayd-Tag: t\r\nB: 2\r\nX-Relayd-Test: yes\r\nC: 3\r\n",
            b"A: 1\r\nB: 2\r\nC: 3\r\n",
            "t",
            True,
            id="between-others",
        ),
        pytest.param(
            b"Subject: about\r\n X-Relayd-Tag: x\r\n",
            b"Subject: about\r\n X-Relayd-Tag: x\r\n",
            None,
            False,
            id="in-a-folded-line",
        ),
    ],
)
def test_our_control_fields_are_read_and_removed(
    header: bytes, kept: bytes, tag: str | None, *, is_test: bool
) -> None:
    """They are for us; nobody behind us sees them (S-23)."""
    body = b"\r\nX-Relayd-Tag: not here\r\n"
    facts, content = read_facts(header + body)
    assert (facts.tag, facts.is_test, content) == (tag, is_test, kept + body)
    assert facts.size == len(header + body)


def test_nothing_to_remove_means_nothing_touched() -> None:
    content = b"Subject: x\r\n\r\nbody\r\n"
    assert read_facts(content)[1] is content


@pytest.mark.parametrize(
    ("content", "relayed"),
    [
        (b"Subject: x\r\nreceived : by a\r\n\r\n", True),
        (b"Received: by a\r\n", True),
        (b"Subject: x\r\n Received: y\r\n\r\nReceived: by a\r\n", False),
        (b"X-Received: by a\r\n\r\n", False),
        (b"\r\nReceived: by a\r\n", False),
        (b"", False),
    ],
)
def test_a_message_with_a_trace_field_has_been_relayed(content: bytes, *, relayed: bool) -> None:
    assert is_relayed(content) is relayed


@pytest.mark.parametrize(
    ("content", "is_8bit", "utf8_headers"),
    [
        pytest.param(b"Subject: x\r\n\r\nplain\r\n", False, False, id="ascii"),
        pytest.param("Subject: x\r\n\r\nschön\r\n".encode(), True, False, id="8-bit-body"),
        pytest.param("Subject: schön\r\n\r\nplain\r\n".encode(), True, True, id="utf8-header"),
        pytest.param(
            "X-Relayd-Tag: schön\r\nSubject: x\r\n\r\nplain\r\n".encode(),
            False,
            False,
            id="only-in-a-removed-field",
        ),
    ],
)
def test_8bit_facts_are_those_of_what_is_sent_on(
    content: bytes, *, is_8bit: bool, utf8_headers: bool
) -> None:
    """A tag that is removed must not make a message bounce for want of SMTPUTF8 (S-35, S-36)."""
    facts, _ = read_facts(content)
    assert (facts.is_8bit, facts.utf8_headers) == (is_8bit, utf8_headers)


@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                b"X-Relayd-Tag: t",
                b"Received: r",
                b"Message-ID: <m@x>",
                b"\r\n",
                b" ",
                b"\t",
                b":",
                b"x",
            ]
        ),
        max_size=12,
    ).map(b"".join)
)
def test_content_without_control_fields_passes_unchanged(content: bytes) -> None:
    """On any octets: the facts come, and only whole control fields go (S-23, S-33)."""
    facts, kept = read_facts(content)
    assert facts.size == len(content)
    if b"x-relayd-" not in content[: header_end(content)].lower():
        assert kept is content
    assert len(kept) <= len(content)
    assert read_facts(kept)[1] == kept  # nothing is left to remove


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"Received: x\r\n" * 8_000, id="received"),
        pytest.param(b"X-Relayd-Tag: x\r\n" * 6_000, id="control-fields"),
        pytest.param(b"Message-ID:" + b" \r\n" * 33_000 + b"\r\n", id="folded-for-ever"),
        pytest.param(b"Message-ID: " * 8_000, id="message-ids-in-one-line"),
        pytest.param(b"X-Relayd-Tag:" + b"\r\n x" * 25_000, id="folded-control-field"),
        pytest.param(b"X-Relayd-" * 11_000, id="no-field-name-ends"),
        pytest.param(b"x" * 100_000, id="one-line"),
    ],
)
def test_a_hostile_header_costs_linear_time(content: bytes) -> None:
    """A-08."""
    assert took_by(lambda: read_facts(content), 0.1) < 0.1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"Message-ID:" + (b" " * 1_000_000 + b"\r\n ") * 8, id="blanks"),
        pytest.param(b"X-Relayd-Tag: " + b"a a a a a a a\r\n " * 500_000 + b"\r\n", id="a-tag"),
    ],
)
def test_a_message_that_is_all_header_does_not_stop_the_loop(content: bytes) -> None:
    """A-08: no work by the octet; a worker that is silent for too long is killed."""
    assert took_by(lambda: read_facts(content), 0.7) < 0.7


TRACE: dict[str, Any] = {
    "helo": "app.test",
    "client_ip": "192.0.2.7",
    "fqdn": "relay.test",
    "protocol": "ESMTP",
    "queue_id": "0123456789ABC",
    "recipient": None,
    "at": datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            {},
            b"Received: from app.test ([192.0.2.7])\r\n"
            b"\tby relay.test (relayd) with ESMTP id 0123456789ABC;\r\n"
            b"\tSun, 01 Mar 2026 12:00:00 +0000\r\n",
            id="several-recipients",
        ),
        pytest.param(
            {"recipient": "u@x.test"},
            b"Received: from app.test ([192.0.2.7])\r\n"
            b"\tby relay.test (relayd) with ESMTP id 0123456789ABC\r\n"
            b"\tfor <u@x.test>;\r\n"
            b"\tSun, 01 Mar 2026 12:00:00 +0000\r\n",
            id="one-recipient",
        ),
        pytest.param(
            {"client_ip": "2001:db8::7"},
            b"Received: from app.test ([IPv6:2001:db8::7])\r\n"
            b"\tby relay.test (relayd) with ESMTP id 0123456789ABC;\r\n"
            b"\tSun, 01 Mar 2026 12:00:00 +0000\r\n",
            id="ipv6",
        ),
        pytest.param(
            {"client_ip": "", "protocol": "SMTP"},
            b"Received: from app.test (local socket)\r\n"
            b"\tby relay.test (relayd) with SMTP id 0123456789ABC;\r\n"
            b"\tSun, 01 Mar 2026 12:00:00 +0000\r\n",
            id="unix-socket",
        ),
        pytest.param(
            {"hide_client": True, "recipient": "u@x.test"},
            b"Received: from relay.test (client not shown)\r\n"
            b"\tby relay.test (relayd) with ESMTP id 0123456789ABC\r\n"
            b"\tfor <u@x.test>;\r\n"
            b"\tSun, 01 Mar 2026 12:00:00 +0000\r\n",
            id="hidden-client",
        ),
    ],
)
def test_the_trace_field_has_its_exact_form(given: dict[str, Any], expected: bytes) -> None:
    """RFC 5321 section 4.4; `for` only with exactly one recipient (S-23, S-50)."""
    assert trace_header(**TRACE | given) == expected


@pytest.mark.parametrize(
    ("helo", "shown"),
    [
        ("büro-pc", "b?ro-pc"),
        ("My Computer", "My?Computer"),
        ("bob's-iphone", "bob's-iphone"),
        ("KM_123(1)", "KM_123?1?"),
        ("[fe80::1%eth0]", "[fe80::1%eth0]"),
        ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ("x ([10.0.0.1])\r\n\tby evil.test;", "x??[10.0.0.1]????by?evil.test?"),
        ('"x\\', "?x?"),
        ("<a@b>,", "?a?b??"),
    ],
)
def test_a_name_adds_nothing_to_the_trace_field(helo: str, shown: str) -> None:
    """A-25: no comment, no clause and no line that the client wrote."""
    trace = trace_header(**TRACE | {"helo": helo})
    assert trace.startswith(f"Received: from {shown} ([192.0.2.7])\r\n\tby relay.test ".encode())
    assert trace.count(b"\n") == 3


@given(helo=st.text(max_size=40))
def test_the_trace_field_has_one_shape_whatever_the_name(helo: str) -> None:
    trace = trace_header(**TRACE | {"helo": helo})
    assert trace.isascii()
    assert (trace.count(b"\n"), trace.count(b"("), trace.count(b";")) == (3, 2, 1)


@pytest.mark.parametrize(
    ("value", "via"),
    [
        ("smarthost:news-2", "news-2"),
        ("smarthost:News", None),
        ("smarthost:", None),
        ("smarthost:a b", None),
        (f"smarthost:{'a' * 41}", None),
        ("yes", ""),
    ],
)
def test_a_test_mail_may_name_its_smarthost(value: str, via: str | None) -> None:
    facts, _ = read_facts(f"X-Relayd-Test: {value}\r\n\r\n".encode())
    assert (facts.is_test, facts.test_via) == (via is not None, via or "")


@pytest.mark.parametrize(
    ("header", "lifts"),
    [
        (b"TLS-Required: No\r\n", True),
        (b"tls-required :\r\n no \r\n", True),
        (b"TLS-Required: Yes\r\n", False),
        (b"TLS-Required: No\r\nTLS-Required: No\r\n", False),  # RFC 8689 §5: exactly one
        (b"X-TLS-Required: No\r\n", False),
        (b"Subject: TLS-Required: No\r\n", False),
        (b"Subject: x\r\n\r\nTLS-Required: No\r\n", False),
    ],
)
def test_who_lifts_tls_policies_says_so_once(header: bytes, lifts: bool) -> None:  # noqa: FBT001
    facts, content = read_facts(header + b"\r\nBody\r\n")
    assert facts.lifts_tls is lifts
    assert content == header + b"\r\nBody\r\n"

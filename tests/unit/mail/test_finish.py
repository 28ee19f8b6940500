"""What is stored of a message, octet for octet: of a client's, of ours, of a returned one."""

from datetime import UTC, datetime
from itertools import product

import pytest

from relayd.mail.finish import finish_own, finish_received
from relayd.mail.header import read_facts
from relayd.mail.submission import missing_fields

TRACE = (
    b"Received: from a.test ([192.0.2.1])\r\n\tby relay.test (relayd) with ESMTP id X;\r\n\tnow\r\n"
)
AT = datetime(2026, 1, 1, tzinfo=UTC)
HEADS = {
    "whole": b"Date: x\r\nMessage-ID: <a@x.test>\r\nSubject: s\r\n\r\nbody\r\n",
    "without-both": b"Subject: s\r\n\r\nbody\r\n",
    "no-header": b"\r\nbody\r\n",
    "text-only": b"body\r\n",
    "8-bit": "Subject: ü\r\n\r\nß\r\n".encode(),
}


@pytest.mark.parametrize(("name", "adds"), [*product(HEADS, [False, True])])
def test_a_clients_message_is_trace_then_added_fields_then_what_it_sent(
    name: str, *, adds: bool
) -> None:
    head = HEADS[name]
    facts, _ = read_facts(head)
    added = missing_fields(head, message_id="<own@relay.test>", at=AT) if adds else b""
    told, octets = finish_received(head, facts, trace=TRACE, added=added)
    assert octets == TRACE + added + head
    assert octets.startswith(b"Received: ")
    own = b"<own@relay.test>" in added
    assert told.message_id_header == ("<own@relay.test>" if own else facts.message_id_header)
    assert (told.size, told.is_8bit) == (facts.size, facts.is_8bit)


def test_our_own_message_stays_as_it_is_and_is_no_applications() -> None:
    content = b"X-Relayd-Tag: t\r\nX-Relayd-Test: yes\r\nMessage-ID: <a@x.test>\r\n\r\nx\r\n"
    facts, _ = read_facts(content)
    assert (facts.tag, facts.is_test) == ("t", True)
    told, octets = finish_own(content, facts)
    assert octets is content
    assert (told.tag, told.is_test, told.message_id_header) == (None, False, "<a@x.test>")

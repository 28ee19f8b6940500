"""Which signatures of ours a rewritten header keeps."""

from datetime import UTC, datetime

import pytest

from relayd.mail import dkim
from relayd.mail.dkim import Algorithm
from relayd.policy.rewriting import fields
from relayd.policy.rewriting.signatures import without_broken

TRACE = b"Received: from a\r\n\tby us\r\n"
PLAIN = b"From: <a@x.test>\r\nSubject: s\r\nX-A: 1\r\nDKIM-Signature: v=1; d=other.test; b=a\r\n"
BODY = dkim.body_hash(b"b\r\n")


def _signature(selector: str) -> bytes:
    field = dkim.unsigned_field(
        Algorithm.RSA,
        domain="x.test",
        selector=selector,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        names="from:from:subject",
        body=BODY,
    )
    return dkim.signed_field(field, b"x" * 256)


OURS = _signature("r1") + _signature("r2")
SIGNED = TRACE + OURS + PLAIN


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(SIGNED, id="nothing"),
        pytest.param(fields.with_added(SIGNED, [("X-B", b"2")]), id="another-field"),
        pytest.param(fields.without(SIGNED, ["X-A"]), id="a-field-that-is-not-covered"),
        pytest.param(SIGNED.replace(b"Subject: s", b"Subject:   s"), id="blanks"),
    ],
)
def test_signatures_stay_that_cover_nothing_that_was_changed(after: bytes) -> None:
    assert without_broken(SIGNED, after) is None


@pytest.mark.parametrize(
    ("after", "rest"),
    [
        pytest.param(
            SIGNED.replace(b"a@x", b"b@x"), PLAIN.replace(b"a@x", b"b@x"), id="another-author"
        ),
        pytest.param(
            fields.with_added(SIGNED, [("Reply-To", b"r@x.test")]),
            b"Reply-To: r@x.test\r\n" + PLAIN,
            id="a-field-that-must-not-be-added",
        ),
        pytest.param(
            fields.without(SIGNED, ["subject"]), fields.without(PLAIN, ["Subject"]), id="one-less"
        ),
        pytest.param(
            fields.without(SIGNED, ["DKIM-Signature"]),
            fields.without(PLAIN, ["DKIM-Signature"]),
            id="signatures-taken-out",
        ),
    ],
)
def test_broken_signatures_of_ours_go_and_those_of_others_stay(after: bytes, rest: bytes) -> None:
    found = without_broken(SIGNED, after)
    assert found is not None
    assert (found.trace, found.rest, found.body, found.lost) == (TRACE, rest, BODY, True)


def test_a_message_that_was_not_signed_can_be_when_it_has_another_author() -> None:
    found = without_broken(TRACE + PLAIN, TRACE + PLAIN.replace(b"a@x", b"b@x"))
    assert found is not None
    assert (found.body, found.lost) == (None, False)
    assert without_broken(TRACE + PLAIN, TRACE + PLAIN + b"X-B: 1\r\n") is None


def test_without_a_trace_field_in_front_signatures_come_first() -> None:
    """A rule never takes it out; content of an old queue may have none."""
    found = without_broken(b"", b"From: <a@x.test>\r\n")
    assert found is not None
    assert (found.trace, found.rest) == (b"", b"From: <a@x.test>\r\n")

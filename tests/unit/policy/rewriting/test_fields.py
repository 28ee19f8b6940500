"""Fields found, replaced, added, removed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.rewriting import fields

HEADER = (
    b"Received: from a\r\n\tby b; now\r\n"
    b"From: a@x.test\r\n"
    b"X-Mailer : old\r\n two\r\n"
    b"no field at all\r\n"
    b"x-mailer:older\r\n"
    b"Subject: From: nobody\r\n"
)


def test_values_are_found_in_any_case_and_folded() -> None:
    assert fields.values(HEADER, "X-MAILER") == [b"old\r\n two", b"older"]
    assert fields.values(HEADER, "Nothing") == []
    assert fields.values(HEADER, "From") == [b"a@x.test"]


def test_removed_fields_go_whole_and_the_rest_stays() -> None:
    assert fields.without(HEADER, ["x-mailer"]) == (
        b"Received: from a\r\n\tby b; now\r\nFrom: a@x.test\r\nno field at all\r\nSubject: From: nobody\r\n"
    )


def test_added_fields_stand_behind_the_trace() -> None:
    assert fields.with_added(b"Received: a\r\n b\r\nTo: c\r\n", [("X-A", b"1"), ("X-B", b"2")]) == (
        b"Received: a\r\n b\r\nX-A: 1\r\nX-B: 2\r\nTo: c\r\n"
    )
    assert fields.with_added(b"", [("X-A", b"1")]) == b"X-A: 1\r\n"


@pytest.mark.parametrize("value", [b"new", b"old\r\n two"])
def test_a_change_touches_its_field_alone(value: bytes) -> None:
    changed = fields.with_each(
        HEADER, "x-mailer", lambda before: value if before != b"older" else before
    )
    if value == b"new":
        assert changed == HEADER.replace(b"X-Mailer : old\r\n two\r\n", b"X-Mailer: new\r\n")
    else:
        assert changed == HEADER


@given(st.lists(st.binary(max_size=30).map(lambda line: line.translate(None, b"\r\n")), max_size=8))
def test_what_no_rule_names_stays_to_the_octet(lines: list[bytes]) -> None:
    header = b"".join(line + b"\r\n" for line in lines if line)
    assert fields.without(header, ["X-Never-There"]) == header
    assert fields.with_each(header, "X-Never-There", lambda value: value) == header
    assert fields.with_added(header, []) == header

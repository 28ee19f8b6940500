"""A batch of recipients ends with a message."""

import pytest

from relayd.mail.batch import in_whole_messages
from relayd.mail.ids import MessageId
from relayd.ports.view import Target

FOUND = [
    Target(MessageId(message), number, "a@x.test")
    for message, number in [(9, 0), (9, 1), (9, 4), (8, 2), (7, 0), (7, 1)]
]


@pytest.mark.parametrize(
    ("limit", "taken"), [(1, 3), (2, 3), (3, 3), (4, 4), (5, 6), (6, 6), (7, 6), (None, 6)]
)
def test_a_part_ends_with_a_message(limit: int | None, taken: int) -> None:
    """Of three, one and two recipients."""
    assert in_whole_messages(FOUND, limit) == FOUND[:taken]
    assert in_whole_messages([], limit) == []

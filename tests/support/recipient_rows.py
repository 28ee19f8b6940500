"""What a store tells of one recipient."""

from dataclasses import replace
from typing import Any

from relayd.mail.ids import MessageId
from relayd.ports.view import RecipientRow, Status
from tests.support.clock import START


def a_row(**fields: Any) -> RecipientRow:
    """Return a row that is due at once, but for `fields`."""
    row = RecipientRow(
        message_id=MessageId(1),
        recipient=0,
        received_at=START,
        reverse_path="",
        address="a@example.org",
        status=Status.QUEUED,
        destination="smarthost",
        size=1,
        message_id_header=None,
        tag=None,
        client_ip="",
        auth_user=None,
        attempts=0,
        next_attempt_at=START,
        leased=False,
        possible_duplicate=False,
        code=None,
        enhanced=None,
        reply=None,
        reason=None,
        category=None,
        bounce_class=None,
        suppress=False,
        remote_host=None,
        updated_at=START,
        paused_until=None,
    )
    return replace(row, **fields)

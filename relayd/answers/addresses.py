"""Recipient addresses as fields."""

from relayd.answers.suppressions import suppression_fields
from relayd.ports.view import AddressRow

FIELDS = (
    "rcpt",
    "status",
    "ts",
    "messages",
    "hard_bounces",
    "other_bounces",
    "suppress",
    "suppress_for",
    "suppressions",
    "reply",
)


def fields(row: AddressRow) -> dict[str, object]:
    """Return an address as JSON fields, with the status log's names; None for what is not known."""
    return {
        "rcpt": row.address,
        "status": row.last_status,
        "ts": row.last_at,
        "messages": row.messages,
        "hard_bounces": row.hard_bounces,
        "other_bounces": row.other_bounces,
        "suppress": row.suppress,
        "suppress_for": row.suppress_for or None,
        "suppressions": [suppression_fields(each) for each in row.suppressions] or None,
        "reply": row.last_reply,
    }

"""Whether the bounces of an address speak against using it again, and for whom.

`relayd.ports.view.QueueView.is_suppressed` has the rule in words.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from relayd.mail.words import Category
from relayd.ports.view import INACTIVE_BOUNCES, NAMED_SENDERS, RecipientRow, Status
from relayd.store.memory.tables import Tables

_NEVER = datetime.min.replace(tzinfo=UTC)


def for_whom(tables: Tables, rows: Sequence[RecipientRow]) -> list[str]:
    """Return the senders for whom an address is suppressed; the empty one is everybody."""
    if suppresses(tables, rows, ""):
        return [""]
    senders = sorted({row.reverse_path.lower() for row in rows})
    return [sender for sender in senders if suppresses(tables, rows, sender)][:NAMED_SENDERS]


def suppresses(tables: Tables, rows: Sequence[RecipientRow], sender: str) -> bool:
    """Tell whether all that happened to one address speaks against it, for mail of `sender`."""
    counted = [
        row
        for row in rows
        if row.status is Status.BOUNCED
        and row.updated_at > tables.unsuppressed.get(row.address.lower(), _NEVER)
        and (not _is_late(tables, row) or row.reverse_path.lower() == sender)
    ]
    inactive = {row.message_id for row in counted if row.category is Category.INACTIVE_MAILBOX}
    return any(row.suppress for row in counted) or len(inactive) >= INACTIVE_BOUNCES


def _is_late(tables: Tables, row: RecipientRow) -> bool:
    return tables.messages[row.message_id].recipients[row.recipient].is_late

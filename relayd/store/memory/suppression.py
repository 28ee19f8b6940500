"""The bounces of an address that `relayd.mail.suppression` judges."""

from collections.abc import Iterable
from datetime import UTC, datetime

from relayd.mail.suppression import EVERYBODY, SpeakingBounce
from relayd.mail.words import Category
from relayd.ports.view import RecipientRow, Status
from relayd.store.memory.tables import Tables

_NEVER = datetime.min.replace(tzinfo=UTC)


def speaking(tables: Tables, rows: Iterable[RecipientRow]) -> list[SpeakingBounce]:
    """Return those of the recipients with one address whose bounce says something about it."""
    return [
        SpeakingBounce(
            message_id=row.message_id,
            is_proof=row.suppress,
            scope=row.reverse_path.lower() if _is_late(tables, row) else EVERYBODY,
        )
        for row in rows
        if row.status is Status.BOUNCED
        and (row.suppress or row.category is Category.INACTIVE_MAILBOX)
        and row.updated_at > tables.unsuppressed.get(row.address.lower(), _NEVER)
    ]


def _is_late(tables: Tables, row: RecipientRow) -> bool:
    return tables.messages[row.message_id].recipients[row.recipient].is_late

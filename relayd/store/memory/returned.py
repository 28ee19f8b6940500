"""Counting the mail that comes to the return path of a recipient."""

from datetime import datetime

from relayd.errors import ReturnPathSpent
from relayd.policy.intake.admit import admit_returned
from relayd.policy.verp import VerpToken
from relayd.store.memory.tables import Tables


def count(tables: Tables, path: VerpToken, *, now: datetime) -> None:
    """Count one more, if it is known. Raises ReturnPathSpent, with nothing written, when it is too much."""
    message = tables.messages.get(path.message_id)
    if message is None:
        return
    came_back = message.recipients[path.recipient].came_back
    if admit_returned(came_back, now=now) is not None:
        raise ReturnPathSpent("as much mail came to this return path as may")
    came_back.append(now)

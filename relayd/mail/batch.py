"""Where a batch of recipients ends: with a message.

What is done to a message is one thing to its sender: one report, one new message. In two batches it would be two.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Protocol, TypeVar

from relayd.mail.ids import MessageId


class OfMessage(Protocol):
    """A recipient, as far as it matters here."""

    @property
    def message_id(self) -> MessageId: ...


T = TypeVar("T", bound=OfMessage)


def in_whole_messages(recipients: Sequence[T], limit: int | None) -> Sequence[T]:
    """Return the first `limit` of them, and all others of the last one's message."""
    if limit is None or len(recipients) <= limit:
        return recipients
    last = recipients[limit - 1].message_id
    beyond = takewhile(lambda each: each.message_id == last, recipients[limit:])
    return [*recipients[:limit], *beyond]

"""What the receiver asks of the rest of the worker, for one message and its addresses."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Any, Protocol

from relayd.mail.address import Address
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId
from relayd.mail.once import FirstMessage
from relayd.mail.reply import Reply
from relayd.mail.words import Detail
from relayd.policy.delivery.route import Decision, RouteFacts
from relayd.policy.intake.cut_through import Answer
from relayd.ports.queue import Spool


class Intake(Protocol):
    """How a session hands a message over."""

    def next_id(self, at: datetime) -> MessageId: ...

    def way_of(self, address: Address, facts: RouteFacts) -> Decision: ...

    def owns(self, address: Address) -> bool:
        """Tell whether an address lies in the domain of the VERP addresses."""
        ...

    def refusal_of_return_path(self, address: Address) -> Reply | Awaitable[Reply | None] | None:
        """Judge RCPT of such an address: it must be one of ours, neither forgotten nor spent.

        At once, or what tells it later, meanwhile its client waits. May raise StoreError.
        """
        ...

    def is_suppressed(self, address: Address, *, sender: Address | None) -> bool | Awaitable[bool]:
        """Tell whether the history speaks against the address, for mail of this reverse-path.

        Asked only if the settings want it. At once, or what tells it later; may raise StoreError.
        """
        ...

    def first_message(self, key: bytes) -> FirstMessage | None:
        """Return the message that came with this key of a message that is to be taken once. May raise StoreError."""
        ...

    def has_room(self) -> bool:
        """Tell whether new messages may be taken. Raises StoreUnavailable while the store is away."""
        ...

    def spool(self) -> Spool:
        """Return a place for what is too large to be held. May raise StoreError."""
        ...

    def submit(self, message: NewMessage) -> "asyncio.Future[Any]":
        """Make it durable; the future is done when it is. StoreError otherwise, AlreadyTaken and OtherBody among them."""
        ...

    async def answer(self, message_id: MessageId, *, within: timedelta) -> Answer:
        """Return what the client of a durable message is told that waits for its first attempt."""
        ...

    def told(self, report: MessageId, message: NewMessage) -> None:
        """Take back the report on a message whose client has read the refusal in its session."""
        ...

    def refused(self, detail: Detail, *, stranger: str = "") -> None:
        """Note a refusal in the status log; `stranger` is the network of a client without rights."""
        ...

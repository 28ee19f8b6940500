"""A message that is to be taken once, however often it is given.

A client that did not hear the answer gives the same message again, with the same key. The store writes the
key in the transaction of the message, so there is no instant at which only one of the two is there.
Both hashes are SHA-256; whose key it is, is in the hash of the key. What they are made of stays with the client.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from relayd.errors import StoreError
from relayd.mail.ids import MessageId

KEPT_FOR = timedelta(hours=24)
"""For how long relayd knows a key at least, not counting the time in which it does not run."""
HASH_OCTETS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """What a client says of such a message."""

    key: bytes
    body: bytes  # of all that the client asked for
    answers: Mapping[str, str] = field(default_factory=dict)  # to each RCPT, by its path


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstMessage:
    """The message that came with a key first."""

    id: MessageId
    body: bytes
    answers: Mapping[str, str]

    def check(self, once: Once) -> None:
        """Raise AlreadyTaken or OtherBody: a message with the same key came in before."""
        if once.body != self.body:
            raise OtherBody("another message came with this key")
        raise AlreadyTaken(self)


class AlreadyTaken(StoreError):
    """The message is in the store already; nothing was stored."""

    def __init__(self, first: FirstMessage) -> None:
        self.first = first
        super().__init__(f"message {first.id} came with this key")


class OtherBody(StoreError):
    """Another message came with this key; nothing was stored."""

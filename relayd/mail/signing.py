"""What a message needs to be signed, what comes of it, and who does it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from relayd.mail.address import Address
from relayd.mail.content import Content

NOT_SIGNED = "none"
"""What the history says of a message without signatures of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSign:
    """A message that is to be signed as the last thing before it is stored."""

    domain: str  # whose keys sign
    head: bytes  # its content, or the beginning with the whole header section
    trace: int  # octets of our trace field in front: signatures come behind it and do not cover it
    body: bytes | None  # the hash of its body; None: `head` has all of it
    finish: Callable[[bytes], Content]  # makes the content of another `head`


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatures:
    """The signatures of one message."""

    fields: bytes  # empty: there are none
    told: str  # whose they are, for the history
    missing: str = ""  # why one is not there without which the message must not go out


class Signer(Protocol):
    """Signs with the keys of the settings. For any thread."""

    def domain_of(self, header: bytes, may_be_author: Callable[[Address], bool]) -> str | None:
        """Return the domain whose keys sign a message; None: nothing does."""
        ...

    def sign(self, header: bytes, body: bytes, domain: str, at: datetime) -> Signatures:
        """Sign a header section together with the hash of a body."""
        ...

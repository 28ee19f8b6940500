"""What the command machine asks of the transport, beyond sending replies.

While an effect that takes its time is under way the machine is `HELD`; what comes of it is told to the
machine by the verb that each of these names.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from relayd.mail.address import Address
from relayd.mail.envelope import NewMessage
from relayd.mail.parameters import RcptParameters
from relayd.mail.reply import Reply
from relayd.receiver.reader import Received
from relayd.receiver.sasl import Credentials


@dataclass(frozen=True, slots=True)
class StartTls:
    """Answer what is owed in clear text, then shake hands: `Machine.secured`."""


@dataclass(frozen=True, slots=True)
class Readmit:
    """Its client is another now. If that one has a place, say `reply`."""

    reply: bytes


@dataclass(frozen=True, slots=True)
class CheckLogin:
    """See whose the credentials are: `Machine.login_checked`."""

    credentials: Credentials


@dataclass(frozen=True, slots=True)
class AskAbout:
    """Wait for what speaks against a recipient: `Machine.recipient_judged`."""

    path: Address
    taken: Sequence[tuple[Address, RcptParameters]]  # for it, if nothing speaks against it
    refusal: Awaitable[Reply | None]  # may raise StoreError


@dataclass(frozen=True, slots=True)
class CheckContent:
    """Have a message judged, then store it or refuse it."""

    message: NewMessage
    received: Received  # to be discarded when it is not stored


Effect = StartTls | Readmit | CheckLogin | AskAbout | CheckContent | NewMessage
"""A `NewMessage` is to be stored: `Machine.message_stored`, or `Machine.message_refused`."""

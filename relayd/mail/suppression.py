"""Whether the bounces of an address speak against using it again, and for whose mail.

Owns the rule and its numbers. A store that has too many bounces to read them all asks the same in its own language;
the contract tests of the stores compare. `relayd.ports.view.QueueView.is_suppressed` says what a store looks at:
bounces of clients' mail, after the address was last unsuppressed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from relayd.mail.ids import MessageId

INACTIVE_BOUNCES = 2
"""Of different messages: then an inactive mailbox counts as given up."""
NAMED_SENDERS = 20
"""Of those for whom alone an address is suppressed, so many are named."""
EVERYBODY = ""
"""The scope of what holds for all mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakingBounce:
    """A bounce that says something about its address."""

    message_id: MessageId
    is_proof: bool  # that the address is invalid; else: that its mailbox is inactive
    scope: str = (
        EVERYBODY  # an asynchronous bounce holds for the sender of its message: in lower case
    )


def is_suppressed(bounces: Sequence[SpeakingBounce], sender: str) -> bool:
    """Tell whether they speak against the address, for mail of `sender` in lower case."""
    counted = [each for each in bounces if each.scope in (EVERYBODY, sender)]
    inactive = {each.message_id for each in counted if not each.is_proof}
    return any(each.is_proof for each in counted) or len(inactive) >= INACTIVE_BOUNCES


def suppressed_for(bounces: Sequence[SpeakingBounce]) -> Sequence[str]:
    """Return the senders for whom they do, at most `NAMED_SENDERS`; `EVERYBODY` alone, if it is all mail."""
    if is_suppressed(bounces, EVERYBODY):
        return [EVERYBODY]
    senders = sorted({each.scope for each in bounces})
    return [sender for sender in senders if is_suppressed(bounces, sender)][:NAMED_SENDERS]

"""What holds for mail of some senders, beside its way."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from relayd.mail.address import Address
from relayd.policy.delivery.senders import SenderPatterns
from relayd.policy.rewriting.rules import Rewrite


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderSettings:
    """The first pattern of all that fits a reverse-path counts; not all say something of each."""

    patterns: SenderPatterns = field(default_factory=SenderPatterns)
    rewrites: Mapping[str, Rewrite] = field(default_factory=dict)
    copies: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)  # who gets one of all

    def copies_of(self, sender: str) -> tuple[Address, ...]:
        """Return who gets a copy of the mail of a reverse-path."""
        if not self.copies:
            return ()
        return self.copies.get(self.patterns.first_for(sender) or "", ())

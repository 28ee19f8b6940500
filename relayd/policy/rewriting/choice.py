"""Which rules fit one message: that of its sender first, then that of the smarthost that it goes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from relayd.mail.content import Content
from relayd.policy.delivery.route import smarthost_of
from relayd.policy.delivery.senders import SenderPatterns
from relayd.policy.rewriting.apply import Rewritten, SrsKey, rewritten
from relayd.policy.rewriting.rules import Rewrite


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """All rules of the settings."""

    patterns: SenderPatterns  # all of [senders]; the first that fits counts
    senders: Mapping[str, Rewrite]  # those that rewrite
    smarthosts: Mapping[str, Rewrite]  # by name
    key: bytes = field(repr=False)  # of SRS

    def given(
        self, reverse_path: str, content: Content, destination: str, now: datetime
    ) -> Rewritten:
        """Return what a destination is given for a message. Raises RewriteRefused, ContentLost."""
        pattern = self.patterns.first_for(reverse_path) if self.senders else None
        found = (
            self.senders.get(pattern or ""),
            self.smarthosts.get(smarthost_of(destination) or ""),
        )
        rules = [rule for rule in found if rule is not None]
        return rewritten(reverse_path, content, rules, SrsKey(key=self.key, now=now))

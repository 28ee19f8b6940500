"""Which rules fit one message: that of its sender first, then that of the smarthost that it goes to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from relayd.mail.content import Content
from relayd.policy.delivery.route import DEFAULT, smarthost_of
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
        rules = [rule for _, rule in self.tables(reverse_path, destination)]
        return rewritten(reverse_path, content, rules, SrsKey(key=self.key, now=now))

    def tables(self, reverse_path: str, destination: str) -> Iterator[tuple[str, Rewrite]]:
        """Give the rules for mail of a sender to a destination, each with its table in the settings."""
        if not reverse_path:
            return
        pattern = self.patterns.first_for(reverse_path) if self.senders else None
        if pattern is not None and pattern in self.senders:
            yield f'[senders] "{pattern}"', self.senders[pattern]
        name = smarthost_of(destination)
        if name is not None and name in self.smarthosts:
            table = "[smarthost]" if name == DEFAULT else f"[smarthosts.{name}]"
            yield table, self.smarthosts[name]

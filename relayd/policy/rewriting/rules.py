"""What is rewritten: the rules as the settings give them.

A rule is of a sender (`[senders."PATTERN".rewrite]`) or of a smarthost (`[smarthosts.NAME.rewrite]`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from relayd.mail.address import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainMap:
    """Domains that take the place of others; the first pattern that fits counts."""

    entries: tuple[tuple[str, str], ...] = ()  # pattern and domain, patterns as in [routes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """What one rule asks for. Nothing else of a message is changed."""

    envelope_from: Address | None = None
    envelope_domains: DomainMap = DomainMap()
    srs_domain: str = ""  # empty: no SRS
    header_from: Address | None = None
    header_domains: DomainMap = DomainMap()  # of From
    header_sender: Address | None = None
    set_headers: Mapping[str, str] = field(default_factory=dict)
    add_headers: Mapping[str, str] = field(default_factory=dict)
    remove_headers: tuple[str, ...] = ()

    @property
    def touches_header(self) -> bool:
        """Tell whether it may change the content."""
        return bool(
            self.header_from
            or self.header_domains.entries
            or self.header_sender
            or self.set_headers
            or self.add_headers
            or self.remove_headers
        )


class RewriteRefused(ValueError):
    """A rule would give something that may not be sent; the text says what, for people."""

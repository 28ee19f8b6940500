"""TLS reports."""

from dataclasses import dataclass

from relayd.policy.tls.reporting import ReportsSent


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsrptSettings:
    """Which reports are sent, and as whom."""

    send: ReportsSent = ReportsSent.OFF
    contact: str = ""  # the address that they come from
    domain: str = ""  # whose keys sign them; empty: none do, so none are sent

    @property
    def is_unsigned(self) -> bool:
        """Reports are wanted, and there is no key for them."""
        return self.send is not ReportsSent.OFF and not self.domain

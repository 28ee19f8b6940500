"""What a check may ask the DNS, and words that several checks share."""

from typing import Protocol

from relayd.mail.dns import Addresses, DnsFailure, IpAddress, MxAnswer, TextAnswer
from relayd.policy.delivery.address_filter import AddressVerdict, vet_address

LATER = "Ask again later, or look at the name servers in [dns]."


class Dns(Protocol):
    """Never raises for what the DNS says."""

    async def texts(self, name: str) -> TextAnswer:
        """Return the TXT records of a name."""
        ...

    async def addresses(self, host: str) -> Addresses:
        """Return the addresses of a host."""
        ...

    async def mx(self, domain: str) -> MxAnswer:
        """Return the mail hosts of a domain."""
        ...


def why_not_public(ip: IpAddress) -> str:
    """Say what an address is that nobody on the internet sees; empty for one that can be seen."""
    verdict = vet_address(ip)
    return "" if verdict is AddressVerdict.USABLE else verdict.value


def first_failure(found: Addresses) -> DnsFailure | None:
    return found.failures[0] if found.failures else None


def shortened(text: str, limit: int = 200) -> str:
    """A record for people: it may be long."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"

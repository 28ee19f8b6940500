"""Who is at the other end of a connection, and what follows from where it is.

Owns the rights of an address. They are those of the client itself: a client that its proxy does not
know, or does not name, has none of them, and nothing of its proxy's.

Source: the PROXY protocol specification of haproxy.org, section 2 (UNKNOWN, LOCAL, AF_UNSPEC).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from relayd.policy.intake import admit

_OF_ONE_HOST = 64  # bits: of an IPv6 network, all of which one host may use (RFC 4291 §2.5.4)
_OF_ONE_SITE = {4: 24, 6: 48}  # bits: what is often one owner's (RFC 6177 §2 for IPv6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A client, as far as we are told."""

    ip: str = ""  # empty: it is on a unix socket
    uid: int | None = None  # there, by the kernel's word
    is_known: bool = True  # False: `ip` is its proxy's address, and its own is not known

    def is_among(self, networks: Sequence[admit.Network]) -> bool:
        return self.is_known and admit.is_among(self.ip, networks)

    def may_relay(self, networks: Sequence[admit.Network]) -> bool:
        """Tell whether it may relay without a login (S-28)."""
        return self.is_known and admit.may_relay(self.ip, networks)

    @property
    def is_here(self) -> bool:
        """It is on this machine."""
        return self.is_known and admit.is_this_machine(self.ip)

    def client(self, *, is_stranger: bool) -> str:
        """Return what counts as one client.

        A user of this machine; an address; of a stranger's IPv6 address its /64, since it may choose
        among all addresses there. Hosts of a network that may relay are told apart.
        """
        if not self.is_known:
            return f"behind {self.ip}"
        if not self.ip:
            return "unix" if self.uid is None else f"uid {self.uid}"
        return _client_at(self.ip, is_stranger=is_stranger)

    @property
    def site(self) -> str:
        """Return what it has in common with its neighbours: users of this machine have nothing."""
        if not self.is_known or not self.ip:
            return self.client(is_stranger=True)
        return _site_at(self.ip)


@lru_cache(maxsize=4096)
def _client_at(ip: str, *, is_stranger: bool) -> str:
    address = admit.address_of(ip)
    if is_stranger and address.version == 6:
        return admit.network_of(address, _OF_ONE_HOST)
    return str(address)


@lru_cache(maxsize=4096)
def _site_at(ip: str) -> str:
    address = admit.address_of(ip)
    return admit.network_of(address, _OF_ONE_SITE[address.version])

"""How the texts of addresses in a network begin, so that an index of texts leads to them."""

from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network

END = "\uffff"
"""Behind every value that begins with what is before it."""

_MAPPED = "::ffff:"  # an IPv4 address in IPv6
_WHOLE_4 = 24  # bits of an IPv4 address before its last octet


def heads_of(network: Network) -> tuple[list[str], bool]:
    """Return how the texts of addresses in a network may begin, and whether no others begin so."""
    if isinstance(network, IPv4Network):
        return _heads_of_4(network), 0 < network.prefixlen <= _WHOLE_4
    whole, more = divmod(network.prefixlen, 16)
    groups = network.network_address.exploded.split(":")[: min(whole, 7)]
    head = ""
    for group in groups:
        if not int(group, 16):  # it may be left out, as one of several
            return [head], False
        head += f"{int(group, 16):x}:"
    return [head], not more and 0 < whole <= 7


def _heads_of_4(network: IPv4Network) -> list[str]:
    whole, more = divmod(min(network.prefixlen, _WHOLE_4), 8)
    octets = network.network_address.packed
    head = "".join(f"{octet}." for octet in octets[:whole])
    heads = [head]
    if more:  # the next octet is one of some
        heads = [f"{head}{octets[whole] + each}." for each in range(1 << 8 - more)]
    return [before + each for before in ("", _MAPPED) for each in heads]

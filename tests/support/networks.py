"""The networks for documentation (RFC 5737, RFC 3849), which tests use as if they were anybody's."""

from ipaddress import ip_network

DOCUMENTATION = tuple(
    map(ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"))
)

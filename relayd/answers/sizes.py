"""Octets for people."""


def megabytes(octets: int) -> str:
    """Return so many octets in megabytes."""
    return f"{octets / 1e6:,.1f} MB"

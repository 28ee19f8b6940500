"""Where a recipient goes.

Owns the route keys: the name of a destination in the store, by which leases, limits and pauses
are kept. The route is decided at the attempt, so that a changed setting applies to queued mail.
"""

SMARTHOST = "smarthost"


def destination_of(domain: str, *, is_test: bool) -> str:  # noqa: ARG001 -- all mail goes one way yet
    """Return the route key for a recipient's domain."""
    return SMARTHOST

"""From with another address: names and comments of its authors stay as they were written.

Where what is there cannot be read with certainty, nothing of it is kept (HC-04).

Source: RFC 5322 §3.4 (mailboxes, groups), §3.6.2 (From); RFC 6854 (groups in From).
"""

from collections.abc import Callable

from relayd.mail.address import Address, PathError, parse_address
from relayd.mail.mailboxes import Place, Unreadable, places, with_parts


def addresses(value: bytes) -> list[Address] | None:
    """Return the addresses of a From field; None: it cannot be read."""
    try:
        return [address for address, _ in _mailboxes(value)]
    except Unreadable:
        return None


def with_address(value: bytes, address: Address) -> bytes:
    """Return a From field of one author: the first one's name with `address`."""
    try:
        found = next(iter(_mailboxes(value)), None)
    except Unreadable:
        found = None
    fresh = str(address).encode()
    if found is None:
        return b"<" + fresh + b">"
    _, place = found
    start, end = place.piece
    return (value[start : place.start] + fresh + value[place.end : end]).strip()


def with_domains(value: bytes, other: Callable[[Address], Address]) -> bytes:
    """Return a From field with what `other` gives for each address; what cannot be read stays."""
    try:
        found = _mailboxes(value)
    except Unreadable:
        return value
    changed = ((other(address), address, place) for address, place in found)
    return with_parts(
        value,
        [
            (place.start, place.end, str(fresh).encode())
            for fresh, address, place in changed
            if fresh != address
        ],
    )


def _mailboxes(value: bytes) -> list[tuple[Address, Place]]:
    """Return all mailboxes, those in groups too. Raises Unreadable."""
    try:
        return [
            (parse_address(value[each.start : each.end].decode()), each) for each in places(value)
        ]
    except (PathError, UnicodeDecodeError):
        raise Unreadable from None

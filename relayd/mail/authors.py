"""Who a message says it is from: the addresses of its From and Sender fields.

Source: RFC 5322 §3.6.2.
"""

from relayd.mail.address import Address, PathError
from relayd.mail.address_list import parse_addresses
from relayd.mail.submission import values_of


def authors_of(content: bytes) -> list[tuple[str, Address]]:
    """Return each address with the name of its field, of all such fields that there are.

    Raises PathError when one cannot be read, or no From field has an address.
    """
    found = [
        (name, address)
        for name in ("From", "Sender")
        for value in values_of(content, name)
        for address in parse_addresses(value.decode("utf-8", "replace"))
    ]
    if "From" not in dict(found):
        raise PathError("the message has no From field with an address")
    return found

"""Which addresses a person may suppress: an address with an asterisk was meant to be a pattern.

Of those that a server refused, any is kept (`relayd.mail.suppression`); and what was suppressed before can be lifted.
"""

from relayd.mail.address import Address, PathError, parse_address

_LOST = "\ufffd"  # stands for octets that were no text


def parse_to_suppress(text: str) -> Address:
    """Return the address. Raises PathError, for one with an asterisk too."""
    if _LOST in text:
        raise PathError("it is not UTF-8")
    address = parse_address(text)
    if "*" in text:
        raise PathError("there are no patterns; each address is suppressed by itself")
    return address

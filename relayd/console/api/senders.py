"""Whom a key may send as: in the envelope, and as who the message says it is from."""

from collections.abc import Iterable

from relayd.console.api.problems import Problem, wrong
from relayd.mail.account import is_among
from relayd.mail.address import Address, PathError
from relayd.mail.authors import authors_of

Named = tuple[str, Address | None]
"""An address, None for the null reverse-path, and where it is said."""


def check_senders(named: Iterable[Named], senders: tuple[str, ...]) -> None:
    """Raise Problem unless a key may use each address; the null reverse-path is everybody's."""
    for where, address in named:
        if address is not None and not is_among(senders, address):
            told = f"{where}: the key may not send as {address}; it may as {', '.join(senders)}"
            raise Problem(403, told)


def check_content(content: bytes, senders: tuple[str, ...]) -> None:
    """Raise Problem unless a key may use all addresses of the From and Sender fields.

    A key that may send as anybody may also send what has no such fields, as any client may.
    """
    if not senders:
        return
    try:
        authors = authors_of(content)
    except PathError as error:
        raise wrong("From", str(error), "an address that the key may send as") from error
    check_senders(authors, senders)

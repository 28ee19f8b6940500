"""Whose keys sign a message: those of the domain that its From names.

A message gets the signature of the longest domain with keys that is the author's own or a parent of it, so
that the two are aligned (RFC 7489 §3.1.1, relaxed). It gets none where From is not one field that can be read
with certainty: nobody could say whom a signature vouches for.

Sources: RFC 5322 §3.6.2 (From); RFC 6376 §2.5, §8.15.
"""

from collections.abc import Callable, Collection

from relayd.mail.address import Address, compared_domain
from relayd.policy.rewriting import author, fields


def signing_domain(
    header: bytes, domains: Collection[str], may_be_author: Callable[[Address], bool]
) -> str | None:
    """Return the domain whose keys sign a message; None: it is not signed.

    `domains` have keys, as A-labels in lower case. Each author has to be of that domain, and one that the client may
    be (T-03).
    """
    authors = authors_in(header)
    if not authors or not all(map(may_be_author, authors)):
        return None
    found = {domain_for(each.domain, domains) for each in authors}
    return found.pop() if len(found) == 1 else None


def is_by(header: bytes, may_be_author: Callable[[Address], bool]) -> bool:
    """Tell whether From can be read, and the client may be all authors that it names."""
    authors = authors_in(header)
    return bool(authors) and all(map(may_be_author, authors))


def authors_in(header: bytes) -> Collection[Address]:
    """Return the addresses of From; none: there is not one such field, or it cannot be read."""
    values = fields.values(header, "From")
    return (author.addresses(values[0]) or ()) if len(values) == 1 else ()


def domain_for(domain: str, domains: Collection[str]) -> str | None:
    """Return the longest of `domains` that is equal to a domain or a parent of it."""
    labels = compared_domain(domain).split(".")
    parents = (".".join(labels[start:]) for start in range(len(labels)))
    return next((each for each in parents if each in domains), None)

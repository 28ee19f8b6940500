"""Decide whether the certificates that a mail host has shown fit its TLSA records (DANE).

Owns which records count and which certificate each of them may fit. Leaves to a callable whether the host's
certificate is issued under a trust anchor, and to `ladder` what follows. A chain or a record that cannot be read fits
nothing.

A record for the host's own certificate (usage 3) is all the proof there is: neither names nor dates count then.

Sources: RFC 6698 §2.1, RFC 7671 §5 (usages), §9 (the strongest digest counts); RFC 7672 §3.1, §3.2.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from relayd.mail.tls_result import Proof, TlsProof
from relayd.mail.tlsa import DANE_EE, DANE_TA, FULL, KEY, Tlsa
from relayd.policy.doctor.der import DerError, public_key_of
from relayd.policy.tls.anchor import Anchor
from relayd.policy.tls.ladder import Requirement, TlsEvent, TlsFailure

_DIGESTS = {1: hashlib.sha256, 2: hashlib.sha512}
_ANCHORS = 10  # tried at most: each costs signatures to check, and nobody has as many


AnchorCheck = Callable[[Sequence[bytes], Anchor, Sequence[str]], str | TlsFailure]
"""Tells which of the names a chain proves under an anchor, or why none."""


def match(
    chain: Sequence[bytes], requirement: Requirement, check: AnchorCheck
) -> Proof | TlsFailure:
    """Return what the chain of a host proves, its own certificate being the first, or why nothing.

    Certificates are DER. `requirement` is of the level DANE.
    """
    records = strongest(requirement.records)
    for record in records:
        if record.usage == DANE_EE and any(_fits(record, own) for own in chain[:1]):
            return Proof(kind=TlsProof.DANE_EE, record=record, base=requirement.base)
    failure = None
    for record, anchor in _anchors(records, chain):
        found = check(chain, anchor, requirement.names)
        if isinstance(found, str):
            return Proof(kind=TlsProof.DANE_TA, name=found, record=record, base=requirement.base)
        failure = failure or found
    return failure or TlsFailure(event=TlsEvent.NO_MATCH, reason=_no_match(records, chain))


def strongest(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """Leave out records with a weaker digest where there is a stronger one for the same (RFC 7671 §9)."""
    records = tuple(dict.fromkeys(records))
    best: dict[tuple[int, int], int] = {}
    for one in records:
        kind = one.usage, one.selector
        best[kind] = max(best.get(kind, FULL), one.matching)
    return tuple(one for one in records if one.matching in (FULL, best[one.usage, one.selector]))


def _anchors(records: Iterable[Tlsa], chain: Sequence[bytes]) -> Iterator[tuple[Tlsa, Anchor]]:
    """Return the trust anchors that records name, a few at most.

    Those with all of it in the record need not be in the chain.
    """
    found = (
        (record, anchor)
        for record in records
        if record.usage == DANE_TA
        for anchor in _anchors_of(record, chain)
    )
    yield from (each for _, each in zip(range(_ANCHORS), found, strict=False))


def _anchors_of(record: Tlsa, chain: Sequence[bytes]) -> Iterator[Anchor]:
    shown = [one for one in chain[1:] if _fits(record, one)]
    yield from map(Anchor, shown)
    if record.matching == FULL and chain and not (shown or _fits(record, chain[0])):
        yield Anchor(record.data, is_key=record.selector == KEY)


def _fits(record: Tlsa, certificate: bytes) -> bool:
    try:
        selected = public_key_of(certificate) if record.selector == KEY else certificate
    except DerError:
        return False
    digest = _DIGESTS.get(record.matching)
    return record.data == (selected if digest is None else digest(selected).digest())


def _no_match(records: Sequence[Tlsa], chain: Sequence[bytes]) -> str:
    if not chain:
        return "dane-no-match: the host has shown no certificate"
    told = ", ".join(record.short for record in records[:3])
    more = f" and {len(records) - 3} more" if len(records) > 3 else ""
    return f"dane-no-match: no certificate of the host fits TLSA {told}{more}"

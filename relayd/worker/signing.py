"""Sign mail: whose keys do, by `relayd.policy.dkim`, with the keys of the settings."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from relayd.mail import dkim
from relayd.mail.address import Address
from relayd.mail.signing import NOT_SIGNED, Signatures, Signer
from relayd.net.dkim_keys import DkimKey, load_key
from relayd.policy.dkim import signing_domain
from relayd.settings import DkimKeySettings


@dataclass(frozen=True, slots=True)
class _Keys:
    """Those of one domain."""

    usable: tuple[tuple[str, DkimKey], ...]  # with their selectors
    told: str
    missing: str  # why a key cannot be used that has to be


class DkimSigner:
    """`relayd.mail.signing.Signer`."""

    def __init__(self, settings: Iterable[DkimKeySettings]) -> None:
        by_domain: dict[str, list[DkimKeySettings]] = {}
        for each in settings:
            by_domain.setdefault(each.domain, []).append(each)
        self._domains = {domain: _keys_of(domain, keys) for domain, keys in by_domain.items()}

    def domain_of(self, header: bytes, may_be_author: Callable[[Address], bool]) -> str | None:
        return signing_domain(header, self._domains, may_be_author)

    def sign(self, header: bytes, body: bytes, domain: str, at: datetime) -> Signatures:
        keys = self._domains[domain]
        signed = dkim.signed_header(header)
        if signed is None:
            return Signatures(fields=b"", told=NOT_SIGNED)
        fields = b"".join(
            dkim.signed_field(field, key.sign(dkim.signing_input(signed.canonical, field)))
            for selector, key in keys.usable
            for field in (
                dkim.unsigned_field(
                    key.algorithm,
                    domain=domain,
                    selector=selector,
                    at=at,
                    names=signed.names,
                    body=body,
                ),
            )
        )
        return Signatures(fields=fields, told=keys.told, missing=keys.missing)


def signer_of(settings: Iterable[DkimKeySettings]) -> Signer | None:
    """Return who signs; None: there are no keys."""
    keys = tuple(settings)
    return DkimSigner(keys) if keys else None


def _keys_of(domain: str, keys: Iterable[DkimKeySettings]) -> _Keys:
    usable = tuple((each.selector, load_key(each.pem)) for each in keys if each.pem)
    selectors = ",".join(selector for selector, _ in usable)
    missing = [
        f"the key {each.name} cannot be used: {each.problem}"
        for each in keys
        if each.required and not each.pem
    ]
    return _Keys(usable, f"d={domain} s={selectors}" if usable else NOT_SIGNED, "; ".join(missing))

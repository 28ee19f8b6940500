"""Sign mail: whose keys do, by `relayd.policy.dkim`, with the keys of the settings."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from relayd.mail import dkim
from relayd.mail.address import Address
from relayd.mail.dns import DnsFailure, TextAnswer
from relayd.mail.signing import NOT_SIGNED, Signatures
from relayd.net.dkim_keys import DkimKey, load_key
from relayd.policy.dkim import signing_domain
from relayd.policy.doctor.dkim import OwnKey, judge_dkim
from relayd.policy.doctor.finding import Level
from relayd.settings import DkimKeySettings

_COMPARED = 3600.0  # seconds between two looks at the records of our keys

Texts = Callable[[str], Awaitable[TextAnswer]]
"""Asks for the TXT records of a name."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Keys:
    """Those of one domain."""

    usable: tuple[tuple[str, DkimKey], ...]  # with their selectors
    told: str
    missing: str  # why a key cannot be used that has to be


class DkimSigner:
    """`relayd.mail.signing.Signer`."""

    def __init__(self, settings: Iterable[DkimKeySettings]) -> None:
        self._settings = tuple(settings)
        self._loaded = {each.name: load_key(each.pem) for each in self._settings if each.pem}
        self._problems = {each.name: each.problem for each in self._settings if not each.pem}
        self._domains = {each.domain: self._keys_of(each.domain) for each in self._settings}

    @property
    def loaded(self) -> Mapping[str, tuple[DkimKeySettings, DkimKey]]:
        """Return the keys that could be read, by the names of their records."""
        return {
            each.name: (each, self._loaded[each.name])
            for each in self._settings
            if each.name in self._loaded
        }

    def note(self, name: str, problem: str) -> bool:
        """Note why a key that could be read must not be used, or that it may; tell whether that is new."""
        if problem == self._problems.get(name, ""):
            return False
        self._problems = {**self._problems, name: problem}
        self._domains = {domain: self._keys_of(domain) for domain in self._domains}
        return True

    def domain_of(self, header: bytes, may_be_author: Callable[[Address], bool]) -> str | None:
        return signing_domain(header, self._domains, may_be_author)

    def sign(self, header: bytes, body: bytes, domain: str, at: datetime) -> Signatures:
        keys = self._domains[domain]
        signed = dkim.signed_header(header)
        if signed is None:
            return Signatures(fields=b"", told=NOT_SIGNED)
        fields = b""
        for selector, key in keys.usable:
            field = dkim.unsigned_field(
                key.algorithm,
                domain=domain,
                selector=selector,
                at=at,
                names=signed.names,
                body=body,
            )
            signature = key.sign(dkim.signing_input(signed.canonical, field))
            fields += dkim.signed_field(field, signature)
        return Signatures(fields=fields, told=keys.told, missing=keys.missing)

    def _keys_of(self, domain: str) -> _Keys:
        mine = [each for each in self._settings if each.domain == domain]
        usable = [each for each in mine if not self._problems.get(each.name)]
        selectors = ",".join(each.selector for each in usable)
        missing = [
            f"the key {each.name} cannot be used: {self._problems[each.name]}"
            for each in mine
            if each.required and each not in usable
        ]
        return _Keys(
            tuple((each.selector, self._loaded[each.name]) for each in usable),
            f"d={domain} s={selectors}" if usable else NOT_SIGNED,
            "; ".join(missing),
        )


def signer_of(settings: Iterable[DkimKeySettings]) -> DkimSigner | None:
    """Return who signs; None: there are no keys."""
    keys = tuple(settings)
    return DkimSigner(keys) if keys else None


async def compare(signer: DkimSigner, texts: Texts) -> None:
    """Look whether the DNS has our keys: a signature that cannot be right is not made.

    What is published besides, and whether it is at all, is the doctor's to say: a name server inside need not know
    what the world sees.
    """
    for name, (settings, key) in signer.loaded.items():
        answer = await texts(name)
        if isinstance(answer, DnsFailure):
            continue
        own = OwnKey(kind=key.algorithm.partition("-")[0], public=key.published())
        found = judge_dkim(settings.selector, settings.domain, answer, own=own)
        is_wrong = bool(answer.texts) and found.level is Level.FAIL
        problem = f"in the DNS {found.reason}" if is_wrong else ""
        if not signer.note(name, problem):
            continue
        if problem:
            log.error("dkim_key_unusable", fault="local", key=name, reason=problem, signs_on=False)
        else:
            log.info("dkim_key_usable", key=name)


async def keep_comparing(signer: DkimSigner, texts: Texts) -> None:
    """Compare at once, and then every hour, which is how long records are kept at the least."""
    while True:
        await compare(signer, texts)
        await asyncio.sleep(_COMPARED)

"""Read a DMARC record. Source: RFC 9989 §4.7 (tags), §4.10 (selection)."""

from dataclasses import dataclass

from relayd.mail.dns import Texts
from relayd.policy.doctor.tags import TagError, parse_tags

_POLICIES = frozenset({"none", "quarantine", "reject"})


class DmarcError(ValueError):
    """The record is broken; the text says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    text: str
    policy: str  # none, quarantine, reject
    subdomains: str  # the same, for the domains below
    strict_spf: bool
    strict_dkim: bool
    is_suffix: bool | None  # psd=y, psd=n; None: it does not say
    testing: bool


def select(answer: Texts) -> Record | None:
    """Return the record among the texts; None without one. Raises DmarcError."""
    records = [text for text in answer.texts if _is_dmarc(text)]
    if len(records) > 1:
        raise DmarcError(f"there are {len(records)} DMARC records, one is allowed")
    return _parse(records[0]) if records else None


def _is_dmarc(text: str) -> bool:
    version = text.partition(";")[0].replace(" ", "")
    return version == "v=DMARC1"


def _parse(text: str) -> Record:
    try:
        tags = parse_tags(text)
    except TagError as wrong:
        raise DmarcError(str(wrong)) from None
    policy = tags.get("p", "none" if "rua" in tags or "psd" in tags else "").lower()
    subdomains = tags.get("sp", policy).lower()
    if not policy:
        raise DmarcError("there is no policy (p=)")
    for each in (policy, subdomains):
        if each not in _POLICIES:
            raise DmarcError(f'"{each[:40]}" is no policy')
    return Record(
        text=text,
        policy=policy,
        subdomains=subdomains,
        strict_spf=tags.get("aspf", "r").lower() == "s",
        strict_dkim=tags.get("adkim", "r").lower() == "s",
        is_suffix={"y": True, "n": False}.get(tags.get("psd", "u").lower()),
        testing=tags.get("t", "n").lower() == "y",
    )

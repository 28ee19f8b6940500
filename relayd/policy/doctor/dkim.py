"""Judge the DNS record of a DKIM key, of relayd's own too.

A signer publishes its key at SELECTOR._domainkey.DOMAIN.

Sources: RFC 6376 §3.6.1 (record); RFC 8301 §3 (SHA-256, key sizes); RFC 8463 (Ed25519).
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from relayd.mail.dns import DnsFailure, TextAnswer
from relayd.policy.doctor.der import DerError, rsa_bits
from relayd.policy.doctor.dns import LATER
from relayd.policy.doctor.finding import Check, Finding, Level
from relayd.policy.doctor.tags import TagError, parse_tags

LEAST_BITS = 1024  # what receivers accept, RFC 8301 §3.2
GOOD_BITS = 2048
_ED25519_OCTETS = 32
_AGAIN = "Publish the record again, as the signer wrote it, in one piece."
_OURS = "Publish what `relayd dkim dns {}` prints."
_LONGER = f"Make an RSA key of {GOOD_BITS} bits under a new selector."

Problem = tuple[Level, str, str]  # the reason, the remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnKey:
    """What relayd signs with, or will."""

    kind: str  # as k= has it
    public: str  # as p= has it
    beside_rsa: bool = False  # an RSA key signs for the domain as well


def key_name(selector: str, domain: str) -> str:
    return f"{selector}._domainkey.{domain}"


def judge_no_key() -> Finding:
    return Finding(
        check=Check.DKIM,
        subject="",
        level=Level.SKIPPED,
        reason="no key was named",
        remedy="Make a key with `relayd dkim keygen DOMAIN`, or name that of another signer with --domain and --selector.",
    )


def judge_dkim(
    selector: str, domain: str, answer: TextAnswer, *, own: OwnKey | None = None
) -> Finding:
    """Judge what the DNS has at the key's name; with `own`, whether it is that key."""
    name = key_name(selector, domain)

    def found(level: Level, reason: str, remedy: str = "") -> Finding:
        return Finding(check=Check.DKIM, subject=name, level=level, reason=reason, remedy=remedy)

    if isinstance(answer, DnsFailure):
        return found(Level.UNKNOWN, answer.reason, LATER)
    if not answer.texts:
        remedy = f"Publish the public key of the signer as a TXT record at {name}."
        remedy = remedy if own is None else _OURS.format(domain)
        return found(Level.FAIL, "there is no key record", remedy)
    if len(answer.texts) > 1:
        reason = f"there are {len(answer.texts)} TXT records: which one counts is chance"
        return found(Level.FAIL, reason, "Leave one key record at this name.")
    try:
        tags = parse_tags(answer.texts[0])
        key = b64decode("".join(tags.get("p", "").split()), validate=True)
    except TagError as wrong:
        return found(Level.FAIL, f"the record is broken: {wrong}", _AGAIN)
    except ValueError:  # also of what is not ASCII
        return found(Level.FAIL, "the key is not Base64", _AGAIN)
    good = "the key is there and strong enough"
    good = good if own is None else "the record is that of the key, which is strong enough"
    return found(*next(_problems(tags, key, own, domain), (Level.OK, good, "")))


def _problems(
    tags: Mapping[str, str], key: bytes, own: OwnKey | None, domain: str
) -> Iterator[Problem]:
    """Give what is wrong with a record, the worst first."""
    kind = tags.get("k", "rsa").lower()
    if tags.get("v", "DKIM1") != "DKIM1":
        yield Level.FAIL, f"v={tags['v'][:40]} is no version of DKIM", _AGAIN
    if not key:
        remedy = "Sign with another selector; this one was taken out of use."
        yield Level.FAIL, "the key is revoked (p= is empty)", remedy
    if own is not None and not _is_key(own, kind, key):
        yield Level.FAIL, "the record is that of another key", _OURS.format(domain)
    if "sha256" not in _words(tags.get("h", "sha256")):
        yield Level.FAIL, "the record does not allow SHA-256", "Take h= out of the record."
    if not _words(tags.get("s", "*")) & {"*", "email"}:
        yield Level.FAIL, "the key is not for mail", "Take s= out of the record."
    match kind:
        case "rsa":
            yield from _rsa_problems(key)
        case "ed25519":
            yield from _ed25519_problems(key, beside_rsa=own is not None and own.beside_rsa)
        case kind:
            yield Level.FAIL, f"k={kind[:40]} is no kind of key that receivers know", _LONGER
    if "y" in _words(tags.get("t", "")):
        remedy = "Take t=y out of the record once signatures verify."
        yield Level.WARN, "the record says that DKIM is being tested (t=y)", remedy


def _is_key(own: OwnKey, kind: str, published: bytes) -> bool:
    """Tell whether it is the same key: SubjectPublicKeyInfo ends with the bare one (RFC 6376 §3.6.1 has that)."""
    ours = b64decode(own.public)
    bare = kind == "rsa" and len(published) > LEAST_BITS // 8 and ours.endswith(published)
    return kind == own.kind and (published == ours or bare)


def _rsa_problems(key: bytes) -> Iterator[Problem]:
    try:
        bits = rsa_bits(key)
    except DerError:
        yield Level.FAIL, "the key cannot be read", _AGAIN
    else:
        if bits < LEAST_BITS:
            yield Level.FAIL, f"the key has {bits} bits: receivers ignore it", _LONGER
        if bits < GOOD_BITS:
            yield Level.WARN, f"the key has only {bits} bits", _LONGER


def _ed25519_problems(key: bytes, *, beside_rsa: bool) -> Iterator[Problem]:
    if len(key) != _ED25519_OCTETS:
        reason = f"an Ed25519 key has {_ED25519_OCTETS} octets, this one {len(key)}"
        yield Level.FAIL, reason, "Publish the 32 octets of the key in Base64."
    if not beside_rsa:
        remedy = "Sign with an RSA key under another selector as well."
        yield Level.WARN, "an Ed25519 key: many receivers verify only RSA", remedy


def _words(text: str) -> set[str]:
    return {word.strip().lower() for word in text.split(":")}

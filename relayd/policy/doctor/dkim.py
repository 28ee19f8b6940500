"""Judge the DNS record of a DKIM key.

relayd does not sign: a signer publishes its key at SELECTOR._domainkey.DOMAIN.

Sources: RFC 6376 §3.6.1 (record); RFC 8301 §3 (SHA-256, key sizes); RFC 8463 (Ed25519).
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping

from relayd.mail.dns import DnsFailure, TextAnswer
from relayd.policy.doctor.der import DerError, rsa_bits
from relayd.policy.doctor.dns import LATER
from relayd.policy.doctor.finding import Check, Finding, Level
from relayd.policy.doctor.tags import TagError, parse_tags

LEAST_BITS = 1024  # what receivers accept, RFC 8301 §3.2
GOOD_BITS = 2048
_ED25519_OCTETS = 32
_AGAIN = "Publish the record again, as the signer wrote it, in one piece."
_LONGER = f"Make an RSA key of {GOOD_BITS} bits under a new selector."

Problem = tuple[Level, str, str]  # the reason, the remedy


def key_name(selector: str, domain: str) -> str:
    return f"{selector}._domainkey.{domain}"


def judge_no_key() -> Finding:
    return Finding(
        check=Check.DKIM,
        subject="",
        level=Level.SKIPPED,
        reason="no key was named",
        remedy="Name a sender's domain with --domain and the selector of its key with --selector.",
    )


def judge_dkim(selector: str, domain: str, answer: TextAnswer) -> Finding:
    """Judge what the DNS has at the key's name."""
    name = key_name(selector, domain)

    def found(level: Level, reason: str, remedy: str = "") -> Finding:
        return Finding(check=Check.DKIM, subject=name, level=level, reason=reason, remedy=remedy)

    if isinstance(answer, DnsFailure):
        return found(Level.UNKNOWN, answer.reason, LATER)
    if not answer.texts:
        remedy = f"Publish the public key of the signer as a TXT record at {name}."
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
    return found(*next(_problems(tags, key), (Level.OK, "the key is there and strong enough", "")))


def _problems(tags: Mapping[str, str], key: bytes) -> Iterator[Problem]:
    """Give what is wrong with a record, the worst first."""
    if tags.get("v", "DKIM1") != "DKIM1":
        yield Level.FAIL, f"v={tags['v'][:40]} is no version of DKIM", _AGAIN
    if not key:
        remedy = "Sign with another selector; this one was taken out of use."
        yield Level.FAIL, "the key is revoked (p= is empty)", remedy
    if "sha256" not in _words(tags.get("h", "sha256")):
        yield Level.FAIL, "the record does not allow SHA-256", "Take h= out of the record."
    if not _words(tags.get("s", "*")) & {"*", "email"}:
        yield Level.FAIL, "the key is not for mail", "Take s= out of the record."
    match tags.get("k", "rsa").lower():
        case "rsa":
            yield from _rsa_problems(key)
        case "ed25519":
            yield from _ed25519_problems(key)
        case kind:
            yield Level.FAIL, f"k={kind[:40]} is no kind of key that receivers know", _LONGER
    if "y" in _words(tags.get("t", "")):
        remedy = "Take t=y out of the record once signatures verify."
        yield Level.WARN, "the record says that DKIM is being tested (t=y)", remedy


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


def _ed25519_problems(key: bytes) -> Iterator[Problem]:
    if len(key) != _ED25519_OCTETS:
        reason = f"an Ed25519 key has {_ED25519_OCTETS} octets, this one {len(key)}"
        yield Level.FAIL, reason, "Publish the 32 octets of the key in Base64."
    remedy = "Sign with an RSA key under another selector as well."
    yield Level.WARN, "an Ed25519 key: many receivers verify only RSA", remedy


def _words(text: str) -> set[str]:
    return {word.strip().lower() for word in text.split(":")}

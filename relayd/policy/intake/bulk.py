"""What large receivers want of the header of mail, and of that to subscribers.

Owns the rules alone: content in, flaws out. A flaw that is FAIL has mail refused; one that is WARN costs it
trust, or matters for mail to subscribers only.

Sources: RFC 5322 §3.6 (how often a field is there); RFC 8058 §3.1, §4 (one click, signed); RFC 6376 §3.5 (h=);
RFC 9989 §4.4 (alignment); the rules of Gmail, Yahoo and Microsoft for those who send 5,000 mails a day.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from relayd.mail.address import Address, PathError
from relayd.mail.address_list import parse_addresses
from relayd.mail.dns import DomainError, a_labels
from relayd.mail.submission import values_of
from relayd.policy.doctor.finding import Level
from relayd.policy.doctor.tags import TagError, parse_tags

UNSUBSCRIBE, POST = "List-Unsubscribe", "List-Unsubscribe-Post"
_ONE_CLICK = b"List-Unsubscribe=One-Click"
_HTTPS = re.compile(rb"<[ \t\r\n]*https://[^<>]+>", re.IGNORECASE)
_WRITE_ONE = "Have the application write it, or set listen.add_headers to always."


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    field: str
    level: Level  # WARN or FAIL
    reason: str
    remedy: str  # one sentence


def flaws_of(content: bytes, signing: Collection[str]) -> Iterator[Flaw]:
    """Give what is wrong with the header. `signing`: the domains, as A-labels, that relayd has a key of."""
    author = _author(content)
    covered: Collection[str] | None = None
    if isinstance(author, Flaw):
        yield author
    elif any(_is_within(author, domain) for domain in signing):
        covered = {UNSUBSCRIBE.lower(), POST.lower()}  # ours covers them where they are
    else:
        covered = _covered(content, author)
        if covered is None:
            yield Flaw(
                field="From",
                level=Level.WARN,
                reason=f"nobody signs for {author}: no [[dkim]] is for it, and no signature is there",
                remedy=f"Make a key with `relayd dkim keygen {author}`.",
            )
    for name in ("Date", "Message-ID"):
        yield from _not_once(content, name)
    yield from _unsubscribe_flaws(content, covered or ())


def _author(content: bytes) -> str | Flaw:
    """Return the domain of From, as A-labels."""
    values = list(values_of(content, "From"))
    why = ""
    found: list[Address] = []
    if len(values) != 1:
        why = f"there are {len(values)} From fields" if values else "there is no From field"
    else:
        try:
            found = parse_addresses(values[0].decode("utf-8", "replace"))
        except PathError as error:
            why = str(error)
        else:
            why = "" if len(found) == 1 else f"it has {len(found)} addresses"
    if not why:
        try:
            return a_labels(found[0].domain)
        except DomainError as error:
            why = f"its domain is {error}"
    remedy = "Have the application write one From field with one address."
    return Flaw(field="From", level=Level.FAIL, reason=why, remedy=remedy)


def _covered(content: bytes, author: str) -> Collection[str] | None:
    """Return the fields, in lower case, that a signature of the author's domain covers; None without one."""
    for value in values_of(content, "DKIM-Signature"):
        try:
            tags = parse_tags(value.decode("latin-1"))
        except TagError:
            continue
        if _is_within(author, tags.get("d", "").strip().lower()):
            return {name.strip().lower() for name in tags.get("h", "").split(":")}
    return None


def _is_within(domain: str, other: str) -> bool:
    return domain == other or domain.endswith(f".{other}")


def _not_once(content: bytes, name: str) -> Iterator[Flaw]:
    count = sum(1 for _ in values_of(content, name))
    if count == 0:
        yield Flaw(field=name, level=Level.WARN, reason="it is missing", remedy=_WRITE_ONE)
    elif count > 1:
        yield Flaw(
            field=name,
            level=Level.FAIL,
            reason=f"there are {count} of them, one is allowed",
            remedy=f"Leave one {name}.",
        )


def _unsubscribe_flaws(content: bytes, covered: Collection[str]) -> Iterator[Flaw]:
    """Judge whether a subscriber leaves by one click. Absent is no mistake in other mail, and said all the same."""
    values, posts = (list(values_of(content, name)) for name in (UNSUBSCRIBE, POST))

    def flaw(name: str, reason: str, remedy: str) -> Flaw:
        return Flaw(field=name, level=Level.WARN, reason=reason, remedy=remedy)

    if not values:
        yield flaw(
            UNSUBSCRIBE,
            "it is missing: mail to subscribers needs it",
            f"If subscribers get it, add `{UNSUBSCRIBE}: <https://…>` and `{POST}: List-Unsubscribe=One-Click`.",
        )
        return
    if len(values) > 1:
        reason = f"there are {len(values)} of them, one is allowed"
        yield flaw(UNSUBSCRIBE, reason, "Put all its URIs into one field.")
    if not any(map(_HTTPS.search, values)):
        yield flaw(UNSUBSCRIBE, "it has no https URI", "Add one, as in `<https://…>, <mailto:…>`.")
    if not posts:
        reason = "it is missing, so that one click does not unsubscribe"
        yield flaw(POST, reason, f"Add `{POST}: List-Unsubscribe=One-Click`.")
    elif [each.strip() for each in posts] != [_ONE_CLICK]:
        reason = "it says something else than List-Unsubscribe=One-Click, once"
        yield flaw(POST, reason, f"Write `{POST}: List-Unsubscribe=One-Click`.")
    for name, there in ((UNSUBSCRIBE, values), (POST, posts)):
        if there and name.lower() not in covered:
            reason = "no signature of the author's domain covers it (h=)"
            yield flaw(name, reason, "Have relayd sign, or add it to h= of the one that signs.")

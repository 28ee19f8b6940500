"""What a bounce mail says, as values.

Owns the words and shapes that the rest of relayd sees, and the step that turns what a format
module found out about a recipient into the answer: the category is asked of
`relayd.policy.classify`, never decided here.

Source: RFC 3464 §2.3 (fields of a recipient), RFC 3463 (status), RFC 5965 (complaints).
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from relayd.mail.outcome import Classification
from relayd.mail.reply import Stage
from relayd.mail.words import BounceClass, Category
from relayd.policy.classify import classify_fields
from relayd.policy.inbound_bounce.phrases import IN_OTHER_WORDS
from relayd.policy.ruleset import Rules

_SHORT = 10  # characters that a reply has at least, behind its code
DIAGNOSTIC_LIMIT = 4096  # characters kept of what the other side said

# RFC 3463 §2 has one digit, then up to three; a dotted neighbour means an IP address or a version.
STATUS = re.compile(r"(?<![\d.])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![\d.]*\d)")
# RFC 5321 §4.2 with the blank, hyphen or punctuation that servers and reporters put behind it.
CODE = re.compile(
    r"(?<![\d.\w/-])(?<!\d:)(?!(?<=:)(?:465|587))([245][0-9][0-9])(?=[\s:;,.\-<\")\]]|$)(?!\.\d|:[\da-f])"
)
_REPLY_STATUS = re.compile(
    r"(?<!\d)[45]\d\d[ -]{1,3}['\"]?#?([45]\.[0-9]{1,3}\.[0-9]{1,3})(?![\d.]*\d)"
)
_CONTINUED = re.compile(r"(?<!\S)([245][0-9][0-9])[ -]([245]\.[0-9]{1,3}\.[0-9]{1,3})?(?=\s)")
_FILLER = re.compile(r"[245]\.0\.0")
_STAGES = (
    (
        Stage.DOT,
        re.compile(
            r"end of (?:mail )?data|final DATA|after (?:I sent|sending) the|\(DATA\)", re.IGNORECASE
        ),
    ),
    (Stage.RCPT, re.compile(r"RCPT[ _]?TO|RCPT command", re.IGNORECASE)),
    (Stage.MAIL, re.compile(r"MAIL[ _]FROM|sender was rejected", re.IGNORECASE)),
    (Stage.DATA, re.compile(r"\bDATA\b")),
    (Stage.EHLO, re.compile(r"\b(?:EHLO|HELO)\b")),
    (Stage.GREETING, re.compile(r"initial (?:connection|greeting)", re.IGNORECASE)),
)


# What a failure that was tried again comes to, when it did not go away.
_RAN_OUT = {
    Category.UNKNOWN: Category.EXPIRED,
    Category.CONNECTION_FAILURE: Category.EXPIRED,
    Category.BAD_DOMAIN: Category.DNS_FAILURE,
}


class Kind(StrEnum):
    """What sort of mail it is; the spelling is stable."""

    BOUNCE = "bounce"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    AUTOREPLY = "autoreply"
    CHALLENGE = "challenge"
    ARF = "arf"  # a complaint
    NOTBOUNCE = "notbounce"


@dataclass(frozen=True, slots=True, kw_only=True)
class BouncedRecipient:
    """One recipient that the mail speaks of, with the judgement on it."""

    address: str  # where the failure happened
    original: str | None  # what the sender wrote, when it says so and it differs
    action: str | None  # failed, delayed, delivered, relayed, expanded
    status: str | None  # such as 5.1.1
    code: int | None  # the SMTP reply code inside the diagnostic
    diagnostic: str  # one cleaned line
    category: Category | None  # None where nothing failed
    suppress: bool  # the address is proven bad
    bounce_class: BounceClass | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedBounce:
    """The reading of one mail. Recipients of a NOTBOUNCE are always empty."""

    kind: Kind
    recipients: tuple[BouncedRecipient, ...] = ()
    envelope_id: str | None = None  # Original-Envelope-Id, from ENVID (RFC 3461 §4.4)
    original_message_id: str | None = None  # Message-ID of the mail that came back, with brackets
    feedback_type: str | None = None  # of an ARF: abuse, fraud, opt-out, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a format module found out about one recipient, unjudged."""

    address: str
    original: str | None = None
    action: str = "failed"
    status: str | None = None
    diagnostic: str = ""
    context: str = ""  # text around it that may tell the SMTP stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a format module made of a mail."""

    kind: Kind
    found: tuple[Found, ...] = ()
    envelope_id: str | None = None
    feedback_type: str | None = None


def clean(text: str) -> str:
    """One line of printable characters, at most DIAGNOSTIC_LIMIT of them."""
    line = " ".join(text[: 4 * DIAGNOSTIC_LIMIT].split())
    return "".join(char for char in line if char.isprintable())[:DIAGNOSTIC_LIMIT]


def judge(found: Found, rules: Rules) -> BouncedRecipient:
    """Add status, code and category to what was found.

    A status of x.0.0 is what reporters write who do not know better: one inside the diagnostic
    counts for more. A final failure with a 4.x.x status means the retries ran out; its category is
    what the last reply said, else `expired`, and it never condemns the address.
    """
    diagnostic = clean(found.diagnostic)
    code = _code(diagnostic)
    status = _status(found.status, diagnostic)
    category, suppress, bounce_class = None, False, None
    if found.action in ("failed", "delayed"):
        soft = found.action == "delayed" or str(code or status or "").startswith("4")
        verdict = _verdict(found, diagnostic, code, status, rules)
        category = verdict.category
        # Who refuses a recipient only after reading the content may mean the content.
        suppress = verdict.suppress and not soft and _stage(found) is not Stage.DOT
        bounce_class = BounceClass.SOFT if soft else verdict.bounce_class
        if bounce_class is BounceClass.HARD and not suppress:
            bounce_class = BounceClass.BLOCK
        if soft:
            category = _RAN_OUT.get(category, category)
    return BouncedRecipient(
        address=found.address,
        original=found.original if found.original != found.address else None,
        action=found.action,
        status=status,
        code=code,
        diagnostic=diagnostic,
        category=category,
        suppress=suppress,
        bounce_class=bounce_class,
    )


def has_failure_code(text: str) -> bool:
    """The text quotes a negative SMTP reply or status."""
    return any(match.group(1)[0] != "2" for find in (CODE, STATUS) for match in find.finditer(text))


def _code(diagnostic: str) -> int | None:
    codes = [int(match.group(1)) for match in CODE.finditer(diagnostic)]
    return next((code for code in codes if code >= 400), codes[0] if codes else None)


def _status(given: str | None, diagnostic: str) -> str | None:
    """The status that fits best: of the reply quoted, as reported, anywhere in the diagnostic."""
    quoted = [match.group(1) for match in _REPLY_STATUS.finditer(diagnostic)]
    inside = [match.group(1) for match in STATUS.finditer(diagnostic)]
    candidates = [status for status in (*quoted, given, *inside) if status]
    if given:
        candidates = [one for one in candidates if one[0] == given[0]]
    return next((one for one in candidates if not _FILLER.fullmatch(one)), given) or next(
        iter(candidates), None
    )


def _verdict(
    found: Found, diagnostic: str, code: int | None, status: str | None, rules: Rules
) -> Classification:
    """Ask the classifier, in the words of the reply; else in those it knows for the same thing."""
    stage = _stage(found)
    verdict = classify_fields(code, status, _joined(_from_reply(diagnostic)), stage, rules)
    if verdict.category in (Category.UNKNOWN, Category.PROTOCOL_ERROR):
        for pattern, words in IN_OTHER_WORDS:
            if pattern.search(diagnostic):
                return classify_fields(code, status, words, stage, rules)
    return verdict


def _from_reply(diagnostic: str) -> str:
    """The diagnostic from the reply on, without the reporter's own sentences in front of it."""
    for match in CODE.finditer(diagnostic):
        if match.group(1)[0] != "2" and len(diagnostic) - match.end() > _SHORT:
            return diagnostic[match.start() :]
    return diagnostic


def _joined(diagnostic: str) -> str:
    """The diagnostic without the code that a multi-line reply repeats in mid-sentence."""
    first = _CONTINUED.search(diagnostic)
    if first is None:
        return diagnostic
    rest = diagnostic[first.end() :]
    return diagnostic[: first.end()] + _CONTINUED.sub("", rest)


def _stage(found: Found) -> Stage | None:
    for text in (found.diagnostic, found.context):
        for stage, pattern in _STAGES:
            if pattern.search(text):
                return stage
    return None

"""What a bounce mail says, as values.

Owns the words and shapes that the rest of relayd sees, those that the format modules hand to
`judge`, and the patterns for a code and a status inside text.

Source: RFC 3464 §2.3 (fields of a recipient), RFC 3463 (status), RFC 5965 (complaints).
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from relayd.mail.text import replaced
from relayd.mail.words import BounceClass, Category

DIAGNOSTIC_LIMIT = 4096  # characters kept of what the other side said

# RFC 3463 §2 has one digit, then up to three; a dotted neighbour means an IP address or a version.
STATUS = re.compile(r"(?<![\d.])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![\d.]*\d)")
# RFC 5321 §4.2 with the blank, hyphen or punctuation that servers and reporters put after it.
CODE = re.compile(
    r"(?<![\d.\w/-])(?<!\d:)(?!(?<=:)(?:465|587))([245][0-9][0-9])(?=[\s:;,.\-<\")\]]|$)(?!\.\d|:[\da-f])"
)


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
    context: str = ""  # text about it that may tell the SMTP stage
    is_told: bool = False  # the diagnostic is from the text for people, the rest from fields
    is_guess: bool = False  # the report names somebody else, or nobody for sure


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
    return replaced(line, by="")[:DIAGNOSTIC_LIMIT]


def has_failure_code(text: str) -> bool:
    """The text quotes a negative SMTP reply or status."""
    return any(match.group(1)[0] != "2" for find in (CODE, STATUS) for match in find.finditer(text))

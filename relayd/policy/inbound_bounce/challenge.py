"""Tell challenges from bounces.

Owns the signs of mail by which a filter asks the sender to prove himself, also in the form of a
report: such a report names a failure, but the message waits until somebody follows a link.

Source: the headers and words that the challenge systems are known for (TMDA, BoxTrapper, ASK, Spam
Arrest, guest lists).
"""

from relayd.policy.inbound_bounce.address import find_addresses
from relayd.policy.inbound_bounce.autoreply import is_automatic
from relayd.policy.inbound_bounce.mime import Mail
from relayd.policy.inbound_bounce.phrases import Phrases, sentences
from relayd.policy.inbound_bounce.report import report_text
from relayd.policy.inbound_bounce.reporters import is_postmaster
from relayd.policy.inbound_bounce.result import Found, Kind, Reading, has_failure_code

_FIELDS = ("x-tmda-fingerprint", "x-boxtrapper", "x-spamarrest", "x-challenge-response")
_MAILERS = Phrases(r"\btmda\b|boxtrapper|active spam killer|spam ?arrest")
_SUBJECT = Phrases(
    r"(?:confirm|verify|authenticate|validate)\b.{0,30}"
    r"(?:message|e-?mail|mail|delivery|identity|address)",
    r"(?:confirmation|verification|authentication) (?:request|required|needed)",
    r"\((?:verification|confirmation|action required)\)|challenge[ -]response",
    r"requires? (?:confirmation|verification|authentication)|action required to deliver",
    r"your message .{0,30}(?:waiting|held|pending)",
)
# What a challenge says, in two parts of one sentence: the demand, and what it is for.
_PAIRS = (
    (
        Phrases(
            r"(?:confirm|verif|authenticat|releas|validat)\w{0,12}\b[^.\n]{0,40}\b(?:your|this|the) "
            r"(?:message|e-?mail|mail|delivery|identity|(?:e-?mail )?address)\b"
        ),
        Phrases(r"deliver|sender|reply|human|click|spam|first time|inbox"),
    ),
    (
        Phrases(r"(?:message|mail)\b[^.\n]{0,60}(?:held|quarantin|waiting|pending)"),
        Phrases(r"confirm|verif|authenticat|whitelist|approved"),
    ),
    (
        Phrases(r"requir(?:es?|ing) (?:confirmation|verification|authentication)"),
        Phrases(r"message|mail|sender"),
    ),
)
_YOUR_MAIL = Phrases(
    r"(?:your|this) (?:e-?mail|mail|message)\b(?! (?:address|account))|\bre:|spam|junk"
)
_PLAIN = Phrases(
    r"(?:not|isn't) (?:yet )?(?:on|in) (?:my|his|her|their|the recipient's) "
    r"(?:approved|allowed|accept|white|address|guest)",
    r"(?:prove|show|verify)\b[^.\n]{0,30}(?:you are|you're) (?:a )?(?:human|real|not a)",
)
_FILTER = Phrases(
    r"\b(?:spam|junk|unsolicited|bulk)\b",
    r"\b(?:guest|allowed|approved|white|accept|contact|safe|trusted|friends)[- ]?(?:list|sender|contact)",
)
_DEMAND = Phrases(
    r"\b(?:click|follow|visit|use|reply)\b[^.\n]{0,40}(?:link|below|this (?:e-?mail|message|mail))"
)
_TEXT_LIMIT = 8000


def read_challenge(mail: Mail) -> Reading | None:
    """A mail that wants the sender to prove himself before it goes on."""
    headers = mail.headers
    if is_postmaster(mail):
        return None
    mailer = headers.get("x-delivery-agent") + headers.get("x-mailer") + headers.get("user-agent")
    if any(name in headers for name in _FIELDS) or _MAILERS.found_in(mailer):
        return _challenge(find_addresses(headers.get("from"))[:1])
    text = report_text(mail)[:_TEXT_LIMIT]
    if has_failure_code(text):
        return None
    asked = _SUBJECT.found_in(headers.decoded("subject"))
    if not is_automatic(mail) and not _YOUR_MAIL.found_in(f"{headers.decoded('subject')} {text}"):
        return None  # a mail that asks for something else, such as a sign-up
    if _is_request(text):
        return _by_sender(mail) if asked or is_automatic(mail) else None
    demands = _wants_a_click(text) or _PAIRS[0][0].found_in(text)
    return _by_sender(mail) if asked and demands else None


def is_challenge(report: Reading, mail: Mail) -> bool:
    """The report quotes no reply of a server, and its words ask for a proof."""
    if is_postmaster(mail) or any(has_failure_code(one.diagnostic) for one in report.found):
        return False
    text = report_text(mail)[:_TEXT_LIMIT]
    return _is_request(text) or _wants_a_click(text)


def as_challenge(report: Reading) -> Reading:
    return _challenge([one.address for one in report.found])


def _is_request(text: str) -> bool:
    return any(
        _PLAIN.found_in(one) or any(a.found_in(one) and b.found_in(one) for a, b in _PAIRS)
        for one in sentences(text)
    )


def _wants_a_click(text: str) -> bool:
    words = " ".join(text.split())
    return _FILTER.found_in(words) and _DEMAND.found_in(words)


def _by_sender(mail: Mail) -> Reading:
    return _challenge(find_addresses(mail.headers.get("from"))[:1])


def _challenge(addresses: list[str]) -> Reading:
    found = tuple(Found(address=address, action="answered") for address in addresses)
    return Reading(kind=Kind.CHALLENGE, found=found)

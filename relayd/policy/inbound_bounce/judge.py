"""Judge what a report says of a recipient: status, code, category, and whether it condemns him.

Owns the way from the text of a report to a question that `relayd.policy.replies.classify` can answer: which
words are the reply, and in what stage of SMTP it was said. The category is asked there, never
decided here.

Only proof suppresses: a final failure, at the recipient's address, told before the content was
sent. Where the fields and the words for people contradict each other, the fields decide, unless
they say nothing (x.0.0).

Source: RFC 3464 §2.3 (fields of a recipient), RFC 3463 (status), RFC 5321 §3.3 (stages).
"""

import re

from relayd.mail.outcome import Classification
from relayd.mail.reply import Stage
from relayd.mail.words import BounceClass, Category
from relayd.policy.inbound_bounce.phrases import Phrases
from relayd.policy.inbound_bounce.result import (
    CODE,
    DIAGNOSTIC_LIMIT,
    STATUS,
    BouncedRecipient,
    Found,
    clean,
)
from relayd.policy.inbound_bounce.wordings import IN_OTHER_WORDS, OF_THE_MOMENT
from relayd.policy.replies import quoted
from relayd.policy.replies.classify import classify_fields
from relayd.policy.replies.ruleset import Rules

_SHORT = 10  # characters that a reply has at least, after its code
_REPLY_STATUS = re.compile(
    r"(?<!\d)[45]\d\d[ -]{1,3}['\"]?#?([45]\.[0-9]{1,3}\.[0-9]{1,3})(?![\d.]*\d)"
)
_CONTINUED = re.compile(r"(?<!\S)([245][0-9][0-9])[ -]([245]\.[0-9]{1,3}\.[0-9]{1,3})?(?=\s)")
_FILLER = re.compile(r"[245]\.0\.0")
_SAYS_LITTLE = re.compile(r"[245]\.(?:0|5)\.0|[245]\.0\.\d{1,3}")
_STAGES = (
    (
        Stage.DOT,
        re.compile(
            r"end[ _]of[ _](?:mail[ _])?(?:data|message)|final (?:data|dot)|after (?:I sent|sending) the|\(DATA\)|"
            r"sending (?:the )?(?:data block|end of data|message body)|transfer of (?:the )?mail|"
            r"in reply to (?:the )?(?:message|mail) (?:body|content)",
            re.IGNORECASE,
        ),
    ),
    (
        Stage.RCPT,
        re.compile(
            r"RCPT[ _]?TO|RCPT command|SMTP:RCPT|like recipient|recipient was rejected|rejected recipient",
            re.IGNORECASE,
        ),
    ),
    (Stage.MAIL, re.compile(r"MAIL[ _]FROM|sender was rejected", re.IGNORECASE)),
    (Stage.DATA, re.compile(r"\bDATA\b|in reply to data")),
    (Stage.EHLO, re.compile(r"\b(?:EHLO|HELO)\b|my name was rejected")),
    (Stage.GREETING, re.compile(r"initial (?:connection|greeting)|greeting failed", re.IGNORECASE)),
)
# What a failure that was tried again comes to, when it did not go away.
_RAN_OUT = {
    Category.UNKNOWN: Category.EXPIRED,
    Category.CONNECTION_FAILURE: Category.EXPIRED,
    Category.BAD_DOMAIN: Category.DNS_FAILURE,
}
_ADDRESS_IS_WRONG = Phrases(
    r"address(?:es)? (?:couldn't|could not|wasn't|was not) (?:be )?found|\baddress not found",
    r"rejected (?:the )?(?:address|recipient)\b",
)


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
        verdict = _verdict(found, diagnostic, code, status, rules)
        soft = found.action == "delayed" or str(code or status or "").startswith("4")
        category = verdict.category
        suppress = (
            verdict.suppress
            and not soft
            and not found.is_guess
            and _is_proof(found, verdict.category, code, status)
            and not _is_contradicted(found, rules)
        )
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


def _is_proof(found: Found, category: Category, code: int | None, status: str | None) -> bool:
    """Whether the words are surely about the recipient.

    A reply that is only quoted may have been given after the content, and then be about that. What
    speaks for the recipient: the command, a status of the address (x.1.x), or what the reporter
    says himself. A status of the mailbox's state (x.2.x) or of policy (x.7.x) speaks against it.
    """
    if category is Category.BAD_DOMAIN or _stage(found) is Stage.RCPT:
        return True
    inner = quoted.read(found.diagnostic[:DIAGNOSTIC_LIMIT], code or 0, None).quoted
    if inner:
        status = _status(None, inner)
    subject = status.split(".")[1] if status else "0"
    if subject == "0":
        own_words = code is None and (found.is_told or found.status is None)
        return own_words or _ADDRESS_IS_WRONG.found_in(found.context)
    return subject not in ("2", "7")


def _is_contradicted(found: Found, rules: Rules) -> bool:
    """The report's field says something else than its words for people."""
    if not found.is_told or found.status is None or _SAYS_LITTLE.fullmatch(found.status):
        return False
    return not classify_fields(None, found.status, "", None, rules).suppress


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
    if OF_THE_MOMENT.found_in(diagnostic):
        return classify_fields(451, "4.4.3", "temporary DNS lookup failure", stage, rules)
    verdict = classify_fields(code, status, _joined(_from_reply(diagnostic)), stage, rules)
    if verdict.category in (Category.UNKNOWN, Category.PROTOCOL_ERROR):
        for phrases, words in IN_OTHER_WORDS:
            if phrases.found_in(diagnostic) or phrases.found_in(found.context):
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
    for text in (found.diagnostic[:DIAGNOSTIC_LIMIT], found.context):
        for stage, pattern in _STAGES:
            if pattern.search(text):
                return stage
    return None

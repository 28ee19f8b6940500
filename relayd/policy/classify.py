"""Say why a reply was negative: category, permanent, suppress, bounce class.

Owns the judgement on one reply. Which rules there are is `relayd.policy.ruleset`'s and the TOML
files beside it; what becomes of the recipient is `relayd.policy.verdict`'s.

Three answers, independent of each other: the reply code decides if the message is over, the words
decide why, and only proof that the address is bad suppresses it. A 5yz that no rule knows ends the
message and says nothing about the address.

Source: RFC 5321 §4.2.1, RFC 3463 §2.
"""

import re
from functools import lru_cache

from relayd.mail.outcome import Classification
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import BounceClass, Category
from relayd.policy.phrases import TEXT_LIMIT, words_of
from relayd.policy.rule import Facts, Rule
from relayd.policy.ruleset import Rules

# Subject 0 to 7 is all that is registered, so a version number such as 4.92.3 is none.
_STATUS_IN_TEXT = re.compile(r"(?<![\d.])([245]\.[0-7]\.\d{1,3})(?!\.?\d)")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_CODE_IN_TEXT = re.compile(r"\W{0,20}([2-5]\d\d)(?!\d)")

_BAD_ADDRESS = frozenset({Category.BAD_MAILBOX, Category.BAD_DOMAIN})
# What a peer says here cannot be of a recipient. A greeting can: 521 refuses all mail.
_BEFORE_RECIPIENTS = frozenset({Stage.STARTTLS, Stage.AUTH, Stage.MAIL})
# A matter of time or capacity, even where the reply code says for good.
_PASSING = frozenset(
    {
        Category.MAILBOX_FULL,
        Category.RATE_LIMIT,
        Category.GREYLIST,
        Category.DNS_FAILURE,
        Category.CONNECTION_FAILURE,
        Category.REMOTE_SYSTEM,
        Category.EXPIRED,
    }
)
# RFC 3463 §3.2: syntax and domain of the sender's address.
_SENDER_STATUS = frozenset({"x.1.7", "x.1.8"})
_NO_RULE = Rule(id="", category=Category.UNKNOWN)
_STAGES = {stage.value: stage for stage in Stage} | {"helo": Stage.EHLO, "end": Stage.DOT}


def classify(reply: Reply, stage: Stage | None, rules: Rules) -> Classification:
    """Judge one reply; code 0 means that none is known. Takes any text and never raises."""
    text = reply.text[:TEXT_LIMIT]
    status = reply.enhanced or _status_in(text)
    facts = Facts(words_of(text), _codes(reply.code), _statuses(status), stage)
    rule = rules.find(facts) or _NO_RULE
    permanent = rule.permanent
    if permanent is None:
        permanent = _is_permanent(reply.code, status, rule.category)
    proven = rule.category in _BAD_ADDRESS and rule.suppress
    about_sender = rule.category is Category.SENDER_CONFIG or not _SENDER_STATUS.isdisjoint(
        facts.statuses
    )
    suppress = permanent and proven and not about_sender and stage not in _BEFORE_RECIPIENTS
    return Classification(
        category=rule.category,
        permanent=permanent,
        suppress=suppress,
        bounce_class=_bounce_class(rule.category, permanent=permanent, suppress=suppress),
        about_sender=about_sender,
        remedy=rule.remedy or rules.remedies.get(rule.category, ""),
        rule=rule.id,
    )


def classify_fields(
    code: object, enhanced: object, text: object, stage: object, rules: Rules
) -> Classification:
    """Judge one record of `relayd classify --jsonl`, whatever its fields hold.

    Each may be missing, null or of the wrong kind. A code that is not given is read off the text.
    """
    words = text if isinstance(text, str) else ""
    given = str(enhanced).strip()
    status = given if _STATUS.fullmatch(given) else None
    reply = Reply(_code_of(code) or _code_in(words), status, (words,))
    return classify(reply, _STAGES.get(str(stage).strip().lower()), rules)


def _is_permanent(code: int, status: str | None, category: Category) -> bool:
    if code:
        return 500 <= code < 600
    if status:
        return status[0] == "5"
    return category is not Category.UNKNOWN and category not in _PASSING


def _bounce_class(category: Category, *, permanent: bool, suppress: bool) -> BounceClass:
    if suppress:
        return BounceClass.HARD
    if not permanent or category in _PASSING:
        return BounceClass.SOFT
    return BounceClass.BLOCK


def _status_in(text: str) -> str | None:
    found = _STATUS_IN_TEXT.search(text)
    return found.group(1) if found else None


def _code_of(code: object) -> int:
    written = str(code).strip()
    return int(written) if re.fullmatch("[2-5][0-9][0-9]", written) else 0


def _code_in(text: str) -> int:
    found = _CODE_IN_TEXT.match(text)
    return int(found.group(1)) if found and found.group(1).isascii() else 0


@lru_cache(maxsize=256)
def _codes(code: int) -> frozenset[str]:
    return frozenset({str(code), f"{code // 100}xx"}) if code else frozenset({"none"})


@lru_cache(maxsize=1024)
def _statuses(status: str | None) -> frozenset[str]:
    if status is None:
        return frozenset()
    class_, subject, detail = status.split(".")
    return frozenset(f"{c}.{subject}.{d}" for c in (class_, "x") for d in (detail, "x"))

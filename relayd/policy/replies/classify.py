"""Say why a reply was negative: category, permanent, suppress, bounce class.

Owns the judgement on one reply. Which rules there are is `relayd.policy.replies.ruleset`'s and the TOML
files beside it; what becomes of the recipient is `relayd.policy.delivery.verdict`'s.

Three answers, independent of each other: the reply code decides if the message is over, the words
decide why, and only proof that the address is bad suppresses it. A 5yz that no rule knows ends the
message and says nothing about the address.

Invariant: a rule that says the address is bad is proof only where the reply can be about a
recipient and no veto is in it. Stage and vetoes only take proof away.

Source: RFC 5321 §4.2.1, RFC 3463 §2.
"""

import re
from functools import lru_cache

from relayd.mail.outcome import Classification
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import About, BounceClass, Category
from relayd.policy.replies.phrases import TEXT_LIMIT, words_of
from relayd.policy.replies.quoted import Reading, read
from relayd.policy.replies.rule import Facts, Rule
from relayd.policy.replies.ruleset import Rules

# Subject 0 to 7 is all that is registered, so a version number such as 4.92.3 is none.
_STATUS_IN_TEXT = re.compile(r"(?<![\d.])([245]\.[0-7]\.\d{1,3})(?!\.?\d)")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_CODE_IN_TEXT = re.compile(r"\W{0,20}([2-5]\d\d)(?!\d)")

_BAD_ADDRESS = frozenset({Category.BAD_MAILBOX, Category.BAD_DOMAIN})
# 521 is of a host (RFC 7504 §3), the others of a command (RFC 5321 §4.2.4, §4.1.1.11): none is of
# an address, whatever its words.
_NEVER_OF_ADDRESSES = frozenset({500, 502, 503, 521, 555})
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
_ABOUT = {Category.REPUTATION: About.ADDRESS, Category.RATE_LIMIT: About.VOLUME}
_NO_RULE = Rule(id="", category=Category.UNKNOWN)
_STAGES = {stage.value: stage for stage in Stage} | {"helo": Stage.EHLO, "end": Stage.DOT}


def classify(reply: Reply, stage: Stage | None, rules: Rules) -> Classification:
    """Judge one reply; code 0 means that none is known. Takes any text and never raises.

    A reply that quotes another is judged by the quoted one, where that says anything.
    """
    told = read(reply.text[:TEXT_LIMIT], reply.code, stage)
    code = reply.code or told.quoted_code
    status = reply.enhanced or _status_in(told.text)
    facts = Facts(words_of(told.text), _codes(code), _statuses(status), told.stage)
    rule = (told.quoted and _rule_of_quoted(told, rules)) or rules.rules.find(facts) or _NO_RULE
    bad_address, veto = rule.category in _BAD_ADDRESS, None
    if bad_address or "x.1.x" in facts.statuses:
        veto = rules.vetoes.find(facts)
    proven = bad_address and rule.suppress and not veto and _may_be_of_recipient(told, code)
    if veto and bad_address:
        rule = veto
    permanent = rule.permanent
    if permanent is None:
        permanent = _is_permanent(code, status, rule.category)
    suppress = permanent and proven
    return Classification(
        category=rule.category,
        permanent=permanent,
        suppress=suppress,
        bounce_class=_bounce_class(rule.category, permanent=permanent, suppress=suppress),
        about=rule.about or _ABOUT.get(rule.category),
        about_sender=Category.SENDER_CONFIG in (rule.category, (veto or rule).category),
        remedy=rule.remedy or rules.remedies.get(rule.category, ""),
        rule=rule.id,
    )


def _rule_of_quoted(told: Reading, rules: Rules) -> Rule | None:
    """The rule for the reply that is quoted; None where it says nothing."""
    statuses = _statuses(_status_in(told.quoted))
    facts = Facts(words_of(told.quoted), _codes(told.quoted_code), statuses, told.stage)
    rule = rules.rules.find(facts)
    return rule if rule and rule.category is not Category.UNKNOWN else None


def _may_be_of_recipient(told: Reading, code: int) -> bool:
    """Whether a reply to this command, with these codes, can be about one recipient at all."""
    return (
        told.stage in (Stage.RCPT, None)
        and code not in _NEVER_OF_ADDRESSES
        and not 400 <= told.quoted_code < 500
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

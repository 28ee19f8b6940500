"""Judge one recipient after one attempt: all failure policy of delivery.

Scope matters: a reply to RCPT concerns this recipient, a reply to MAIL, DATA or the final dot the
message, anything earlier the host. A failure of the host says nothing about the recipient, which
waits. When in doubt, it waits.

Source: RFC 5321 §4.2.1, §4.3.2, §4.5.3.2.6; semantics S-06 to S-18, S-53.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from relayd.mail.attempt import AttemptFacts, Breakdown, RouteKind
from relayd.mail.envelope import QueuedRecipient
from relayd.mail.outcome import Bounced, Classification, Deferred, NotTried, Outcome, Relayed, Sent
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import BounceClass, Category, Fault
from relayd.policy.delivery import login_refusal, retry
from relayd.policy.delivery.retry import RetrySettings
from relayd.policy.replies.classify import classify
from relayd.policy.replies.ruleset import Rules

NO_MAIL_HERE = frozenset({521, 556})  # RFC 7504
REFUSED_FOR_NOW = "refused for now"
EXTRA = "this attempt was asked for by an operator, and does not count"
SPARED = "soft_bounce is on, else this would bounce"
ONCE_MORE = "it bounces if a second look, an hour later, finds the same"
_REFUSES = "the smarthost refuses our login"
_OF_THE_ACCOUNT = frozenset({Stage.MAIL, Stage.DATA, Stage.DOT})
_OF_THE_MESSAGE = frozenset({Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT})


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRules:
    retry: RetrySettings
    classifier: Rules
    soft_bounce: bool = False  # the safety net: nothing bounces


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What the judgement needs to know of time and chance."""

    received_at: datetime  # from when its age counts
    now: datetime
    jitter: float  # from 0 up to 1
    is_report: bool = False  # the message is a report of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What surrounded the attempt."""

    single_recipient: bool = (
        True  # no other recipient in the transaction, whom a refusal may be about
    )
    better_mx_unreachable: bool = False  # a better MX could not be used in this attempt
    all_hosts_refuse: bool = False  # every host says that it takes no mail at all (RFC 7504)
    has_login: bool = True  # to the smarthost; a host of [routes] has none


def decide(
    facts: AttemptFacts,
    recipient: QueuedRecipient,
    rules: VerdictRules,
    *,
    moment: Moment,
    scope: Scope = Scope(),
) -> Outcome:
    """Return what becomes of `recipient`; a bounce says if any attempt may have delivered it.

    With `rules.soft_bounce` what would bounce waits instead, as long as that is so. Its age begins anew each time: once
    switched off, it is the next attempt that decides, and not the time that only the safety net kept the mail.
    """
    outcome = _judge(facts, recipient, rules, moment=moment, scope=scope)
    if isinstance(outcome, Bounced) and rules.soft_bounce:
        return _spared(outcome, facts, recipient, rules, moment)
    if isinstance(outcome, Bounced) and (recipient.possible_duplicate or _is_unknown(facts)):
        return replace(outcome, possible_duplicate=True)
    return outcome


def _judge(
    facts: AttemptFacts,
    recipient: QueuedRecipient,
    rules: VerdictRules,
    *,
    moment: Moment,
    scope: Scope,
) -> Outcome:
    """Judge one attempt by itself.

    2yz after the final dot is Relayed through a smarthost, Sent on a direct route. 5yz to MAIL,
    RCPT, DATA or the dot bounces; 4yz there is a soft bounce, at our smarthost only when it speaks
    of the recipient (4.1.x or 4.2.x, and not about the sender). All else is no verdict: the host is
    to blame, and another try follows. After the dot nothing but 4yz or 5yz says that the message
    was not taken (S-06).

    A smarthost that refuses our login says nothing about any mail (S-53). A host of `[routes]` has no
    login, so one that wants one counts as unreachable, and the mail is given up in the end.

    An attempt that an operator asked for is none of those that the settings allow: it is deferred where
    it would be the last one by their number or by age (S-58). Nor does an attempt that a stop of ours cut off end
    any mail: nobody refused it.

    What the DNS proves bounces too, some of it at a second look only (`retry.SECOND_LOOK`). The 5yz
    of a backup MX does not, while a better one was not to be had: it may be out of date (S-17).
    """
    broken, reply = facts.breakdown, facts.reply
    if broken is not None and broken.status:
        seen_at = recipient.no_mail_host_at
        if not broken.needs_second_look or retry.is_second_look(seen_at, moment.now):
            return _proven(broken)
    ended_by = reply or broken
    if ended_by is not None and login_refusal.ends_in_refusal(facts.stage, ended_by):
        return _login_refused(ended_by)
    if reply is None:
        return _no_verdict(facts, recipient, rules, moment, None)
    if reply.is_positive and facts.stage is Stage.DOT:
        return Relayed() if _is_smarthost(facts) else Sent()
    found = classify(reply, facts.stage, rules.classifier)
    return _of_reply(reply, found, facts, recipient, rules, moment=moment, scope=scope)


def _of_reply(
    reply: Reply,
    found: Classification,
    facts: AttemptFacts,
    recipient: QueuedRecipient,
    rules: VerdictRules,
    *,
    moment: Moment,
    scope: Scope,
) -> Outcome:
    smarthost, why = _is_smarthost(facts), facts.own_refusal
    if smarthost and facts.stage is Stage.MAIL and login_refusal.wants_login(reply, found):
        if scope.has_login:
            return _login_refused(reply)
        why = "the server wants a login or TLS first, and this host of [routes] has no login"
    elif scope.all_hosts_refuse and reply.code in NO_MAIL_HERE:  # of a host, never of an address
        return _bounce(reply, found, proves=False)
    elif facts.stage in _OF_THE_MESSAGE and reply.code != 421:
        if reply.is_permanent and not scope.better_mx_unreachable:
            proves = scope.single_recipient or facts.stage is Stage.RCPT
            return _bounce(reply, found, proves=proves, reason=facts.own_refusal)
        if reply.is_transient and (not smarthost or _speaks_of_the_recipient(reply, found)):
            return _soft(reply, found, recipient, rules, moment)
    return _no_verdict(facts, recipient, rules, moment, found, why=why)


def _spared(
    bounced: Bounced,
    facts: AttemptFacts,
    recipient: QueuedRecipient,
    rules: VerdictRules,
    moment: Moment,
) -> Deferred:
    """Defer what would bounce. No retry is used up by it, and its age begins anew."""
    unknown, jitter = _is_unknown(facts), moment.jitter
    if unknown:
        copies = recipient.unknown_outcomes + 1
        wait = retry.while_copies_are_spared(copies, rules.retry, jitter=jitter)
    else:
        wait = retry.while_spared(recipient.attempt, rules.retry, jitter=jitter)
    return Deferred(
        retry_at=moment.now + wait,
        category=bounced.category,
        fault=bounced.fault,
        reason=f"{SPARED} ({bounced.bounce_class}): {bounced.reason}",
        soft_failures=recipient.soft_failures,
        possible_duplicate=unknown,
        ages_anew=True,
    )


def _bounce(reply: Reply, found: Classification, *, proves: bool, reason: str = "") -> Bounced:
    """A 5yz is never soft, whatever it is about: nothing was tried again (S-09)."""
    suppress = found.suppress and proves
    return Bounced(
        bounce_class=BounceClass.HARD if suppress else BounceClass.BLOCK,
        category=found.category,
        fault=Fault.PEER,
        suppress=suppress,
        reason=reason or found.remedy or "refused for good",
        status=_status(reply, "5"),
    )


def _proven(breakdown: Breakdown) -> Bounced:
    """The DNS says that the domain takes no mail; X.1 says that the address is wrong (RFC 3463 §3.2)."""
    hard = breakdown.category is Category.BAD_DOMAIN and breakdown.status.startswith("5.1.")
    return Bounced(
        bounce_class=BounceClass.HARD if hard else BounceClass.BLOCK,
        category=breakdown.category,
        fault=breakdown.fault,
        suppress=hard,
        reason=breakdown.reason,
        status=breakdown.status,
    )


def _soft(
    reply: Reply,
    found: Classification,
    recipient: QueuedRecipient,
    rules: VerdictRules,
    moment: Moment,
) -> Outcome:
    counts = not (recipient.is_extra and recipient.soft_failures)
    failures = recipient.soft_failures + counts
    wait = retry.after_soft_bounce(failures, rules.retry)
    if wait is None and recipient.is_extra:
        wait = retry.after_extra(rules.retry.soft_bounce, rules.retry)
    if wait is None:
        return Bounced(
            bounce_class=BounceClass.SOFT,
            category=found.category,
            fault=Fault.PEER,
            suppress=False,
            reason=f"refused for now, {failures} times: no further try",
            status=_status(reply, "4"),
        )
    return Deferred(
        retry_at=moment.now + retry.heed(wait, retry.asked_for(reply.text)),
        category=found.category,
        fault=Fault.PEER,
        reason=REFUSED_FOR_NOW if counts else f"{REFUSED_FOR_NOW}; {EXTRA}",
        soft_failures=failures,
    )


def _no_verdict(
    facts: AttemptFacts,
    recipient: QueuedRecipient,
    rules: VerdictRules,
    moment: Moment,
    found: Classification | None,
    *,
    why: str = "",
) -> Outcome:
    category, fault, reason = _blame(facts, found)
    reason = why or reason
    unknown = _is_unknown(facts)
    failures = max(1, recipient.attempt - recipient.soft_failures)
    age = moment.now - moment.received_at - recipient.uncounted
    counts, is_spared = True, False
    wait = retry.after_no_verdict(
        failures, age, rules.retry, jitter=moment.jitter, is_report=moment.is_report
    )
    if wait is None and (recipient.is_extra or _is_cut_off(facts)):
        is_spared = recipient.is_extra
        wait = retry.after_extra(rules.retry.unreachable, rules.retry)
    if wait is None:
        return Bounced(
            bounce_class=BounceClass.SOFT,
            category=Category.EXPIRED,
            fault=fault,
            suppress=False,
            reason=f"given up after {_days(age)}: {reason}",
            status="4.4.7",
        )
    if unknown and fault is not Fault.LOCAL:  # what we tripped over waits until we are fixed
        counts = not (recipient.is_extra and recipient.unknown_outcomes)
        tries = recipient.unknown_outcomes + counts
        wait = retry.after_unknown_outcome(tries, rules.retry, jitter=moment.jitter)
        if wait is None and recipient.is_extra:
            wait = retry.after_extra(rules.retry.unknown_outcome, rules.retry)
        if wait is None:
            return Bounced(
                bounce_class=BounceClass.SOFT,
                category=category,
                fault=fault,
                suppress=False,
                reason=f"no answer to the whole message, {tries} times: it may have arrived; {reason}",
                status="4.4.2",
            )
    if facts.breakdown is not None and facts.breakdown.needs_second_look:
        wait = retry.SECOND_LOOK
        reason = f"{reason}; {ONCE_MORE}"
    elif is_spared or not counts:
        reason = f"{reason}; {EXTRA}"
    asked = None if facts.reply is None else retry.asked_for(facts.reply.text)
    if is_too_fast(facts, category):
        wait = retry.after_too_fast(failures, wait)
    return Deferred(
        retry_at=moment.now + retry.heed(wait, asked),
        category=category,
        fault=fault,
        reason=reason,
        soft_failures=recipient.soft_failures,
        possible_duplicate=unknown,
        counts=counts,
    )


def _days(age: timedelta) -> str:
    return f"{age.days} days" if age.days > 1 else f"{age // timedelta(hours=1)} hours"


def _blame(facts: AttemptFacts, found: Classification | None) -> tuple[Category, Fault, str]:
    if facts.breakdown is not None:
        return facts.breakdown.category, facts.breakdown.fault, facts.breakdown.reason
    category = Category.UNKNOWN if found is None else found.category
    return category, Fault.PEER, f"the server cannot take mail now ({facts.stage})"


def _is_unknown(facts: AttemptFacts) -> bool:
    """The server has all of the message, and only 4yz and 5yz promise that it was not taken (S-06)."""
    reply = facts.reply
    return facts.dot_sent and (reply is None or not (reply.is_transient or reply.is_permanent))


def _is_cut_off(facts: AttemptFacts) -> bool:
    return facts.breakdown is not None and facts.breakdown.by_stop


def _status(reply: Reply, class_: str) -> str:
    """The status to report: the server's own where it is of the class of the failure."""
    enhanced = reply.enhanced or ""
    return enhanced if enhanced[:1] == class_ else f"{class_}.0.0"


def is_of_the_host(facts: AttemptFacts, rules: Rules) -> bool:
    """Tell whether a smarthost has no verdict about the recipient, so that another host of it may take the mail.

    It said a 4yz of its own. A rate is that of the account, on all hosts.
    421 ends a session; before the final dot the next host follows anyhow.
    """
    reply = facts.reply
    if reply is None or not reply.is_transient or reply.code == 421:
        return False
    if facts.stage not in _OF_THE_MESSAGE or not _is_smarthost(facts):
        return False
    found = classify(reply, facts.stage, rules)
    is_own = not _speaks_of_the_recipient(reply, found)
    return is_own and found.category is not Category.RATE_LIMIT


def wants_login(facts: AttemptFacts, rules: Rules) -> bool:
    """Tell whether a smarthost wants a login at MAIL (S-53)."""
    reply = facts.reply
    if reply is None or facts.stage is not Stage.MAIL or not _is_smarthost(facts):
        return False
    return login_refusal.wants_login(reply, classify(reply, facts.stage, rules))


def is_too_fast(facts: AttemptFacts, category: Category) -> bool:
    """Tell whether a smarthost says that our account sends too much, which is about no recipient.

    What is said to RCPT may be about that recipient. 421 ends a connection, and there are fewer of them from then on.
    """
    reply = facts.reply
    return (
        category is Category.RATE_LIMIT
        and _is_smarthost(facts)
        and facts.stage in _OF_THE_ACCOUNT
        and reply is not None
        and reply.is_transient
        and reply.code != 421
        and not (reply.enhanced or "").startswith(("4.1.", "4.2."))
    )


def _is_smarthost(facts: AttemptFacts) -> bool:
    return facts.peer is not None and facts.peer.route is RouteKind.SMARTHOST


def _login_refused(ended_by: Reply | Breakdown) -> NotTried:
    if isinstance(ended_by, Breakdown):
        who = "we cannot log in" if ended_by.fault is Fault.LOCAL else _REFUSES
        return NotTried(reason=f"{who}: {ended_by.reason}")
    return NotTried(reason=f"{_REFUSES}: {ended_by}")


def _speaks_of_the_recipient(reply: Reply, found: Classification) -> bool:
    """Not all of 4.1.x does: 4.1.7 and 4.1.8 are about the sender, and so are some words (S-15)."""
    status = reply.enhanced or ""
    about_sender = found.about_sender or status in ("4.1.7", "4.1.8")
    return status.startswith(("4.1.", "4.2.")) and not about_sender

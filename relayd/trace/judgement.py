"""What was decided about a recipient after an attempt, for who looks on."""

from datetime import datetime

from relayd.mail.attempt import AttemptFacts
from relayd.mail.envelope import QueuedRecipient
from relayd.mail.event import kind_of
from relayd.mail.outcome import Bounced, Deferred, NotTried, Outcome
from relayd.mail.words import format_instant
from relayd.policy.delivery.explain import Deferral, rule_used, why_wait
from relayd.policy.delivery.verdict import VerdictRules
from relayd.trace.switch import tracing


def tell_judgement(
    recipient: QueuedRecipient,
    seen: AttemptFacts,
    outcome: Outcome,
    rules: VerdictRules,
    *,
    now: datetime,
) -> None:
    """Tell what becomes of a recipient, by which rule, and when it is tried again and why then."""
    reply = seen.reply
    is_negative = reply is not None and not reply.is_positive
    used = rule_used(reply, seen.stage, rules.classifier) if reply and is_negative else None
    tracing.tell(
        "judged",
        rcpt=recipient.address,
        outcome=kind_of(outcome).value,
        stage=seen.stage.value,
        code=None if reply is None else reply.code,
        bounce_class=outcome.bounce_class.value if isinstance(outcome, Bounced) else None,
        category=outcome.category.value if isinstance(outcome, Bounced | Deferred) else None,
        rule=None if used is None else used.named,
        reason=outcome.reason if isinstance(outcome, Bounced | Deferred | NotTried) else None,
    )
    if not isinstance(outcome, Deferred):
        return
    deferral = Deferral(
        wait=outcome.retry_at - now,
        attempt=recipient.attempt,
        soft_failures=outcome.soft_failures,
        unknown_outcomes=recipient.unknown_outcomes
        + (outcome.possible_duplicate and outcome.counts),
        reason=outcome.reason,
        reply="" if reply is None else reply.text,
        possible_duplicate=outcome.possible_duplicate,
    )
    tracing.tell(
        "retry_planned",
        rcpt=recipient.address,
        next_attempt_at=format_instant(outcome.retry_at),
        reason=why_wait(deferral, rules.retry),
    )

"""Reports to senders: which bounces get one, and its way into the queue.

A report is a message like any other, from the null reverse-path, stored in the very transaction
that records the bounce: if it cannot be queued, the recipient has not bounced (S-11). One for each
message and round, within a budget (S-54); what goes beyond it is recorded and counted, not mailed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

import structlog

from relayd.mail.address import parse_address
from relayd.mail.attempt import AttemptFacts
from relayd.mail.envelope import (
    Client,
    MessageId,
    NewMessage,
    NewRecipient,
    QueuedMessage,
    QueuedRecipient,
    format_id,
)
from relayd.mail.header import read_facts
from relayd.mail.outcome import Bounced
from relayd.policy.dsn import (
    USUAL_LIMITS,
    DsnBudget,
    DsnFacts,
    DsnLimits,
    FailedRecipient,
    compose,
    may_mail,
    wants_report,
)
from relayd.policy.route import RouteRules, key_for
from relayd.ports import Work

FULL_COPY_LIMIT = 50_000  # octets of a message that goes back whole

log = structlog.get_logger()

_ASCII: Mapping[str, str] = MappingProxyType({})
_8BIT: Mapping[str, str] = MappingProxyType({"BODY": "8BITMIME"})
_UTF8: Mapping[str, str] = MappingProxyType({"BODY": "8BITMIME", "SMTPUTF8": ""})


@dataclass(frozen=True, slots=True)
class Failure:
    """A recipient that bounced in this attempt."""

    recipient: QueuedRecipient
    outcome: Bounced
    seen: AttemptFacts


class Reporter:
    """Composes the reports of one worker."""

    def __init__(
        self,
        *,
        fqdn: str,
        routes: RouteRules,
        next_id: Callable[[datetime], MessageId],
        now: datetime,
        workers: int,
    ) -> None:
        self._fqdn = fqdn
        self._routes = routes
        self._next_id = next_id
        self._budget = DsnBudget(at=now)
        self._limits = DsnLimits(
            per_sender=max(1, USUAL_LIMITS.per_sender // workers),
            in_total=max(1, USUAL_LIMITS.in_total // workers),
            window=USUAL_LIMITS.window,
        )

    def report(
        self, work: Work, failures: Sequence[Failure], original: bytes, *, now: datetime
    ) -> NewMessage | None:
        """Return the report on `failures`; None when nobody wants it or the budget is spent."""
        message = work.message
        wanted = [
            failure
            for failure in failures
            if wants_report(message.reverse_path, failure.recipient.parameters, event="failure")
        ]
        if not wanted:
            return None
        fits, self._budget = may_mail(
            self._budget, message.reverse_path, now=now, limits=self._limits
        )
        if not fits:
            log.warning("report_not_mailed", queue_id=format_id(message.id), fault="policy")
            return None
        message_id = self._next_id(now)
        content = compose(
            self._facts(message, message_id, now),
            [_failed(failure, now) for failure in wanted],
            original,
            full_copy_limit=FULL_COPY_LIMIT,
        )
        return self._message(message_id, message.reverse_path, content, now)

    def _facts(self, message: QueuedMessage, message_id: MessageId, now: datetime) -> DsnFacts:
        ret = message.parameters.get("RET", "").upper()
        return DsnFacts(
            reporting_mta=self._fqdn,
            queue_id=format_id(message.id),
            reverse_path=message.reverse_path,
            envelope_id=message.parameters.get("ENVID"),
            received_at=message.received_at,
            received_from=None,
            ret="FULL" if ret == "FULL" else "HDRS" if ret == "HDRS" else None,
            needs_utf8=False,
            now=now,
            token=format_id(message_id).lower(),
        )

    def _message(self, message_id: MessageId, to: str, content: bytes, now: datetime) -> NewMessage:
        facts, _ = read_facts(content)
        needs_utf8 = facts.utf8_headers or not to.isascii()
        return NewMessage(
            id=message_id,
            received_at=now,
            reverse_path=None,
            parameters=_UTF8 if needs_utf8 else _8BIT if facts.is_8bit else _ASCII,
            recipients=(
                NewRecipient(
                    address=parse_address(to),
                    destination=key_for(to, is_test=False, rules=self._routes),
                    parameters=_ASCII,
                ),
            ),
            content=content,
            facts=replace(facts, tag=None),
            client=Client(ip="", helo=self._fqdn, listener="report"),
        )


def _failed(failure: Failure, now: datetime) -> FailedRecipient:
    return FailedRecipient(
        address=failure.recipient.address,
        orig_rcpt=failure.recipient.parameters.get("ORCPT"),
        action="failed",
        status=failure.outcome.status,
        remote_host=None if failure.seen.peer is None else failure.seen.peer.host,
        reply=failure.seen.reply,
        reason=failure.outcome.reason,
        last_attempt_at=now,
        will_retry_until=None,
    )

"""Reports to senders: which outcomes get one, and its way into the queue.

A report is a message like any other, from the null reverse-path, stored in the very transaction
that records what it reports: if it cannot be queued, the recipient has not bounced (S-11). One for each
message and round, within a budget (S-54); what goes beyond it is recorded and counted, not mailed.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

import structlog

from relayd.deliverer.own_message import own_message
from relayd.mail.address import parse_address
from relayd.mail.attempt import AttemptFacts, RouteKind
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage, QueuedMessage, QueuedRecipient
from relayd.mail.ids import MessageId, format_id
from relayd.mail.outcome import Bounced, Deferred, Outcome, Relayed, Sent
from relayd.mail.reply import Reply
from relayd.mail.signing import Signer
from relayd.mail.words import BounceClass, Category, Fault
from relayd.policy.delivery.route import RouteRules
from relayd.policy.delivery.shares import Part, share_of
from relayd.policy.dsn import (
    USUAL_LIMITS,
    Action,
    DsnBudget,
    DsnFacts,
    DsnLimits,
    FailedRecipient,
    Occasion,
    compose,
    occasion_of,
    wants_report,
)
from relayd.policy.intake.aliases import Aliases, receivers_of

FULL_COPY_LIMIT = 50_000  # octets of a message that goes back whole
_LOOKED_AT = 128 * 1024  # octets of any other: its header section is in there

log = structlog.get_logger()

_ACTIONS: Mapping[Occasion, Action] = MappingProxyType(
    {"failure": "failed", "delay": "delayed", "success": "relayed"}
)


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """What became of a recipient, and the attempt that decided it; without one an operator did."""

    recipient: QueuedRecipient
    outcome: Outcome
    seen: AttemptFacts | None


@dataclass(frozen=True, slots=True)
class Unmailed:
    """A report that is wanted and not mailed, since the budget is spent: on whom, by their numbers."""

    recipients: frozenset[int]


class Reporter:
    """Composes the reports of one worker, for any thread."""

    def __init__(
        self,
        *,
        fqdn: str,
        routes: RouteRules,
        next_id: Callable[[datetime], MessageId],
        now: datetime,
        give_up_after: timedelta,
        signer: Signer | None = None,
        aliases: Aliases | None = None,
    ) -> None:
        """`aliases` say where reports to names of this machine go, as other mail to them does."""
        self._aliases = aliases
        self._fqdn = fqdn
        self._routes = routes
        self._next_id = next_id
        self._give_up_after = give_up_after
        self._signer = signer
        self._budget = DsnBudget(USUAL_LIMITS, now=now)
        # By sender and client, since that was last told.
        self._unmailed: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()  # of both

    def divide_by(self, part: Part) -> None:
        """Mail no more than a part of what all workers may.

        Without a part it is what it was: such a worker takes no mail, but what is under way may bounce.
        """
        if not part.is_counted:
            return
        with self._lock:
            self._budget.limit(_share_of(USUAL_LIMITS, part))

    def report(
        self,
        message: QueuedMessage,
        results: Iterable[RecipientResult],
        original: Content,
        *,
        now: datetime,
    ) -> NewMessage | None:
        """Return the report on `results`; None when nobody wants it or the budget is spent."""
        made = self.report_or_lack(message, results, original, now=now)
        return None if isinstance(made, Unmailed) else made

    def report_or_lack(
        self,
        message: QueuedMessage,
        results: Iterable[RecipientResult],
        original: Content,
        *,
        now: datetime,
    ) -> NewMessage | Unmailed | None:
        """Return the report on `results`, or for whom it is lacking; None when nobody wants it."""
        wanted = {
            result.recipient.number: named
            for result in results
            if (named := self._named(message, result, now)) is not None
        }
        if not wanted:
            return None
        with self._lock:
            unmailed = self._budget.may_mail(message.reverse_path, message.account, now=now)
            if unmailed is None:
                self._unmailed[message.reverse_path, message.account] += 1
                return Unmailed(frozenset(wanted))
        message_id = self._next_id(now)
        content = compose(
            self._facts(message, message_id, now, unmailed),
            [*wanted.values()],
            original[:_LOOKED_AT],
            full_copy_limit=FULL_COPY_LIMIT,
        )
        return own_message(
            message_id,
            receivers_of(parse_address(message.reverse_path), self._aliases),
            content,
            fqdn=self._fqdn,
            routes=self._routes,
            now=now,
            signer=self._signer,
        )

    def give_back(self, reverse_path: str, client: str, *, now: datetime) -> None:
        """Count a report no more that is not mailed after all."""
        with self._lock:
            self._budget.give_back(reverse_path, client, now=now)

    def tell_unmailed(self) -> None:
        """Log what was not mailed since the last time: one line, whatever bounced at once."""
        with self._lock:
            unmailed, self._unmailed = +self._unmailed, Counter()
        if unmailed:
            [((sender, client), _)] = unmailed.most_common(1)
            counts = {"reports": unmailed.total(), "senders": len({each for each, _ in unmailed})}
            who = {"from": sender, "client": client}
            log.warning("report_not_mailed", **counts, **who, fault="policy")

    def report_given_up(
        self,
        message: QueuedMessage,
        recipients: Sequence[QueuedRecipient],
        original: Content,
        *,
        reason: str,
        now: datetime,
    ) -> NewMessage | None:
        """Return the report on recipients whom an operator bounces, as `report` does."""
        outcome = Bounced(
            bounce_class=BounceClass.BLOCK,
            category=Category.POLICY,
            fault=Fault.POLICY,
            suppress=False,
            reason=f"given up by the operator of this relay: {reason}".removesuffix(": "),
            status="5.0.0",
        )
        return self.report(
            message,
            [RecipientResult(each, outcome, None) for each in recipients],
            original,
            now=now,
        )

    def _named(
        self, message: QueuedMessage, result: RecipientResult, now: datetime
    ) -> FailedRecipient | None:
        """Return what the report says of a recipient; None when it is not to speak of it."""
        seen = result.seen
        peer = None if seen is None else seen.peer
        occasion = occasion_of(
            result.outcome,
            taken_over=peer is not None and peer.dsn,
            received_at=message.began(now),
            now=now,
        )
        parameters = result.recipient.parameters
        asked = parameters.notify
        if occasion is None or not wants_report(message.reverse_path, asked, event=occasion):
            return None
        reply = None if seen is None or seen.own_refusal else seen.reply  # only what a server said
        return FailedRecipient(
            address=result.recipient.address,
            orig_rcpt=parameters.orcpt,
            action=_ACTIONS[occasion],
            status=_status(result.outcome, reply),
            remote_host=None if seen is None or seen.to_blame is None else seen.to_blame.host,
            reply=reply,
            reason="" if isinstance(result.outcome, Relayed | Sent) else result.outcome.reason,
            stage=None if seen is None else seen.stage,
            is_direct=peer is not None and peer.route is RouteKind.DIRECT,
            category=result.outcome.category if isinstance(result.outcome, Bounced) else None,
            possible_duplicate=result.recipient.possible_duplicate
            or (isinstance(result.outcome, Bounced) and result.outcome.possible_duplicate),
            last_attempt_at=now,
            will_retry_until=message.began(now) + result.recipient.uncounted + self._give_up_after,
        )

    def _facts(
        self, message: QueuedMessage, message_id: MessageId, now: datetime, unmailed: int
    ) -> DsnFacts:
        ret = (message.parameters.ret or "").upper()
        if message.parameters.requiretls:  # nobody knows how the report will go (RFC 8689 §5)
            ret = "HDRS"
        return DsnFacts(
            reporting_mta=self._fqdn,
            queue_id=format_id(message.id),
            reverse_path=message.reverse_path,
            envelope_id=message.parameters.envid,
            received_at=message.received_at,
            received_from=None,
            ret="FULL" if ret == "FULL" else "HDRS" if ret == "HDRS" else None,
            needs_utf8=False,
            now=now,
            token=format_id(message_id).lower(),
            unmailed=unmailed,
            lifts_tls=message.lifts_tls,
        )


def _share_of(limits: DsnLimits, part: Part) -> DsnLimits:
    """Return what one worker may mail: one at least, so that a sender hears of more than a hundred workers, too."""
    return DsnLimits(
        per_box=max(1, share_of(limits.per_box, part)),
        per_domain=max(1, share_of(limits.per_domain, part)),
        per_client=max(1, share_of(limits.per_client, part)),
        in_total=max(1, share_of(limits.in_total, part)),
        window=limits.window,
    )


def _status(outcome: Outcome, reply: Reply | None) -> str:
    """Return the status to report, of the class of the outcome; empty when nobody gave one."""
    if isinstance(outcome, Bounced):
        return outcome.status
    enhanced = "" if reply is None else reply.enhanced or ""
    return enhanced if enhanced[:1] == ("4" if isinstance(outcome, Deferred) else "2") else ""

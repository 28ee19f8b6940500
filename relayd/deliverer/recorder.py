"""From what an attempt saw to what is on record: judge, settle, then log.

`relayd.policy.delivery.verdict` judges, `settlements` says what is written, `results` writes it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from relayd.deliverer.fallbacks import Fallbacks
from relayd.deliverer.nexthop.hosts import HostFailure, LeftAlone
from relayd.deliverer.reports import RecipientResult, Reporter, Unmailed
from relayd.deliverer.results import ResultStore
from relayd.deliverer.settlements import (
    held_by,
    internal_error,
    moved,
    put_back,
    settlement_of,
    unreported,
    with_report,
    without_content,
)
from relayd.deliverer.signing_again import NotSigned, signed_again
from relayd.errors import ContentLost, Shortage
from relayd.mail.address import parse_address
from relayd.mail.attempt import AttemptFacts, Peer
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage, QueuedMessage, QueuedRecipient
from relayd.mail.ids import format_id
from relayd.mail.outcome import Bounced, Outcome, of_other_address
from relayd.mail.pause import rule_for, traits_of
from relayd.mail.signing import Signer
from relayd.policy.delivery.fallback import (
    FALLS_BACK_FOR,
    WARM_UP_FALLS_BACK_FOR,
    refuses_our_address,
)
from relayd.policy.delivery.plan import AT_ONCE, ReturnPaths, Transaction, transactions
from relayd.policy.delivery.retry import lifetime
from relayd.policy.delivery.route import (
    Decision,
    RouteRules,
    diverted_as,
    fallback_of,
    forwarded,
    mx_domain_of,
    smarthost_of,
)
from relayd.policy.delivery.route import facts_of as route_facts_of
from relayd.policy.delivery.verdict import (
    Moment,
    Scope,
    VerdictRules,
    decide,
    is_of_the_host,
    wants_login,
)
from relayd.policy.intake.cut_through import REPORT_AFTER
from relayd.policy.pausing import Pausing
from relayd.policy.rewriting.apply import Rewritten
from relayd.policy.rewriting.choice import Rewriting
from relayd.policy.rewriting.rules import RewriteRefused
from relayd.ports.outward import Clock, EventSink
from relayd.ports.queue import Work
from relayd.trace import tracing
from relayd.trace.judgement import tell_judgement

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRules:
    """What attempts are made and judged by."""

    verdict: VerdictRules
    routes: RouteRules
    paths: ReturnPaths | None  # None: the reverse-path goes out as it came in
    jitter: Callable[[], float]
    recipients_at: Mapping[str, int] = field(
        default_factory=dict
    )  # in one transaction, by route key
    rewriting: Rewriting | None = None
    signer: Signer | None = None  # set where there are keys
    pausing: Pausing = field(default_factory=Pausing)
    fallbacks: Fallbacks | None = None  # None: nothing that is refused goes another way


@dataclass(frozen=True, slots=True)
class AnsweringSite:
    """Whose host of a direct route answered."""

    key: str
    has_another_source: bool = (
        False  # mail that it refuses because of our address may come from another one
    )


NO_SITE = AnsweringSite("")


class Recorder:
    """Judges attempts and records what came of them."""

    def __init__(
        self,
        results: ResultStore,
        *,
        sink: EventSink,
        clock: Clock,
        rules: DeliveryRules,
        reporter: Reporter | None = None,
    ) -> None:
        self.results = results
        self._sink = sink
        self._clock = clock
        self._rules = rules
        self.pausing = rules.pausing
        self._reporter = reporter  # None: reports are off

    async def content_of(self, work: Work) -> Content | None:
        """Return the content to send, None when the attempt is over without it.

        When it is gone, that leaves no trace; when it is lost, the recipients wait for it.
        """
        if work.content is not None:
            return work.content
        try:
            return await self.results.content(work.message.id)
        except ContentLost as lost:
            facts = self.without_content(None, work, lost)
            await self.record(work, [(each, facts) for each in work.recipients])
            return None

    async def leave_paused(
        self, work: Work, recipients: Sequence[QueuedRecipient]
    ) -> Sequence[QueuedRecipient] | None:
        """Hand recipients back, uncounted, whose delivery a pause rule stops; return the others.

        None when they could not be, for the lease was lost, or nobody knows whether they were (S-55): then
        the lease has to be handed back.
        """
        rules = self.pausing
        if rules.stamp[0] != rules.seen:
            rules.look_again()
        now, message = self._clock.now(), work.message
        meant = {each.number: each for each in work.recipients}  # whatever the next hop is told
        paused = [
            each
            for each in recipients
            if rule_for(
                traits_of(message, meant[each.number], work.lease.destination), rules.delivery, now
            )
        ]
        if not paused:
            return recipients
        settlements = [put_back(work, each, reason="paused") for each in paused]
        written = await self.results.settle(work, settlements)
        if written is None or len(written) < len(paused):
            return None
        return [each for each in recipients if each not in paused]

    def now(self) -> datetime:
        return self._clock.now()

    def overdue(
        self, message: QueuedMessage, recipients: Sequence[QueuedRecipient]
    ) -> Sequence[QueuedRecipient]:
        """Return those whose next failed attempt is the last, by their age."""
        now, most = (
            self._clock.now(),
            lifetime(self._rules.verdict.retry, is_report=message.is_report),
        )
        age = now - message.began(now)
        return [each for each in recipients if age - each.uncounted >= most]

    async def transactions(self, work: Work, content: Content) -> Sequence[Transaction]:
        """Return the envelopes that the next hop is given; none: the recipients wait, and that is on record.

        Raises Shortage, when content that is to be rewritten cannot be read now.
        """
        rules = self._rules
        given: Rewritten | None = Rewritten(reverse_path=work.message.reverse_path, content=content)
        if rules.rewriting is not None:
            given = await self._rewritten(rules.rewriting, work, content)
        if given is None:
            return ()
        return transactions(
            work.message,
            work.recipients,
            rules.routes,
            rules.paths,
            given,
            at_once=rules.recipients_at.get(work.lease.destination, AT_ONCE),
        )

    async def _rewritten(
        self, rewriting: Rewriting, work: Work, content: Content
    ) -> Rewritten | None:
        sender, destination = work.message.reverse_path, work.lease.destination
        try:
            now = self._clock.now()
            given = rewriting.given(sender, content, destination, now)
            if (signer := self._rules.signer) is not None:
                given = await signed_again(given, work.message, content, signer, now)
        except RewriteRefused as refused:
            await self._hold("rewrite", work, str(refused))
            return None
        except NotSigned as unsigned:
            await self._hold("[[dkim]]", work, str(unsigned))
            return None
        except Shortage:
            raise
        except ContentLost as lost:
            facts = self.without_content(None, work, lost)
        except Exception:  # as in `Sessions.deliver`
            log.exception("attempt_failed", queue_id=format_id(work.message.id), fault="local")
            facts = self.internal_error(None)
        else:
            return given
        await self.record(work, [(each, facts) for each in work.recipients])
        return None

    async def _hold(self, by: str, work: Work, reason: str) -> None:
        """Hold recipients whose message a rule would make one that may not be sent; `by` is what says so."""
        now = self._clock.now()
        held = [held_by(by, work, each, reason, at=now) for each in work.recipients]
        addresses = {recipient.number: recipient.address for recipient in work.recipients}
        for settlement in await self.results.settle(work, held) or ():
            for event in settlement.events:
                self._sink.record(event, work.message, addresses[settlement.recipient])

    def without_content(self, peer: Peer | None, work: Work, lost: ContentLost) -> AttemptFacts:
        """Log that content is lost; return the facts of a transaction that ended for want of it."""
        queue_id = format_id(work.message.id)
        log.error("content_lost", queue_id=queue_id, fault="local", reason=str(lost))
        return without_content(peer, str(lost), at=self._clock.now())

    def is_of_the_host(self, facts: AttemptFacts) -> bool:
        """Tell whether a smarthost has no verdict on the recipient, so that another host of it may take the mail."""
        return is_of_the_host(facts, self._rules.verdict.classifier)

    def wants_login(self, facts: AttemptFacts) -> bool:
        """Tell whether a smarthost wants a login at MAIL."""
        return wants_login(facts, self._rules.verdict.classifier)

    def internal_error(self, peer: Peer | None) -> AttemptFacts:
        """Return the facts of an attempt that a bug of ours ended, with a peer in a transaction."""
        return internal_error(peer, at=self._clock.now())

    async def record(
        self,
        work: Work,
        facts: Sequence[tuple[QueuedRecipient, AttemptFacts]],
        failures: Sequence[HostFailure] = (),
        *,
        better_mx_unreachable: bool = False,
        all_hosts_refuse: bool = False,
        site: AnsweringSite = NO_SITE,
        content: Content = b"",
        rewritten: Sequence[str] = (),
    ) -> Sequence[Outcome] | None:
        """Judge each recipient and commit the outcomes; `failures` are the hosts tried before.

        `better_mx_unreachable`: one of those is a better MX than the one that answered (S-17).
        `all_hosts_refuse`: every host of a direct route says that it takes no mail (S-16). `site` is whose
        host answered. `content`
        is what a report on bounces returns; `rewritten` says what the next hop was given in the place of it.
        None when the lease was lost: the results are discarded, and nothing more may be sent under it.
        """
        now = self._clock.now()
        scope = Scope(
            single_recipient=len(facts) == 1,
            better_mx_unreachable=better_mx_unreachable,
            all_hosts_refuse=all_hosts_refuse,
            has_login=smarthost_of(work.lease.destination) is not None,
        )
        others = self._redirected(work) if self._rules.routes.redirect_to is not None else {}
        outcomes = [self._judge(work, recipient, seen, scope, now) for recipient, seen in facts]
        if others:
            outcomes = [
                of_other_address(outcome) if recipient.number in others else outcome
                for (recipient, _), outcome in zip(facts, outcomes, strict=True)
            ]
        refused = self._refused_for_us(work, facts, outcomes)
        ways: Mapping[int, Decision | None] = dict.fromkeys(refused)
        if refused and not site.has_another_source:
            ways = await self._other_ways(work, refused, site.key)
        final = [
            each for each in zip(facts, outcomes, strict=True) if each[0][0].number not in ways
        ]
        report = self._report(work, final, content, now)
        settlements = [
            moved(work, recipient, seen, ways[recipient.number], failures=failures, at=now)
            if recipient.number in ways
            else settlement_of(
                work,
                recipient,
                seen,
                outcome,
                failures=failures,
                at=now,
                redirected_to=others.get(recipient.number),
                rewritten=rewritten,
            )
            for (recipient, seen), outcome in zip(facts, outcomes, strict=True)
        ]
        if isinstance(report, Unmailed):
            lacking, report = report.recipients, None
            settlements = [
                unreported(each) if each.recipient in lacking else each for each in settlements
            ]
        if report is not None and work.message.is_awaited:  # its client may be told instead
            report = replace(report, not_before=now + REPORT_AFTER)
            settlements = [with_report(each, report.id) for each in settlements]
        written = await self.results.settle(work, settlements, [report] if report else [])
        if written is None:
            return None
        addresses = {recipient.number: recipient.address for recipient in work.recipients}
        for settlement in written:
            for event in settlement.events:
                self._sink.record(event, work.message, addresses[settlement.recipient])
        if written and report is not None:  # after what it reports
            self._sink.received(report)
        return outcomes

    def is_diverted(self, destination: str) -> bool:
        """Tell whether mail of a destination goes another way now."""
        fallbacks = self._rules.fallbacks
        return fallbacks is not None and mx_domain_of(destination) in fallbacks

    async def divert(self, work: Work, alone: LeftAlone) -> bool:
        """Let mail go by the smarthost whose site is left alone for long; tell whether any of this may."""
        fallbacks, domain = self._rules.fallbacks, mx_domain_of(work.lease.destination)
        if fallbacks is None or domain is None or not alone.is_for_long:
            return False
        facts = route_facts_of(work.message)
        if not any(
            fallback_of(parse_address(each.address), facts, self._rules.routes)
            for each in work.recipients
        ):
            return False
        lasts = WARM_UP_FALLS_BACK_FOR if alone.is_warm_up else FALLS_BACK_FOR
        # The site said nothing of the addresses that other senders have.
        name = diverted_as(domain, facts, self._rules.routes)
        is_told = not alone.is_warm_up
        await fallbacks.begin(name, alone.site, alone.reply, lasts=lasts, is_told=is_told)
        return True

    def _refused_for_us(
        self,
        work: Work,
        facts: Sequence[tuple[QueuedRecipient, AttemptFacts]],
        outcomes: Sequence[Outcome],
    ) -> Mapping[int, tuple[QueuedRecipient, AttemptFacts]]:
        """Return the recipients who would bounce because of our address, by their numbers."""
        sender, classifier = work.message.reverse_path, self._rules.verdict.classifier
        return {
            recipient.number: (recipient, seen)
            for (recipient, seen), outcome in zip(facts, outcomes, strict=True)
            if isinstance(outcome, Bounced) and refuses_our_address(seen, sender, classifier)
        }

    async def _other_ways(
        self,
        work: Work,
        refused: Mapping[int, tuple[QueuedRecipient, AttemptFacts]],
        site: str,
    ) -> Mapping[int, Decision]:
        """Return where those go whom no address of ours reaches, by their numbers; note it first."""
        fallbacks, rules, ways = self._rules.fallbacks, self._rules, dict[int, Decision]()
        domain = mx_domain_of(work.lease.destination)
        if fallbacks is None or domain is None:
            return ways
        meant = {each.number: each for each in work.recipients}
        for number, (recipient, seen) in refused.items():
            address = parse_address(meant.get(number, recipient).address)
            facts = route_facts_of(work.message)
            way = fallback_of(address, facts, rules.routes)
            if way is not None:
                if not ways:
                    name = diverted_as(domain, facts, rules.routes)
                    await fallbacks.begin(name, site, str(seen.reply))
                ways[number] = way
        return ways

    def _redirected(self, work: Work) -> Mapping[int, str]:
        """Return the addresses that the next hop is given in the place of others, by recipient."""
        rules = self._rules.routes
        return {
            each.number: told
            for each in work.recipients
            if (told := str(forwarded(parse_address(each.address), rules))) != each.address
        }

    def _judge(
        self,
        work: Work,
        recipient: QueuedRecipient,
        seen: AttemptFacts,
        scope: Scope,
        now: datetime,
    ) -> Outcome:
        rules = self._rules
        moment = Moment(
            received_at=work.message.began(now),
            now=now,
            jitter=rules.jitter(),
            is_report=work.message.is_report,
        )
        outcome = decide(seen, recipient, rules.verdict, moment=moment, scope=scope)
        if tracing.is_on:
            tell_judgement(recipient, seen, outcome, rules.verdict, now=now)
        return outcome

    def _report(
        self,
        work: Work,
        judged: Iterable[tuple[tuple[QueuedRecipient, AttemptFacts], Outcome]],
        content: Content,
        now: datetime,
    ) -> NewMessage | Unmailed | None:
        if self._reporter is None:
            return None
        meant = {each.number: each for each in work.recipients}  # whatever the next hop was told
        results = (
            RecipientResult(meant.get(recipient.number, recipient), outcome, seen)
            for (recipient, seen), outcome in judged
        )
        return self._reporter.report_or_lack(work.message, results, content, now=now)

"""From what an attempt saw to what is on record: judge, settle, then log.

The deliverer's only way into the store for results. When the store cannot take a result, no
further attempt is started until it can (S-52); a result whose lease was lost is discarded.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from relayd.deliverer.nexthop.hosts import HostFailure
from relayd.deliverer.reports import RecipientResult, Reporter
from relayd.errors import CommitUnknown, ContentLost, LeaseLost, StoreError
from relayd.mail.attempt import AttemptFacts, Breakdown, Peer
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage, QueuedRecipient
from relayd.mail.event import Event, attempt_detail, kind_of
from relayd.mail.ids import format_id
from relayd.mail.outcome import Bounced, Held, NotTried, Outcome, Rerouted
from relayd.mail.reply import Stage
from relayd.mail.words import Category, Detail, EventKind, Fault
from relayd.policy.plan import ReturnPaths, Transaction, transactions
from relayd.policy.route import HOLD, SMARTHOST, RouteRules, key_for
from relayd.policy.verdict import Moment, Scope, VerdictRules, decide
from relayd.ports.outward import Clock, EventSink
from relayd.ports.queue import Lease, QueueStore, Settlement, Work
from relayd.trace import tracing
from relayd.trace.judgement import tell_judgement

_RETRY_STORE = 1.0  # seconds between tries to use the store

log = structlog.get_logger()


class Recorder:
    """Judges attempts by `rules` and records what came of them."""

    def __init__(
        self,
        *,
        store: QueueStore,
        sink: EventSink,
        clock: Clock,
        rules: VerdictRules,
        routes: RouteRules,
        jitter: Callable[[], float],
        reporter: Reporter | None = None,
        paths: ReturnPaths | None = None,
    ) -> None:
        self._store = store
        self._sink = sink
        self._clock = clock
        self._rules = rules
        self._routes = routes
        self._reporter = reporter  # None: reports are off
        self._paths = paths  # None: the reverse-path goes out as it came in
        self._jitter = jitter
        self._well = asyncio.Event()
        self._is_readable = True  # the store, when content was last asked for
        self._well.set()

    @property
    def is_paused(self) -> bool:
        """Results cannot be recorded now."""
        return not self._well.is_set()

    async def ready(self) -> None:
        """Wait until results can be recorded."""
        if not self._well.is_set():
            await self._well.wait()

    async def content_of(self, work: Work) -> Content | None:
        """Return the content to send, None when the attempt is over without it.

        When it is gone, that leaves no trace; when it is lost, the recipients wait for it.
        """
        if work.content is not None:
            return work.content
        while True:
            try:
                content = await self._store.content(work.message.id)
            except ContentLost as lost:
                await self._defer_without_content(work, lost)
                return None
            except StoreError as error:  # when it can be read again, it need not be writable
                if self._is_readable:  # one line for all that wait
                    queue_id, reason = format_id(work.message.id), str(error)
                    log.warning("content_not_read", queue_id=queue_id, fault="local", reason=reason)
                self._is_readable = False
            else:
                self._is_readable = True
                return content
            await asyncio.sleep(_RETRY_STORE)

    async def _defer_without_content(self, work: Work, lost: ContentLost) -> None:
        facts = self.without_content(None, work, lost)
        await self.record(work, [(each, facts) for each in work.recipients])

    def transactions(self, work: Work) -> list[Transaction]:
        """Return the envelopes that the next hop is given."""
        return transactions(work.message, work.recipients, self._routes, self._paths)

    def belongs(self, work: Work) -> bool:
        """Tell whether all of `work` goes to its destination still.

        The settings may have changed since the route key was stored.
        """
        stays = {work.lease.destination} - {HOLD}
        return all(self._key(work, each) in stays for each in work.recipients)

    async def reroute(self, work: Work) -> Work | None:
        """Return `work` with the recipients that still belong to its destination; None if none does.

        The others are moved to where they go now, or held by a rule.
        """
        keys = {each.number: self._key(work, each) for each in work.recipients}
        stays = {work.lease.destination} - {HOLD}
        misrouted = [each for each in work.recipients if keys[each.number] not in stays]
        settlements = [self._rerouted(work, each, keys[each.number]) for each in misrouted]
        written = await self._settle(work, settlements)
        if written is None:
            return None  # all of it has another owner by now
        self._log(work, written)
        left = tuple(each for each in work.recipients if each not in misrouted)
        return replace(work, recipients=left) if left else None

    def _key(self, work: Work, recipient: QueuedRecipient) -> str:
        return key_for(recipient.address, is_test=work.message.is_test, rules=self._routes)

    def _rerouted(self, work: Work, recipient: QueuedRecipient, key: str) -> Settlement:
        events: tuple[Event, ...] = ()
        if key == HOLD:
            detail = {"by": "[routes]", "reason": "the settings hold this domain"}
            events = (self._event(EventKind.HELD, work, recipient, detail),)
        return Settlement(
            message_id=work.message.id,
            recipient=recipient.number,
            outcome=Held() if key == HOLD else Rerouted(key),
            events=events,
            attempt=recipient.attempt,
        )

    def _event(
        self,
        kind: EventKind,
        work: Work,
        recipient: QueuedRecipient,
        detail: Detail,
        *,
        at: datetime | None = None,
    ) -> Event:
        """Return an event of now, or of `at`."""
        return Event(
            kind=kind,
            at=at or self._clock.now(),
            message_id=work.message.id,
            recipient=recipient.number,
            detail=detail,
        )

    def without_content(self, peer: Peer | None, work: Work, lost: ContentLost) -> AttemptFacts:
        """Return the facts of a transaction that ended, or did not begin, for want of content."""
        queue_id = format_id(work.message.id)
        log.error("content_lost", queue_id=queue_id, fault="local", reason=str(lost))
        stage = Stage.CONNECT if peer is None else Stage.DATA
        return self._internal_error(peer, stage, str(lost), dot_sent=False)

    def internal_error(self, peer: Peer | None) -> AttemptFacts:
        """Return the facts of an attempt that a bug of ours ended.

        With a peer it was a transaction, and nobody knows how far in; None: on the way to one.
        """
        reason = "an error inside relayd: the operational log has it"
        if peer is None:
            return self._internal_error(None, Stage.CONNECT, reason, dot_sent=False)
        return self._internal_error(peer, Stage.MAIL, reason, dot_sent=True)

    def _internal_error(
        self, peer: Peer | None, stage: Stage, reason: str, *, dot_sent: bool
    ) -> AttemptFacts:
        return AttemptFacts(
            peer=peer,
            stage=stage,
            reply=None,
            breakdown=Breakdown(category=Category.UNKNOWN, fault=Fault.LOCAL, reason=reason),
            dot_sent=dot_sent,
            started_at=self._clock.now(),
            connect_for=timedelta(),
            transaction_for=timedelta(),
        )

    async def record(
        self,
        work: Work,
        facts: Sequence[tuple[QueuedRecipient, AttemptFacts]],
        failures: Sequence[HostFailure] = (),
        *,
        better_mx_unreachable: bool = False,
        all_hosts_refuse: bool = False,
        content: Content = b"",
    ) -> Sequence[Outcome] | None:
        """Judge each recipient and commit the outcomes; `failures` are the hosts tried before.

        `better_mx_unreachable`: one of those is a better MX than the one that answered (S-17). `all_hosts_refuse`:
        every host of a direct route says that it takes no mail (S-16). `content` is
        what a report on bounces returns.
        None when the lease was lost: the results are discarded, and nothing more may be sent under it.
        """
        scope = Scope(
            single_recipient=len(facts) == 1,
            better_mx_unreachable=better_mx_unreachable,
            all_hosts_refuse=all_hosts_refuse,
            has_login=work.lease.destination == SMARTHOST,
        )
        outcomes = [self._judge(work, recipient, seen, scope) for recipient, seen in facts]
        settlements = [
            self._settlement(work, recipient, seen, outcome, failures)
            for (recipient, seen), outcome in zip(facts, outcomes, strict=True)
        ]
        report = self._report(work, zip(facts, outcomes, strict=True), content)
        written = await self._settle(work, settlements, [report] if report is not None else [])
        if written is None:
            return None
        if written and report is not None:
            self._sink.received(report)
        self._log(work, written)
        return outcomes

    def _log(self, work: Work, written: Sequence[Settlement]) -> None:
        addresses = {recipient.number: recipient.address for recipient in work.recipients}
        for settlement in written:
            for event in settlement.events:
                self._sink.record(event, work.message, addresses[settlement.recipient])

    def _report(
        self,
        work: Work,
        judged: Iterable[tuple[tuple[QueuedRecipient, AttemptFacts], Outcome]],
        content: Content,
    ) -> NewMessage | None:
        if self._reporter is None:
            return None
        meant = {each.number: each for each in work.recipients}  # whatever the next hop was told
        results = (
            RecipientResult(meant.get(recipient.number, recipient), outcome, seen)
            for (recipient, seen), outcome in judged
        )
        return self._reporter.report(work.message, results, content, now=self._clock.now())

    def _judge(
        self, work: Work, recipient: QueuedRecipient, seen: AttemptFacts, scope: Scope
    ) -> Outcome:
        now = self._clock.now()
        moment = Moment(
            received_at=work.message.began(now),
            now=now,
            jitter=self._jitter(),
            is_report=work.message.is_report,
        )
        outcome = decide(seen, recipient, self._rules, moment=moment, scope=scope)
        if tracing.is_on:
            tell_judgement(recipient, seen, outcome, self._rules, now=now)
        return outcome

    def _settlement(
        self,
        work: Work,
        recipient: QueuedRecipient,
        seen: AttemptFacts,
        outcome: Outcome,
        failures: Sequence[HostFailure],
    ) -> Settlement:
        detail = attempt_detail(
            seen,
            outcome,
            attempt=recipient.attempt,
            queued_for=seen.started_at - work.message.received_at,
        )
        event = self._event(kind_of(outcome), work, recipient, detail)
        earlier = [self._earlier(work, recipient, failure) for failure in failures]
        reply = seen.reply
        proof = outcome.status if reply is None and isinstance(outcome, Bounced) else None
        return Settlement(
            message_id=work.message.id,
            recipient=recipient.number,
            outcome=outcome,
            events=(*earlier, event),
            attempt=recipient.attempt,
            code=None if reply is None else reply.code,
            enhanced=proof if reply is None else reply.enhanced,
            reply=None if reply is None else str(reply),
            remote_host=None if seen.peer is None else seen.peer.host,
        )

    def _earlier(self, work: Work, recipient: QueuedRecipient, failure: HostFailure) -> Event:
        seen = facts_of(failure)
        detail = attempt_detail(
            seen,
            NotTried(reason=str(failure.failed)),
            attempt=recipient.attempt,
            queued_for=seen.started_at - work.message.received_at,
        )
        return self._event(EventKind.ATTEMPTED, work, recipient, detail, at=failure.at)

    async def remark(self, lease: Lease, why: str) -> None:
        """Tell people what a destination waits for; where that cannot be stored it is not told."""
        try:
            await self._store.remark(lease, why)
        except CommitUnknown:
            raise
        except StoreError as error:
            log.info("remark_failed", fault="local", reason=str(error))

    async def _settle(
        self,
        work: Work,
        settlements: Sequence[Settlement],
        reports: Sequence[NewMessage] = (),
    ) -> Sequence[Settlement] | None:
        """Commit, however often it takes; no attempt starts meanwhile (S-52).

        Return what was written, None when the lease was lost.
        """
        while True:
            try:
                written = await self._store.settle(work.lease, settlements, reports)
            except CommitUnknown:
                raise
            except LeaseLost as lost:
                self._recover()
                queue_id = format_id(work.message.id)
                log.warning("result_discarded", queue_id=queue_id, reason=str(lost))
                return None
            except StoreError as error:
                if self._well.is_set():
                    log.critical("deliveries_paused", fault="local", reason=str(error))
                self._well.clear()
                await asyncio.sleep(_RETRY_STORE)
            else:
                self._recover()
                return written

    def _recover(self) -> None:
        """The store has answered, if only that the lease is lost."""
        if not self._well.is_set():
            log.info("deliveries_resumed")
        self._well.set()


def facts_of(failure: HostFailure) -> AttemptFacts:
    """Return a failed session as the facts of an attempt."""
    if failure.facts is not None:
        return failure.facts
    failed = failure.failed
    peer = failed.peer or Peer(
        route=failure.route,
        host=failure.host.host,
        ip="",
        port=failure.host.port,
        local_ip="",
        helo="",
        tls=None,
    )
    return AttemptFacts(
        peer=peer,
        stage=failed.stage,
        reply=failed.reply,
        breakdown=failed.breakdown,
        dot_sent=False,
        started_at=failure.at,
        connect_for=timedelta(),
        transaction_for=timedelta(),
    )

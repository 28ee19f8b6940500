"""From what an attempt saw to what is on record: judge, settle, then log.

The deliverer's only way into the store for results. When the store cannot take a result, no
further attempt is started until it can (S-52); a result whose lease was lost is discarded.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from relayd.deliverer.hosts import HostFailure
from relayd.errors import CommitUnknown, LeaseLost, StoreError
from relayd.mail.attempt import AttemptFacts, Peer, RouteKind
from relayd.mail.envelope import QueuedRecipient, format_id
from relayd.mail.event import Event, EventKind, attempt_detail, kind_of
from relayd.mail.outcome import NotTried, Outcome
from relayd.policy.verdict import Moment, VerdictRules, decide
from relayd.ports import Clock, EventSink, QueueStore, Settlement, Work

_RETRY_STORE = 1.0  # seconds between tries to record a result

log = structlog.get_logger()


class Courier:
    """Judges attempts by `rules` and records what came of them."""

    def __init__(
        self,
        *,
        store: QueueStore,
        sink: EventSink,
        clock: Clock,
        rules: VerdictRules,
        jitter: Callable[[], float],
    ) -> None:
        self._store = store
        self._sink = sink
        self._clock = clock
        self._rules = rules
        self._jitter = jitter
        self._well = asyncio.Event()
        self._well.set()

    async def ready(self) -> None:
        """Wait until results can be recorded."""
        if not self._well.is_set():
            await self._well.wait()

    async def content_of(self, work: Work) -> bytes | None:
        """Return the content to send; None when it is gone, which ends the attempt without a trace."""
        if work.content is not None:
            return work.content
        return await self._store.content(work.message.id)

    async def record(
        self,
        work: Work,
        facts: Sequence[tuple[QueuedRecipient, AttemptFacts]],
        failures: Sequence[HostFailure] = (),
    ) -> Sequence[Outcome]:
        """Judge each recipient and commit the outcomes; `failures` are the hosts tried before."""
        outcomes = [self._judge(work, recipient, seen) for recipient, seen in facts]
        settlements = [
            self._settlement(work, recipient, seen, outcome, failures)
            for (recipient, seen), outcome in zip(facts, outcomes, strict=True)
        ]
        addresses = {recipient.number: recipient.address for recipient, _ in facts}
        for settlement in await self._settle(work, settlements):
            for event in settlement.events:
                self._sink.record(event, work.message, addresses[settlement.recipient])
        return outcomes

    def _judge(self, work: Work, recipient: QueuedRecipient, seen: AttemptFacts) -> Outcome:
        moment = Moment(
            received_at=work.message.received_at, now=self._clock.now(), jitter=self._jitter()
        )
        return decide(seen, recipient, self._rules, moment=moment)

    def _settlement(
        self,
        work: Work,
        recipient: QueuedRecipient,
        seen: AttemptFacts,
        outcome: Outcome,
        failures: Sequence[HostFailure],
    ) -> Settlement:
        now = self._clock.now()
        detail = attempt_detail(
            seen,
            outcome,
            attempt=recipient.attempt,
            queued_for=seen.started_at - work.message.received_at,
        )
        event = Event(
            kind=kind_of(outcome),
            at=now,
            message_id=work.message.id,
            recipient=recipient.number,
            detail=detail,
        )
        earlier = [self._earlier(work, recipient, failure) for failure in failures]
        reply = seen.reply
        return Settlement(
            message_id=work.message.id,
            recipient=recipient.number,
            outcome=outcome,
            events=(*earlier, event),
            code=None if reply is None else reply.code,
            enhanced=None if reply is None else reply.enhanced,
            reply=None if reply is None else str(reply),
            remote_host=None if seen.peer is None else seen.peer.host,
        )

    def _earlier(self, work: Work, recipient: QueuedRecipient, failure: HostFailure) -> Event:
        seen = facts_of(failure)
        detail = attempt_detail(
            seen,
            NotTried(reason=str(failure.failed)),
            attempt=recipient.attempt,
            queued_for=failure.at - work.message.received_at,
        )
        return Event(
            kind=EventKind.ATTEMPTED,
            at=failure.at,
            message_id=work.message.id,
            recipient=recipient.number,
            detail=detail,
        )

    async def _settle(self, work: Work, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
        """Commit; return what was written: nothing when the lease was lost."""
        while True:
            try:
                written = await self._store.settle(work.lease, settlements)
            except LeaseLost as lost:
                log.warning(
                    "result_discarded", queue_id=format_id(work.message.id), reason=str(lost)
                )
                return ()
            except CommitUnknown:
                raise
            except StoreError as error:
                if self._well.is_set():
                    log.critical("deliveries_paused", fault="local", reason=str(error))
                self._well.clear()
                await asyncio.sleep(_RETRY_STORE)
            else:
                if not self._well.is_set():
                    log.info("deliveries_resumed")
                self._well.set()
                return written


def facts_of(failure: HostFailure) -> AttemptFacts:
    """Return a failed session as the facts of an attempt."""
    failed = failure.failed
    peer = failed.peer or Peer(
        route=RouteKind.SMARTHOST,
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

"""Where the events of a worker go after their commit: the status log, and beside it the counters."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from relayd.logs.status import StatusLog
from relayd.mail.envelope import NewMessage, QueuedMessage
from relayd.mail.event import Event, check_events
from relayd.mail.ids import received_at_of
from relayd.mail.words import Detail
from relayd.metrics.counters import Counters
from relayd.ports.outbox import Settled
from relayd.ports.queue import Acted

_AT_ONCE = timedelta()


class Events:
    """`relayd.ports.outward.EventSink`: one line for each event, and each event counted."""

    def __init__(self, log: StatusLog, counters: Counters) -> None:
        self.log = log
        self._counters = counters
        # Gets the events of messages whose clients wait for them.
        self.on_awaited: Callable[[Event], object] = bool

    def received(self, message: NewMessage) -> None:
        self._counters.received(len(message.recipients), dkim=message.dkim)
        if message.has_findings:
            for event in check_events(message):
                self._counters.event(event.kind, event.detail, _AT_ONCE)
        self.log.received(message)

    def record(self, event: Event, message: QueuedMessage, address: str) -> None:
        self._counters.event(event.kind, event.detail, event.at - message.received_at)
        self.log.record(event, message, address)
        if message.is_awaited:
            self.on_awaited(event)

    def acted(self, event: Event) -> None:
        waited = event.at - received_at_of(event.message_id)
        self._counters.event(event.kind, event.detail, waited)
        self.log.acted(event)

    def acts(self, acted: Acted) -> None:
        """Note all that a verb has changed."""
        for event in acted.events:
            self.acted(event)
        for report in acted.reports:
            self.received(report)

    def told(self, settled: Sequence[Settled]) -> None:
        """Count what became of webhooks; the status log has no lines for that, but for mail about them."""
        for each in settled:
            self._counters.told(each.result)
            if each.mail is not None:
                self.received(each.mail)

    def refused(self, at: datetime, detail: Detail, *, is_written: bool = True) -> None:
        self._counters.refused(detail.get("code"))
        if is_written:
            self.log.refused(at, detail)

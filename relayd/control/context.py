"""What the control socket can reach in the worker that answers."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from relayd.control.log_ins import LogIns
from relayd.control.protocol import Message
from relayd.control.set_keys import KeyChanges
from relayd.mail.words import JsonValue
from relayd.metrics.families import Sample
from relayd.ports.oidc import IdentityProvider
from relayd.ports.outbox import Settled, TellsDisabled
from relayd.ports.queue import Acted, QueueStore, ReportGivenUp
from relayd.ports.requeue import SendsAgain
from relayd.settings import Settings
from relayd.trace.wanted import Wanted


class Lines(Protocol):
    """What somebody follows."""

    async def send_to(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send lines of JSON, until cancelled."""
        ...


Follows = Callable[[Wanted, Callable[[], None]], Lines]
"""What the verb `trace` answers. The second argument is called once all workers tell, or when who follows leaves before that. Raises RelaydError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlContext:
    """What a request can reach in a worker."""

    store: QueueStore
    on_change: Callable[[], None]  # wakes the deliverer
    on_pauses: Callable[[], None]  # has all workers look at the pause rules; wakes the deliverer
    now: Callable[[], datetime]
    record: Callable[[Acted], None]  # gets every change, once it is durable
    info: Callable[[], Mapping[str, JsonValue]]  # what the verb `status` answers
    oldest_kept: Callable[[], datetime]  # what was finished before may be deleted
    settings: Settings  # those that this worker runs with
    reload: Callable[[], Awaitable[Message]]  # has the daemon read them again; returns the reply
    set_keys: Callable[[KeyChanges], Awaitable[Message]]  # of the settings; reloads, as `reload`
    log_ins: LogIns  # checks the passwords of console accounts
    samples: Callable[[], Iterable[Sample]] = tuple  # what the verb `metrics` answers
    told: Callable[[Sequence[Settled]], None]  # gets what became of webhooks, once it is durable
    jitter: Callable[[], float]  # from 0 up to 1
    doctor: Callable[[str, str], None]  # has checks made: which, for whom; raises RelaydError
    follow: Follows
    tell_disabled: TellsDisabled | None = None  # mails about webhooks; None: nobody wants it
    send_again: SendsAgain | None = None  # makes new messages of bounced ones
    identity_provider: IdentityProvider | None = None  # by the settings
    report: ReportGivenUp | None = None  # tells senders what was bounced; None: nobody does

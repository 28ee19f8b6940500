"""What a worker has from the supervisor."""

import socket
from dataclasses import dataclass

from relayd.metrics.shared import SharedCounters
from relayd.policy.console.backoff import LoginBackOff
from relayd.policy.intake.known_sources import KnownSources
from relayd.receiver.accept_balance import AcceptBalance
from relayd.receiver.quotas import SharedQuotas
from relayd.settings import ListenerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """What a worker gets from the supervisor."""

    boot: str  # the same for all workers of one supervisor, and for no other
    name: str  # "1", "2", ...: no two live workers share one
    place: int  # among the workers under the same settings, from 0
    listeners: tuple[tuple[ListenerSettings, socket.socket], ...]
    control: socket.socket
    metrics: tuple[socket.socket, ...]  # none: nobody is to scrape
    counters: SharedCounters
    balance: AcceptBalance
    known: KnownSources
    console_guesses: LoginBackOff
    quotas: SharedQuotas
    pausing: memoryview  # one number: another with each change of the pause rules
    others_serve: bool  # until this worker is ready: it comes up in a reload
    heartbeat: int  # descriptor of the line to the supervisor
    parent_pid: int

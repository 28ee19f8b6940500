"""Gather the facts that `relayd.policy.doctor` judges: from the DNS, from servers, from this machine.

Owns what is asked, of whom and in which order. Sends no mail, changes nothing; writes its result
only where it is told to (`saved`).
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

from relayd.doctor.blocklists import Memory, check_blocklists
from relayd.doctor.complaints import check_complaints
from relayd.doctor.context import CheckContext, CheckRequest, Step, context_of, sends_directly
from relayd.doctor.dnssec import check_dnssec
from relayd.doctor.machine import check_certificate, check_machine, check_store
from relayd.doctor.names import check_names
from relayd.doctor.senders import check_dkim, check_dmarc, check_spf
from relayd.doctor.servers import check_port, check_smarthost
from relayd.policy.doctor.finding import Finding
from relayd.ports.outward import Clock
from relayd.settings import Settings

__all__ = ["CheckRequest", "Memory", "Step", "sends_directly", "steps"]


def steps(
    settings: Settings, request: CheckRequest, clock: Clock, memory: Memory
) -> Iterator[Step]:
    """Give the pieces of one round. `memory` keeps what must not be asked too often."""
    context = context_of(settings, request, clock)
    asks = not request.quick
    yield _step("our name in the DNS", check_names, context)
    if context.is_direct and asks:
        yield _step("DNSSEC", check_dnssec, context)
        yield _step("SPF", check_spf, context)
    if asks:
        yield _step("DKIM", check_dkim, context)
        yield _step("DMARC", check_dmarc, context)
    if context.is_direct and asks:
        yield Step("blocklists", partial(check_blocklists, context, memory))
        yield _step("port 25", check_port, context)
    yield _step("the certificate", check_certificate, context)
    if asks:
        yield _step("the smarthost", check_smarthost, context)
    yield _step("the queue", check_store, context)
    yield _step("complaints", check_complaints, context)
    yield _step("this machine", check_machine, context)


def _step(
    words: str, check: Callable[[CheckContext], Awaitable[Sequence[Finding]]], context: CheckContext
) -> Step:
    return Step(words, partial(check, context))

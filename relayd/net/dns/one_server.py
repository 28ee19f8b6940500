"""What one name server itself says, for who examines it: no other one answers in its place, and nothing is remembered.

An AD bit is told as it came, believed or not.
"""

import asyncio
from datetime import timedelta

from relayd.net.dns.message import NOERROR, SERVFAIL, Question
from relayd.net.dns.names import ROOT, Malformed, as_wire
from relayd.net.dns.nameserver import Nameserver
from relayd.net.dns.records import TYPES
from relayd.policy.doctor.dnssec import Said, ServerAnswer
from relayd.ports.outward import Clock
from relayd.settings import HostPort

_TRIES = 2


async def ask_server(
    address: HostPort, name: str, rdtype: str, *, within: timedelta, clock: Clock
) -> ServerAnswer:
    """Return its answer to a question; `.` is the root. A lost datagram is sent once more."""
    seconds = within.total_seconds()
    server = Nameserver(address, clock, try_for=seconds / _TRIES, is_trusted=True)
    question = Question.of(ROOT if name == "." else as_wire(name), TYPES[rdtype])
    deadline = asyncio.get_running_loop().time() + seconds
    words = f"{rdtype} {name}"
    for _ in range(_TRIES):
        try:
            answer = await server.ask(question, deadline)
        except TimeoutError:
            continue
        except (OSError, EOFError, Malformed):
            return ServerAnswer(Said.SILENCE, reason=f"no usable answer to {words}")
        if answer.rcode == SERVFAIL:
            return ServerAnswer(Said.SERVFAIL, reason=f"SERVFAIL to {words}")
        known = answer.rcode == NOERROR and (answer.values or answer.aliases)
        return ServerAnswer(Said.RECORDS if known else Said.NOTHING, answer.is_authentic)
    return ServerAnswer(Said.SILENCE, reason=f"no answer to {words} within {seconds:g} s")

"""Whom a lenient listener served, in the operational log: a client and a kind once an hour.

So an operator sees which programs still need it, and when the option can go.
"""

from collections.abc import Collection

import structlog

from relayd.mail.lenient import Leniency
from relayd.policy.seldom import SeldomEach

_EVERY = 3600.0  # seconds
_CLIENTS = 1000  # that are remembered, of each kind about

log = structlog.get_logger()


class LenientLog:
    def __init__(self) -> None:
        self._said = SeldomEach(_EVERY, most=_CLIENTS * len(Leniency))

    def served(
        self, client: str, client_ip: str, listener: str, kinds: Collection[Leniency], now: float
    ) -> None:
        """Note what a client was served by; `now` is monotonic, in seconds."""
        for kind in kinds:
            if self._said.is_due((client, listener, kind), now):
                log.info(
                    "served_leniently", client_ip=client_ip, listener=listener, lenient=kind.value
                )

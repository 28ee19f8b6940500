"""The search for a host that lets us in: whom to ask, for how long, and who failed lately.

An address that failed is asked after all others for a while, so that a dead best host does not
cost every new connection its time-out (F-34). It is asked when no other is left: leaving out must
not turn a host that works again into an outage.
"""

import asyncio
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from relayd.deliverer.nexthop.hosts import Address, HostFailure
from relayd.mail.attempt import Breakdown, Peer
from relayd.mail.reply import Stage
from relayd.mail.words import Category, Fault
from relayd.policy.delivery.hosts import turned_away
from relayd.policy.delivery.route import HostPort
from relayd.ports.outward import Clock, Connection, SessionFailed, Target, Transport
from relayd.trace import tracing

FIND_WITHIN = 300.0  # seconds to find a working host (S-24)
_LEFT_OUT_FOR = 60.0  # seconds
_REMEMBERED = 10_000  # addresses


class DeadHosts:
    """The addresses that failed lately, of all hosts that this worker has to do with."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[Address, float] = {}  # monotonic, the earliest first

    def note(self, address: Address) -> None:
        self._until.pop(address, None)
        self._until[address] = self._clock.monotonic() + _LEFT_OUT_FOR
        if len(self._until) > _REMEMBERED:
            del self._until[next(iter(self._until))]

    def forget(self, address: Address) -> None:
        self._until.pop(address, None)

    def __contains__(self, address: Address) -> bool:
        until = self._until.get(address)
        return until is not None and until > self._clock.monotonic()


class Search:
    """One search, in an attempt in which the hosts of `after` have failed already."""

    def __init__(
        self,
        after: Sequence[HostFailure],
        *,
        transport: Transport,
        clock: Clock,
        dead_hosts: DeadHosts,
        turned_away: Callable[[], None],
        each_within: float | None = None,  # seconds for a host; None: what is left for all
    ) -> None:
        self.failures: tuple[HostFailure, ...] = tuple(after)
        self._told_out: set[Address] = set()  # to who looks on
        # A session that has carried one transaction was found; the next search is another one.
        found = [each.at for each in after if each.has_served]
        began = found[-1] if found else after[0].at if after else clock.now()
        spent = (clock.now() - began).total_seconds()
        self._ends = clock.monotonic() + FIND_WITHIN - max(spent, 0.0)
        self._each_within = each_within
        self._transport = transport
        self._clock = clock
        self._dead_hosts = dead_hosts
        self._turned_away = turned_away
        for failure in after[-1:]:  # those before are noted
            self._note(failure)

    @property
    def is_over(self) -> bool:
        """Tell whether the time is up; somebody was asked in any case."""
        return bool(self.failures) and self._left() <= 0

    def may_ask(self, host: str, address: Address) -> bool:
        return may_ask(host, address, self.failures)

    def is_out(self, address: Address) -> bool:
        """Tell whether it failed lately."""
        is_out = address in self._dead_hosts
        if is_out and tracing.is_on and address not in self._told_out:
            self._told_out.add(address)
            reason = f"it failed within {_LEFT_OUT_FOR:g} s: the others are asked first"
            tracing.tell(
                "host_skipped", remote_ip=address[0], remote_port=address[1], reason=reason
            )
        return is_out

    async def resolve(self, host: HostPort, *, source: str = "") -> Sequence[str]:
        """Return the addresses of a configured host that may be asked, from `source`; a failure leaves none."""
        try:
            async with asyncio.timeout(self._left()):
                ips = await self._transport.resolve(host.host, host.port)
        except TimeoutError:
            self._fail(HostFailure(host=host, at=self._clock.now(), failed=_too_slow()))
        except SessionFailed as failed:
            self._fail(HostFailure(host=host, at=self._clock.now(), failed=failed))
        else:
            if tracing.is_on:
                tracing.tell("hosts_found", remote_host=host.host, hosts=", ".join(ips))
            if source and not (ips := _of_family(ip_address(source).version, ips)):
                out = SessionFailed(Stage.CONNECT, _out_of_reach(source))
                self._fail(HostFailure(host=host, at=self._clock.now(), failed=out))
            return [ip for ip in ips if self.may_ask(host.host, (ip, host.port))]
        return ()

    async def ask(self, target: Target, preference: int = 0) -> Connection | None:
        """Connect; None, and one failure more, if that cannot be done."""
        try:
            async with asyncio.timeout(min(self._left(), self._each_within or FIND_WITHIN)):
                connection = await self._transport.connect(target)
        except TimeoutError:
            failed = _too_slow(target, self._each_within)
        except SessionFailed as failure:
            failed = failure
        else:
            self._dead_hosts.forget((target.ip, target.port))
            if tracing.is_on:
                tracing.chosen(connection.peer, "the first that takes mail")
            return connection
        self._fail(
            HostFailure(
                host=HostPort(host=target.host, port=target.port),
                at=self._clock.now(),
                failed=failed,
                route=target.route,
                preference=preference,
            )
        )
        return None

    def pass_over(self, failure: HostFailure) -> None:
        """Note that a host is refused by a policy: nobody connects, and that says nothing of its address."""
        if tracing.is_on:
            reason = str(failure.failed)
            tracing.tell("host_skipped", remote_host=failure.host.host, reason=reason)
        self.failures += (failure,)

    def _left(self) -> float:
        """Return the seconds that are left."""
        return self._ends - self._clock.monotonic()

    def _fail(self, failure: HostFailure) -> None:
        if tracing.is_on:
            host, port = failure.address
            tracing.tell(
                "host_failed",
                remote_host=failure.host.host,
                remote_ip=host,
                remote_port=port,
                reason=str(failure.failed),
            )
        self.failures += (failure,)
        self._note(failure)
        if turned_away([failure.known]):
            self._turned_away()

    def _note(self, failure: HostFailure) -> None:
        breakdown = failure.failed.breakdown
        ours = breakdown is not None and breakdown.fault is Fault.LOCAL
        if (
            failure.at_door
            and not failure.is_of_policy
            and not (ours and failure.failed.stage is Stage.CONNECT)
        ):
            self._dead_hosts.note(failure.address)


def may_ask(host: str, address: Address, failures: Sequence[HostFailure]) -> bool:
    """Tell whether an attempt with these failures may ask a host at an address.

    One address is asked once, whatever its names. But what a policy asks of TLS, it asks by name: another one may do.
    """
    return not any(
        failed.address == address and (failed.host.host == host or not failed.is_of_policy)
        for failed in failures
    )


def _of_family(version: int, ips: Sequence[str]) -> Sequence[str]:
    return [ip for ip in ips if ip_address(ip).version == version]


def _out_of_reach(source: str) -> Breakdown:
    return Breakdown(
        category=Category.CONNECTION_FAILURE,
        fault=Fault.LOCAL,
        reason=f"it has no address that can be reached from source_address, {source}",
    )


def _too_slow(target: Target | None = None, within: float | None = None) -> SessionFailed:
    breakdown = Breakdown(
        category=Category.CONNECTION_FAILURE,
        fault=Fault.PEER,
        reason=f"not ready when the {within or FIND_WITHIN:g} s to find a working host were over",
    )
    peer = None
    if target is not None:
        peer = Peer(
            route=target.route,
            host=target.host,
            ip=target.ip,
            port=target.port,
        )
    return SessionFailed(Stage.CONNECT, breakdown, peer=peer)

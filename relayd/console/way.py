"""How one destination is reached by the settings of now: hosts, TLS, limits. No look-up, and no secret."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from relayd.answers.way import TLS_WORDS, where
from relayd.policy.delivery.route import OnHold, Route, ViaHost, ViaMx, ViaSmarthost
from relayd.settings import Settings, SmarthostSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What is told of it; empty or 0: that does not apply."""

    where: str
    hosts: Sequence[str] = ()  # in the order in which they are tried
    tls: str = ""
    connections: int = 0  # at once
    messages_per_minute: int = 0


def way_of(route: Route, settings: Settings) -> Way:
    """Return how mail goes that takes this route."""
    match route:
        case ViaSmarthost(name):
            smarthost = settings.smarthosts.get(name)
            gone = Way(where=f"nowhere: there is no [smarthosts.{name}] now")
            return gone if smarthost is None else _through(route, smarthost)
        case ViaHost(host):
            named = [each for each in settings.route_hosts if each.hosts == (host,)]
            unnamed = Way(where="nowhere: no entry of [routes] names this host now")
            return _through(route, named[0]) if named else unnamed
        case ViaMx():
            return Way(
                where=where(route),
                tls=TLS_WORDS[settings.direct.tls],
                connections=settings.direct.connections_per_destination,
                messages_per_minute=settings.direct.messages_per_minute,
            )
        case OnHold():
            return Way(where=where(route))
        case _:
            assert_never(route)


def _through(route: Route, host: SmarthostSettings) -> Way:
    return Way(
        where=where(route),
        hosts=[str(each) for each in host.hosts],
        tls=TLS_WORDS[host.tls],
        connections=host.connections,
    )

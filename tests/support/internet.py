"""All that is beyond a relay in direct mode: name server, mail hosts on addresses of loopback, smarthost.

with an_internet({A1: {}}, zones, port=free_port()) as internet, \\
        a_daemon(folder, internet.smarthost.port, remote="true", smarthost_more=internet.settings):
    ...
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.background import Background
from tests.support.dns_server import DnsServer, Zones
from tests.support.scripted_server import Script, ScriptedServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Internet:
    """What runs; `settings` lead a relay here, and are open for more keys of [direct]."""

    servers: Mapping[str, ScriptedServer]  # by address
    smarthost: ScriptedServer
    dns: DnsServer
    settings: str


@contextmanager
def an_internet(
    scripts: Mapping[str, Script], zones: Zones, *, port: int, smarthost: Script | None = None
) -> Iterator[Internet]:
    """Run mail hosts at one port of addresses of loopback, by their scripts."""
    with Background() as background:
        dns = background.enter(DnsServer(zones))
        yield Internet(
            servers={
                ip: background.enter(ScriptedServer(script, host=ip, port=port))
                for ip, script in scripts.items()
            },
            smarthost=background.enter(ScriptedServer(smarthost)),
            dns=dns,
            settings=f'[dns]\nnameservers = ["{dns.endpoint}"]\ntimeout = "5s"\n'
            f'[direct]\nport = {port}\nallow_networks = ["127.0.0.0/8"]\n',
        )


def rcpts_of(server: ScriptedServer) -> Sequence[str]:
    """Return every recipient that was accepted with a message, once for each message."""
    return [rcpt[4:-1] for message in tuple(server.messages) for rcpt in message.rcpts]

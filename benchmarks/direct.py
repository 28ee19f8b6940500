"""Direct mode on loopback: the settings for it, and a name server beside a blocking benchmark."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.dns_server import DnsServer, Zones

SETTINGS = """\
[direct]
port = {port}
tls = "{tls}"
dane = {policies}
mta_sts = {policies}
allow_networks = ["127.0.0.0/8"]
[dns]
nameservers = ["{dns}"]
"""


def settings(port: int, dns: str, *, policies: bool | None = None) -> str:
    """Return the tables; with `policies`, or without, TLS is opportunistic. None: there is no TLS, and no policy."""
    return SETTINGS.format(
        port=port,
        dns=dns,
        tls="off" if policies is None else "opportunistic",
        policies=str(policies is not False).lower(),
    )


def zones(domains: int, host: str) -> Zones:
    """Give d0.test, d1.test and so on a mail host each, all at one address."""
    names = [f"d{number}.test" for number in range(domains)]
    return {name: {"MX": [f"10 mx.{name}."]} for name in names} | {
        f"mx.{name}": {"A": [host]} for name in names
    }


@contextmanager
def name_server(served: Zones) -> Iterator[str]:
    """Serve zones in a thread; yield the address of the server."""
    started, endpoint = threading.Event(), ""
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def serve() -> None:
        nonlocal endpoint
        async with DnsServer(served) as server:
            endpoint = str(server.endpoint)
            started.set()
            await stopping.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait()
    try:
        yield endpoint
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()

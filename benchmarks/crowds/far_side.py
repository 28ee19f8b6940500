"""The other side of direct mode, in a process of its own: a name server, and mail hosts that behave or do not.

    python -m benchmarks.crowds.far_side

It runs in a network namespace, listens on port 53 and 25, and prints a line when it is ready. What a
host does is told by its address:

    127.1.0.0/16    takes mail
    127.2.0.0/16    accepts connections, and says nothing
    127.3.0.0/24    answers a second late, and reads one octet of content a second
    127.4.0.1       answers commands a second late
    ::1             refuses connections

The name server answers on 127.0.0.1. On 127.0.0.2 somebody listens who never answers. SIGUSR1 makes the first one
as silent as the other.
"""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable

from benchmarks.crowds.quick_dns import AAAA, MX, A, QuickDns, Records

GOOD = "good.test"
GOOD_HOSTS = [f"127.0.0.{number}" for number in range(21, 41)]
NEW = 4000  # domains that are good, and that nobody wrote to before
ALIVE = 5000
DEAD = 2500  # of each kind
SLOW = 200
FAMILY = 700  # domains of one host
UNSERVED = 2000  # domains of which the name server says nothing
_SMALL_BUFFER = 4096  # octets
_BEHAVIOURS = {"1": "takes", "2": "silent", "3": "slow", "4": "late"}
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _address(network: int, number: int) -> str:
    return f"127.{network}.{number // 250}.{number % 250 + 1}"


def records() -> Records:
    """Return the records of all domains."""
    served: dict = {}

    def add(domain: str, record: dict[int, str]) -> None:
        served[domain] = {MX: f"mx.{domain}"}
        served[f"mx.{domain}"] = record

    add(GOOD, {A: GOOD_HOSTS[0]})
    for number in range(NEW):
        add(f"n{number}.test", {A: GOOD_HOSTS[number % len(GOOD_HOSTS)]})
    for number in range(ALIVE):
        add(f"d{number}.test", {A: _address(1, number)})
    for number in range(DEAD):
        add(f"silent{number}.test", {A: _address(2, number)})
        add(f"refuses{number}.test", {AAAA: "::1"})
    for number in range(SLOW):
        add(f"slow{number}.test", {A: _address(3, number)})
    for number in range(FAMILY):
        served[f"family{number}.test"] = {MX: "mx.family.test"}
    served["mx.family.test"] = {A: "127.4.0.1"}
    served |= {f"unserved{number}.test": None for number in range(UNSERVED)}
    return served


async def _read(reader: asyncio.StreamReader, kind: str) -> None:
    """Read content, as fast as the host does."""
    if kind != "slow":
        await reader.readuntil(b"\r\n.\r\n")
        return
    last = b""
    while not last.endswith(b"\r\n.\r\n"):
        last = last[-4:] + await reader.readexactly(1)
        await asyncio.sleep(1)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    kind = _BEHAVIOURS.get(writer.get_extra_info("sockname")[0].split(".")[1], "takes")
    try:
        if kind == "silent":
            await reader.read()
        else:
            await _talk(reader, writer, kind)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        pass
    finally:
        writer.close()


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: str) -> None:
    late = 0 if kind == "takes" else 1
    await asyncio.sleep(late)
    writer.write(b"220 far.bench.test ESMTP\r\n")
    while True:
        command = (await reader.readuntil(b"\r\n"))[:4].upper()
        if late:
            await asyncio.sleep(late)
        if command == b"DATA":
            writer.write(b"354 go ahead\r\n")
            await _read(reader, kind)
            writer.write(b"250 2.0.0 taken\r\n")
        elif command == b"QUIT":
            writer.write(b"221 2.0.0 bye\r\n")
            return
        else:
            writer.write(b"250 2.0.0 ok\r\n")


def _listen(address: str, *, buffer: int = 0) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # beside who has all addresses
    if buffer:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    listener.bind((address, 25))
    listener.listen(1000)
    return listener


async def _main() -> None:
    loop, serve = asyncio.get_running_loop(), _tasks_of(_serve)
    mute = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mute.bind(("127.0.0.2", 53))
    dns = QuickDns("test", records())
    await loop.create_datagram_endpoint(lambda: dns, local_addr=("127.0.0.1", 53))
    loop.add_signal_handler(signal.SIGUSR1, lambda: setattr(dns, "is_silent", True))
    for number in range(SLOW):
        own = _listen(_address(3, number), buffer=_SMALL_BUFFER)
        await asyncio.start_server(serve, sock=own, limit=_SMALL_BUFFER)
    await asyncio.start_server(serve, sock=_listen("0.0.0.0"), limit=1 << 22)
    print("ready", flush=True)
    await asyncio.Event().wait()


def _tasks_of(serve: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Return a function that starts a session and keeps its task."""
    tasks = set()

    def begin(*streams: object) -> None:
        task = asyncio.ensure_future(serve(*streams))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return begin


if __name__ == "__main__":
    asyncio.run(_main())

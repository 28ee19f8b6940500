"""A next hop with STARTTLS, since `smtp-sink` has none: takes all mail, and counts as that does.

    tls_sink.py CERTIFICATES [HOST:PORT]

CERTIFICATES is a folder with files such as `3.pem`: a key and a certificate for the hosts at
127.1.3.0/24, and of other networks whose third number is 3. Without a place it listens on port 25 of all addresses.
"""

import asyncio
import socket
import ssl
import sys
from pathlib import Path

import uvloop

_OFFER = b"250-PIPELINING\r\n250-8BITMIME\r\n"
_EHLO = b"250-sink.bench.test\r\n" + _OFFER + b"250 STARTTLS\r\n"
_EHLO_IN_TLS = b"250-sink.bench.test\r\n" + _OFFER + b"250 ENHANCEDSTATUSCODES\r\n"
_REPLIES = {b"DATA": b"354 go ahead\r\n", b"QUIT": b"221 2.0.0 bye\r\n"}


class Session(asyncio.Protocol):
    count = 0

    def __init__(self, contexts: dict[int, ssl.SSLContext]) -> None:
        self._contexts = contexts
        self._buffer = b""
        self._in_content = False
        self._in_tls = False
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        if not self._in_tls:
            transport.write(b"220 sink.bench.test ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = b"\r\n.\r\n" if self._in_content else b"\r\n"
            piece, found, rest = self._buffer.partition(end)
            if not found:
                return
            self._buffer = rest
            if self._in_content:
                self._in_content = False
                Session.count += 1
                self._transport.write(b"250 2.0.0 taken\r\n")
            else:
                self._answer(piece[:4].upper())

    def _answer(self, command: bytes) -> None:
        if command == b"STAR":
            self._transport.write(b"220 2.0.0 ready\r\n")
            self._handshake = asyncio.ensure_future(self._begin_tls())
        elif command == b"EHLO":
            self._transport.write(_EHLO_IN_TLS if self._in_tls else _EHLO)
        else:
            self._in_content = command == b"DATA"
            self._transport.write(_REPLIES.get(command, b"250 2.0.0 ok\r\n"))
            if command == b"QUIT":
                self._transport.close()

    async def _begin_tls(self) -> None:
        self._in_tls = True
        address = self._transport.get_extra_info("sockname")[0]
        context = self._contexts[int(address.split(".")[2])]
        loop = asyncio.get_running_loop()
        try:
            self._transport = await loop.start_tls(self._transport, self, context, server_side=True)
        except (OSError, ssl.SSLError):
            self._transport.close()


def contexts_of(folder: Path) -> dict[int, ssl.SSLContext]:
    contexts = {}
    for file in folder.glob("*.pem"):
        contexts[int(file.stem)] = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
    return contexts


async def main(contexts: dict[int, ssl.SSLContext], where: str = "0.0.0.0:25") -> None:
    host, _, port = where.rpartition(":")
    listening = socket.create_server((host, int(port)), backlog=1000)
    await asyncio.get_running_loop().create_server(lambda: Session(contexts), sock=listening)
    told = -1
    while True:
        if told != Session.count:
            told = Session.count
            print(f"mesg={told}", end="\r", flush=True)
        await asyncio.sleep(0.005)


if __name__ == "__main__":
    uvloop.run(main(contexts_of(Path(sys.argv[1])), *sys.argv[2:]))

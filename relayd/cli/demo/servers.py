"""The servers of `relayd demo`: small SMTP servers on loopback that answer by recipient.

Stand-ins for the world outside, the smarthost and the mail servers of domains; the relay in front
of them is the real one.
"""

import socketserver
import ssl
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import ClassVar, Self

from relayd.errors import StartError

ACCEPT = "250 2.1.5 OK"
_TRIES = 10  # to find a port that is free on all addresses
HANG_UP = "hang up"  # close without an answer to the final dot


@dataclass(slots=True, kw_only=True)
class Script:
    """What to answer to RCPT, and to the final dot; the last answer of a list repeats.

    Mail to an address in `late` is taken, and noted in `taken_late` with its reverse-path.
    """

    rcpt: dict[str, list[str]]
    dot: dict[str, list[str]]
    late: frozenset[str] = frozenset()
    taken_late: list[tuple[str, str]] = field(default_factory=list)  # reverse-path, address
    asked: Counter[str] = field(default_factory=Counter)

    def answer(self, where: str, address: str) -> str:
        answers = (self.rcpt if where == "rcpt" else self.dot).get(address)
        if not answers:
            return ACCEPT
        key = f"{where} {address}"
        self.asked[key] += 1
        return answers[min(self.asked[key], len(answers)) - 1]


class _Session(socketserver.StreamRequestHandler):
    script: ClassVar[Script]
    name: ClassVar[str]
    tls: ClassVar[ssl.SSLContext | None]

    def handle(self) -> None:
        self.sender = ""
        self.recipients: list[str] = []
        with suppress(OSError):  # a certificate that proves nothing makes the relay hang up
            self._say(f"220 {self.name} ESMTP (scripted)")
            self._converse()

    def finish(self) -> None:
        super().finish()
        self.connection.close()  # TLS has put another one in the place of what the server closes

    def _converse(self) -> None:
        while line := self.rfile.readline().strip().decode(errors="replace"):
            match line.split(" ")[0].upper():
                case "EHLO":
                    self._offer()
                case "STARTTLS":
                    self._start_tls()
                case "MAIL":
                    self.sender = _path(line)
                    self._say("250 2.1.0 OK")
                case "RCPT":
                    self._rcpt(_path(line))
                case "DATA":
                    if not self._data():
                        return
                    self.recipients = []
                case "RSET":
                    self.recipients = []
                    self._say("250 2.0.0 OK")
                case "QUIT":
                    self._say("221 2.0.0 Bye")
                    return
                case _:
                    self._say("250 2.0.0 OK")

    def _rcpt(self, address: str) -> None:
        answer = self.script.answer("rcpt", address)
        if answer == ACCEPT:
            self.recipients.append(address)
        self._say(answer)

    def _data(self) -> bool:
        """Take the content; False: hang up."""
        if not self.recipients:
            self._say("554 5.5.1 No valid recipients")
            return True
        self._say("354 Go ahead")
        while self.rfile.readline() not in (b".\r\n", b""):
            pass
        answers = (self.script.answer("dot", each) for each in self.recipients)
        answer = next((found for found in answers if found != ACCEPT), "250 2.0.0 OK, taken")
        if answer == HANG_UP:
            return False
        late = self.script.late.intersection(self.recipients)
        self.script.taken_late += [(self.sender, address) for address in late]
        self._say(answer)
        return True

    def _offer(self) -> None:
        is_clear = self.connection is self.request
        offered = ["STARTTLS"] * (is_clear and self.tls is not None)
        words = (self.name, "SIZE 1000000", "8BITMIME", *offered)
        self._say("\r\n".join([*(f"250-{word}" for word in words), "250 PIPELINING"]))

    def _start_tls(self) -> None:
        if self.tls is None:
            self._say("502 5.5.1 Not offered")
            return
        self._say("220 2.0.0 Go ahead")
        self.connection = self.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


def _path(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


class Served:
    """A server that runs in threads of its own while the block lasts."""

    def __init__(
        self, server: socketserver.ThreadingTCPServer | socketserver.ThreadingUDPServer
    ) -> None:
        server.daemon_threads = True
        self._server = server
        self.port = int(server.server_address[1])
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class DemoServer(Served):
    """A mail server that follows `script`; it offers STARTTLS if it has a certificate for that."""

    def __init__(
        self,
        script: Script,
        name: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        handler = type("_Scripted", (_Session,), {"script": script, "name": name, "tls": tls})
        super().__init__(socketserver.ThreadingTCPServer((host, port), handler))


@contextmanager
def mail_servers(
    script: Script,
    hosts: Sequence[tuple[str, str]],
    shown: Mapping[str, ssl.SSLContext] | None = None,
) -> Iterator[int]:
    """Run a server for each name and address, all on one port; gives the port.

    `shown` has the certificates, by name.
    """
    certificates = shown or {}
    for _ in range(_TRIES):
        with ExitStack() as stack:
            port = 0
            try:
                for name, host in hosts:
                    tls = certificates.get(name)
                    server = DemoServer(script, name, host=host, port=port, tls=tls)
                    port = stack.enter_context(server).port
            except OSError:
                continue  # another program has that port on one of the addresses
            yield port
            return
    raise StartError("no port is free on " + ", ".join(host for _, host in hosts))

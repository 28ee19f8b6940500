"""The smarthost of `relayd demo`: a small SMTP server on loopback that answers by recipient.

A stand-in for the world outside; the relay in front of it is the real one.
"""

import socketserver
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar, Self

ACCEPT = "250 2.1.5 OK"
HANG_UP = "hang up"  # close without an answer to the final dot


@dataclass(slots=True, kw_only=True)
class Script:
    """What to answer to RCPT, and to the final dot; the last answer of a list repeats."""

    rcpt: dict[str, list[str]]
    dot: dict[str, list[str]]
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

    def handle(self) -> None:
        self._say("220 smarthost.demo.test ESMTP (scripted)")
        recipients: list[str] = []
        while line := self.rfile.readline().strip().decode(errors="replace"):
            match line.split(" ")[0].upper():
                case "EHLO":
                    self._say(
                        "250-smarthost.demo.test\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250 PIPELINING"
                    )
                case "RCPT":
                    address = line.partition("<")[2].partition(">")[0]
                    answer = self.script.answer("rcpt", address)
                    if answer == ACCEPT:
                        recipients.append(address)
                    self._say(answer)
                case "DATA" if recipients:
                    if not self._content(recipients):
                        return
                    recipients = []
                case "DATA":
                    self._say("554 5.5.1 No valid recipients")
                case "RSET":
                    recipients = []
                    self._say("250 2.0.0 OK")
                case "QUIT":
                    self._say("221 2.0.0 Bye")
                    return
                case _:
                    self._say("250 2.0.0 OK")

    def _content(self, recipients: list[str]) -> bool:
        self._say("354 Go ahead")
        while self.rfile.readline() not in (b".\r\n", b""):
            pass
        answer = next(
            (found for each in recipients if (found := self.script.answer("dot", each)) != ACCEPT),
            "250 2.0.0 OK, taken",
        )
        if answer == HANG_UP:
            return False
        self._say(answer)
        return True

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class DemoSmarthost:
    """Serves in threads of its own while the block lasts."""

    def __init__(self, script: Script) -> None:
        handler = type("_Scripted", (_Session,), {"script": script})
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

"""Handing a message to the daemon of this machine, by SMTP, in a few blocking lines.

Owns which listener of the daemon a local program connects to, and the exit status that a refusal
means. Of the settings only the listeners are read. A user who may not read them connects to
`relayd.config.peek.LOCAL_SOCKET`. If one recipient is refused, nothing is queued.

Source: RFC 5321 §3.3; sysexits(3).
"""

import os
import re
import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from relayd.config.peek import Endpoint, find_listener
from relayd.mail.address import Address
from relayd.mail.reply import Reply, Stage, clean_text, make_reply
from relayd.net.smtp.stuffing import stuffed_blocks

_TIMEOUT = 120.0  # seconds for one step
_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])([ -]?)([^\r\n]*)\r\n")
_LINE_LIMIT = 4096
_LINES_LIMIT = 100


class NotQueued(Exception):
    """The message is not queued: the exit status, and a sentence that says why."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


def find_endpoint(settings: str | None) -> Endpoint:
    """Return where the daemon listens.

    `settings` is a file that the caller named; then it has to be readable. Raises NotQueued.
    """
    try:
        return find_listener(settings)
    except OSError as error:
        from relayd.file_access import unreadable  # noqa: PLC0415 -- seldom needed

        reason = unreadable(error, Path(str(settings)))
    except (ValueError, RecursionError):
        reason = "not valid TOML"
    raise NotQueued(os.EX_TEMPFAIL, f"{settings} cannot be read: {reason}")


def connect(endpoint: Endpoint) -> socket.socket:
    """Connect to the daemon. Raises NotQueued."""
    try:
        if not isinstance(endpoint, str):
            return socket.create_connection(endpoint, timeout=_TIMEOUT)
        local = socket.socket(socket.AF_UNIX)
        try:
            local.settimeout(_TIMEOUT)
            local.connect(endpoint)
        except OSError:
            local.close()
            raise
    except OSError as error:
        where = endpoint if isinstance(endpoint, str) else f"{endpoint[0]} port {endpoint[1]}"
        message = f"no relay answers at {where}: {error.strerror or error}"
        raise NotQueued(os.EX_TEMPFAIL, message) from None
    return local


class Handover:
    """One session with the daemon, from EHLO on. `fqdn` is the name that it greets with."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._connection = connect(endpoint)
        self._replies = self._connection.makefile("rb")

    def __enter__(self) -> Self:
        try:
            self._expect(220, Stage.GREETING)
            self.fqdn = self._ask("EHLO localhost", 250, Stage.EHLO).lines[0].partition(" ")[0]
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._connection.sendall(b"QUIT\r\n")
        self._close()

    def _close(self) -> None:
        self._replies.close()
        self._connection.close()

    def send(
        self, mail: str, recipients: Sequence[Address], content: bytes, *, notify: str = ""
    ) -> Reply:
        """Queue `content`; `mail` is what follows `MAIL FROM:`. Return the reply. Raises NotQueued."""
        self._ask(f"MAIL FROM:{mail}", 250, Stage.MAIL)
        for address in recipients:
            self._ask(f"RCPT TO:<{address}>{notify}", 250, Stage.RCPT, f"{address}: ")
        self._ask("DATA", 354, Stage.DATA)
        for block, _ in stuffed_blocks(content):
            self._send(block)
        return self._expect(250, Stage.DOT)

    def _ask(self, command: str, expected: int, stage: Stage, about: str = "") -> Reply:
        self._send(f"{command}\r\n".encode())
        return self._expect(expected, stage, about)

    def _send(self, octets: bytes) -> None:
        try:
            self._connection.sendall(octets)
        except BrokenPipeError:
            pass  # the daemon has said why: that is read next
        except OSError as error:
            raise _lost(error) from None

    def _expect(self, code: int, stage: Stage, about: str = "") -> Reply:
        reply = self._reply()
        if reply.code != code:
            raise NotQueued(status_of(reply, stage), f"{about}the relay answers {reply}")
        return reply

    def _reply(self) -> Reply:
        lines: list[str] = []
        for _ in range(_LINES_LIMIT):
            try:
                line = self._replies.readline(_LINE_LIMIT)
            except OSError as error:
                raise _lost(error) from None
            found = _REPLY_LINE.fullmatch(line)
            if found is None:
                break
            lines.append(clean_text(found[3]))
            if found[2] != b"-":
                return make_reply(int(found[1]), tuple(lines))
        raise NotQueued(os.EX_TEMPFAIL, "the relay's reply makes no sense or does not come")


def _lost(error: OSError) -> NotQueued:
    return NotQueued(
        os.EX_TEMPFAIL, f"the connection to the relay is lost: {error.strerror or error}"
    )


def status_of(reply: Reply, stage: Stage) -> int:
    """Return the exit status for a reply that is not the expected one."""
    enhanced = reply.enhanced or ""
    if not reply.is_permanent:
        return os.EX_TEMPFAIL
    if enhanced.startswith("5.1."):
        return os.EX_NOUSER if stage is Stage.RCPT else os.EX_DATAERR
    if enhanced.startswith("5.6.") or enhanced == "5.3.4":
        return os.EX_DATAERR
    return os.EX_UNAVAILABLE


def converse(endpoint: Endpoint) -> None:
    """Carry SMTP between our standard input and output and the daemon, until the daemon closes.

    Nothing is sent before its greeting, since the daemon refuses that. Raises NotQueued.
    """
    with connect(endpoint) as daemon:
        waiting: list[socket.socket | int] = [daemon]
        is_greeted = False
        while True:
            ready, _, _ = select.select(waiting, [], [])
            if daemon in ready:
                said = daemon.recv(65536)
                if not said:
                    return
                _write(said)
                if not is_greeted:
                    waiting, is_greeted = [daemon, 0], True
            if 0 in ready:
                given = os.read(0, 65536)
                if not given:
                    waiting = [daemon]
                with suppress(BrokenPipeError):  # its last words are read next
                    daemon.sendall(given) if given else daemon.shutdown(socket.SHUT_WR)


def _write(octets: bytes) -> None:
    while octets:
        octets = octets[os.write(1, octets) :]

"""Ask the daemon over its control socket, from a command: plain blocking sockets, one question.

Owns the faults a caller can meet: no daemon (DaemonUnreachable), a daemon that cannot just now
(StoreUnavailable), a daemon that refuses (RelaydError with its words).
"""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relayd.control.protocol import (
    ActRequest,
    BadMessage,
    Message,
    act_to_json,
    decode,
    encode,
    event_from_json,
    metrics_from_json,
    unsuppress_to_json,
)
from relayd.errors import DaemonUnreachable, RelaydError, StoreUnavailable
from relayd.mail.event import Event
from relayd.ports.view import Metric

TIMEOUT = 60.0  # seconds; the server gives up on a slow client much earlier
RELOAD_TIMEOUT = 120.0  # one may be under way; each has 30 s, and may wait 35 s for room
_CHUNK = 256 * 1024


def act(path: str, request: ActRequest, *, timeout: float = TIMEOUT) -> Sequence[Event]:
    """Have the daemon carry out an operator's verb; return an event per recipient changed.

    Raises DaemonUnreachable, StoreUnavailable, RelaydError.
    """
    reply = ask(path, act_to_json(request), timeout=timeout)
    try:
        return [event_from_json(fields) for fields in reply["events"]]
    except (BadMessage, KeyError, TypeError, AttributeError) as exc:
        raise RelaydError(f"{path} answered something strange: {exc}") from exc


def unsuppress(path: str, address: str, *, timeout: float = TIMEOUT) -> bool:
    """Have the daemon forget what spoke against an address; False when nothing did. Raises as `act`."""
    reply = ask(path, unsuppress_to_json(address), timeout=timeout)
    return reply.get("unsuppressed") is True


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The settings that a daemon runs with: their file, name and JSON text of each."""

    file: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """Which settings a daemon runs with, now that it has read them again."""

    file: str
    digest: str


def running_settings(path: str, *, timeout: float = TIMEOUT) -> InForce:
    """Return what the daemon runs with. Raises as `act` does."""
    match ask(path, {"verb": "settings"}, timeout=timeout):
        case {"file": str(file), "settings": dict(values)}:
            return InForce(file=file, values=values)
        case _:
            raise RelaydError(f"{path} answered something strange: no settings")


def reload(path: str, *, timeout: float = RELOAD_TIMEOUT) -> Reloaded:
    """Have the daemon read its settings again; return what is in force then.

    Raises RelaydError with a line for each reason when it keeps the old ones, else as `act` does.
    """
    match ask(path, {"verb": "reload"}, timeout=timeout):
        case {"file": str(file), "digest": str(digest)}:
            return Reloaded(file=file, digest=digest)
        case _:
            raise RelaydError(f"{path} answered something strange: no digest")


def metrics(path: str, *, timeout: float = TIMEOUT) -> Sequence[Metric]:
    """Return the numbers of all workers together. Raises as `act`."""
    try:
        return metrics_from_json(ask(path, {"verb": "metrics"}, timeout=timeout))
    except BadMessage as exc:
        raise RelaydError(f"{path} answered something strange: {exc}") from exc


def ask(path: str, request: Message, *, timeout: float = TIMEOUT) -> dict[str, Any]:
    """Send one request, return the reply if it is a good one. Raises as `act` does."""
    try:
        reply = decode(_exchange(path, encode(request), timeout))
    except BadMessage as exc:
        raise RelaydError(f"control socket {path}: {exc}") from exc
    if reply.get("ok") is True:
        return reply
    error = str(reply.get("error", "no reason given"))
    raise StoreUnavailable(error) if reply.get("again") is True else RelaydError(error)


def _exchange(path: str, line: bytes, timeout: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(path)
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise DaemonUnreachable(f"no daemon at {path}: {reason}") from exc
        try:
            sock.sendall(line)
            answer = _read_line(sock)
        except TimeoutError as exc:
            raise DaemonUnreachable(
                f"no answer from {path} within {timeout:g} s; the request may still be carried out"
            ) from exc
        except OSError as exc:
            raise DaemonUnreachable(f"lost the connection to {path}: {exc.strerror}") from exc
    if not answer.endswith(b"\n"):
        raise DaemonUnreachable(f"{path} closed the connection without a whole answer")
    return answer


def _read_line(sock: socket.socket) -> bytes:
    answer = bytearray()
    while not answer.endswith(b"\n") and (chunk := sock.recv(_CHUNK)):
        answer += chunk
    return bytes(answer)

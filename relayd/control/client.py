"""Ask the daemon over its control socket, from a command: plain blocking sockets, one question.

Owns the faults a caller can meet: no daemon (DaemonUnreachable), a daemon that cannot just now
(StoreUnavailable), a daemon that refuses (RelaydError with its words).
"""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from relayd.control.acts import ActAnswer, ActRequest, act_to_json, answer_from_json
from relayd.control.behalf import Behalf, with_behalf
from relayd.control.compact import compacted_from_json
from relayd.control.content import ContentRequest, content_to_json, octets_from_json
from relayd.control.pauses import (
    PauseRequest,
    ResumeRequest,
    pause_to_json,
    pauses_from_json,
    resume_to_json,
)
from relayd.control.protocol import (
    BadMessage,
    Message,
    decode,
    encode,
    metrics_from_json,
)
from relayd.control.requeue import (
    RequeueAnswer,
    RequeueRequest,
    requeue_to_json,
    requeued_from_json,
)
from relayd.control.sites import Freed, free_to_json, freed_from_json
from relayd.control.suppress import suppress_to_json, unsuppress_to_json
from relayd.errors import (
    DaemonUnreachable,
    RelaydError,
    StoreForbidden,
    StoreUnavailable,
    WrongField,
)
from relayd.file_access import who_may
from relayd.mail.pause import PauseRule
from relayd.mail.suppression import ToSuppress
from relayd.ports.upkeep import Compacted
from relayd.ports.view import Metric
from relayd.trace.wanted import Wanted, wanted_to_json

TIMEOUT = 60.0  # seconds; the server gives up on a slow client much earlier
RELOAD_TIMEOUT = 145.0  # one may be under way; each has 30 s, and may wait 35 s for room, 10 s for an address, and 2 s for the old workers
_CHUNK = 256 * 1024


def act(
    path: str, request: ActRequest, *, behalf: Behalf | None = None, timeout: float = TIMEOUT
) -> ActAnswer:
    """Have the daemon carry out an operator's verb, or count what it would change.

    `behalf`, here and below, is for whom the console asks; None: the caller asks for itself.
    Raises DaemonUnreachable, StoreUnavailable, StoreForbidden, RelaydError.
    """
    reply = ask(path, act_to_json(request), behalf=behalf, timeout=timeout)
    try:
        return answer_from_json(reply)
    except BadMessage as exc:
        raise RelaydError(f"{path} answered something strange: {exc}") from exc


def suppress(
    path: str,
    wanted: Sequence[ToSuppress],
    *,
    behalf: Behalf | None = None,
    timeout: float = TIMEOUT,
) -> Sequence[bool]:
    """Have the daemon suppress addresses; tell of each whether it was not suppressed. Raises as `act`."""
    match ask(path, suppress_to_json(wanted), behalf=behalf, timeout=timeout):
        case {"suppressed": [*new]} if len(new) == len(wanted):
            return [each is True for each in new]
        case _:
            raise RelaydError(f"{path} answered something strange: not what was suppressed")


def requeue(
    path: str, request: RequeueRequest, *, behalf: Behalf | None = None, timeout: float = TIMEOUT
) -> RequeueAnswer:
    """Have the daemon requeue bounced mail, or count it. Raises as `act` does."""
    reply = ask(path, requeue_to_json(request), behalf=behalf, timeout=timeout)
    try:
        return requeued_from_json(reply)
    except BadMessage as exc:
        raise RelaydError(f"{path} answered something strange: {exc}") from exc


def pause(
    path: str, request: PauseRequest, *, behalf: Behalf | None = None, timeout: float = TIMEOUT
) -> Sequence[PauseRule]:
    """Have the daemon let mail wait; return the rules. Raises as `act`."""
    return _pauses(path, pause_to_json(request), behalf, timeout)


def resume(
    path: str, request: ResumeRequest, *, behalf: Behalf | None = None, timeout: float = TIMEOUT
) -> Sequence[PauseRule]:
    """Have the daemon end pause rules; return what was ended. Raises as `act`."""
    return _pauses(path, resume_to_json(request), behalf, timeout)


def _pauses(
    path: str, request: Message, behalf: Behalf | None, timeout: float
) -> Sequence[PauseRule]:
    try:
        return pauses_from_json(ask(path, request, behalf=behalf, timeout=timeout))
    except BadMessage as exc:
        raise RelaydError(f"{path} answered something strange: {exc}") from exc


def free_site(
    path: str, site: str, *, behalf: Behalf | None = None, timeout: float = TIMEOUT
) -> Freed:
    """Have the daemon forget what a site said of us; return what that was. Raises as `act`."""
    try:
        return freed_from_json(ask(path, free_to_json(site), behalf=behalf, timeout=timeout))
    except BadMessage as exc:
        raise RelaydError(f"{path} answered something strange: {exc}") from exc


def unsuppress(
    path: str, address: str, *, behalf: Behalf | None = None, timeout: float = TIMEOUT
) -> bool:
    """Have the daemon forget what spoke against an address; False when nothing did. Raises as `act`."""
    reply = ask(path, unsuppress_to_json(address), behalf=behalf, timeout=timeout)
    return reply.get("unsuppressed") is True


def compact(path: str, *, timeout: float = TIMEOUT) -> Compacted:
    """Have the daemon give some room back to the disk, by one short step. Raises as `act`."""
    try:
        return compacted_from_json(ask(path, {"verb": "compact"}, timeout=timeout))
    except BadMessage as exc:
        raise RelaydError(f"{path} answered something strange: {exc}") from exc


def content(
    path: str,
    request: ContentRequest,
    write: Callable[[bytes], object],
    *,
    behalf: Behalf | None = None,
) -> bool:
    """Have the daemon give the content of a message, a part at a time; False when it is gone.

    That is on record before the first part. Raises StoreForbidden, and as `act` does; RelaydError too when
    the content ends too early.
    """
    with _connected(path, TIMEOUT) as sock:
        line = encode(with_behalf(content_to_json(request), behalf))
        first, newline, rest = _ask(path, sock, line).partition(b"\n")
        if _good(path, first + newline).get("gone") is True:
            return False
        while b"\n" not in rest:
            rest += _more(path, sock)
        head, _, rest = rest.partition(b"\n")
        try:
            left = octets_from_json(_decoded(path, head))
        except BadMessage as exc:
            raise RelaydError(f"{path} answered something strange: {exc}") from exc
        while left:
            part = (rest or _more(path, sock))[:left]
            write(part)
            left, rest = left - len(part), b""
    return True


def _more(path: str, sock: socket.socket) -> bytes:
    try:
        chunk = sock.recv(_CHUNK)
    except OSError as exc:
        raise DaemonUnreachable(f"lost the connection to {path}: {exc.strerror or exc}") from exc
    if not chunk:
        raise RelaydError(f"{path} gave only a part of the content: ask again")
    return chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The settings that a daemon runs with: their file, name and JSON text of each."""

    file: str
    values: Mapping[str, str]
    version: str = ""  # of the daemon; one that does not tell is older
    variables: tuple[str, ...] = ()  # of its environment that are settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """Which settings a daemon runs with, now that it has read them again."""

    file: str
    digest: str


def running_settings(path: str, *, timeout: float = TIMEOUT) -> InForce:
    """Return what the daemon runs with. Raises as `act` does."""
    match ask(path, {"verb": "settings"}, timeout=timeout):
        case {"file": str(file), "settings": dict(values)} as reply:
            return InForce(
                file=file,
                values=values,
                version=str(reply.get("version", "unknown")),
                variables=tuple(map(str, reply.get("variables", ()))),
            )
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


def follow(path: str, wanted: Wanted, *, tick: float) -> Iterator[dict[str, Any] | None]:
    """Yield what the daemon tells of what is wanted, and None when nothing came for `tick` seconds.

    Ends when the worker that tells it leaves. Raises as `act` does.
    """
    with _connected(path, TIMEOUT) as sock:
        first, newline, rest = _ask(path, sock, encode(wanted_to_json(wanted))).partition(b"\n")
        _good(path, first + newline)
        sock.settimeout(tick)
        while True:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                yield _decoded(path, line)
            try:
                chunk = sock.recv(_CHUNK)
            except TimeoutError:
                yield None
                continue
            except OSError:
                return
            if not chunk:
                return
            rest += chunk


def ask(
    path: str, request: Message, *, behalf: Behalf | None = None, timeout: float = TIMEOUT
) -> dict[str, Any]:
    """Send one request, return the reply if it is a good one. Raises as `act` does."""
    try:
        line = encode(with_behalf(request, behalf))
    except BadMessage as exc:
        raise RelaydError(f"control socket {path}: {exc}") from exc
    with _connected(path, timeout) as sock:
        return _good(path, _ask(path, sock, line))


def _good(path: str, answer: bytes) -> dict[str, Any]:
    reply = _decoded(path, answer)
    if reply.get("ok") is True:
        return reply
    error = str(reply.get("error", "no reason given"))
    if reply.get("forbidden") is True:
        raise StoreForbidden(error)
    if "where" in reply:
        raise WrongField(str(reply["where"]), error)
    raise StoreUnavailable(error) if reply.get("again") is True else RelaydError(error)


def _decoded(path: str, line: bytes) -> dict[str, Any]:
    try:
        return decode(line)
    except BadMessage as exc:
        raise RelaydError(f"control socket {path}: {exc}") from exc


@contextmanager
def _connected(path: str, timeout: float) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(path)
        except OSError as exc:
            if isinstance(exc, PermissionError):
                message = f"you may not ask the daemon at {path}: {who_may(path)}"
                raise DaemonUnreachable(message) from exc
            reason = exc.strerror or str(exc)
            raise DaemonUnreachable(f"no daemon at {path}: {reason}") from exc
        yield sock


def _ask(path: str, sock: socket.socket, line: bytes) -> bytes:
    """Return the answer: a whole line, and what has come after it."""
    answer = bytearray()
    try:
        sock.sendall(line)
        while b"\n" not in answer[-_CHUNK:] and (chunk := sock.recv(_CHUNK)):
            answer += chunk
    except TimeoutError as exc:
        raise DaemonUnreachable(
            f"no answer from {path} within {sock.gettimeout():g} s; the request may still be carried out"
        ) from exc
    except OSError as exc:
        raise DaemonUnreachable(f"lost the connection to {path}: {exc.strerror}") from exc
    if b"\n" not in answer:
        raise DaemonUnreachable(f"{path} closed the connection without a whole answer")
    return bytes(answer)

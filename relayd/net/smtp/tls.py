"""TLS towards a next hop: contexts, what was negotiated, and what went wrong.

A handshake verifies nothing: the certificate is judged after it (`relayd.net.trust_anchor`), and what follows is decided in
`relayd.policy.tls.ladder`. This keeps the memory of failures, and of what the log has been told.

Sources: RFC 3207; RFC 8996 (TLS 1.2 is the floor).
"""

import asyncio
import os
import ssl

from relayd.errors import Shortage, is_shortage
from relayd.mail.attempt import TlsFacts
from relayd.mail.reply import clean_text
from relayd.mail.tls_result import Proof, TlsProof
from relayd.net.dane_chain import chain_of
from relayd.net.trust_anchor import Authorities, check_anchor
from relayd.policy.tls.dane import match
from relayd.policy.tls.ladder import Level, TlsEvent, TlsFailure
from relayd.ports.outward import Target
from relayd.settings import CertificateSettings

_REMEMBER_AT_MOST = 10_000  # servers


class TlsContexts:
    """What connections share: the contexts, without and with each certificate of ours, and what is known of servers."""

    def __init__(self, cafile: str | None = None) -> None:
        """Load the system's authorities, or those of `cafile` instead."""
        self._authorities = Authorities(cafile)
        self._without = _context()
        self._with: dict[CertificateSettings, tuple[_Stamps, ssl.SSLContext]] = {}
        self._failures: dict[_Server, tuple[TlsFailure, float]] = {}  # and until when

    async def context_for(self, certificate: CertificateSettings | None) -> ssl.SSLContext:
        """Return the context to show a certificate of ours in, as its files are now. Raises OSError, ssl.SSLError among them."""
        if certificate is None:
            return self._without
        stamps = _stamp(certificate.certificate), _stamp(certificate.key)
        known, context = self._with.get(certificate, (None, self._without))
        if known != stamps:
            context = await asyncio.to_thread(_context, certificate)
            self._with[certificate] = stamps, context
        return context

    def judge(
        self, target: Target, transport: asyncio.BaseTransport, *, now: float
    ) -> Proof | TlsFailure:
        """Return what the certificates of a server prove, or why they do not prove enough."""
        chain = chain_of(transport.get_extra_info("ssl_object"))
        if target.requirement.level is Level.DANE:
            return match(chain, target.requirement, check_anchor)
        name = name_for_tls(target)
        flaw = self._authorities.flaw_of(chain, name, now=now)
        return flaw or Proof(kind=TlsProof.PKIX, name=name)

    def remember(self, target: Target, failure: TlsFailure, *, now: float) -> bool:
        """Note what was wrong with this server at `now`, in monotonic seconds; tell whether that is news."""
        is_news = self.failure_of(target, now=now) != failure
        if len(self._failures) >= _REMEMBER_AT_MOST:
            self._failures.clear()
        if is_news:
            self._failures[_server(target)] = failure, now + failure.remembered_for
        return is_news

    def failure_of(self, target: Target, *, now: float) -> TlsFailure | None:
        """What was wrong with this server lately; None if nothing is known."""
        failure, until = self._failures.get(_server(target), (None, 0.0))
        return failure if now < until else None


_Server = tuple[str, str, int, CertificateSettings | None]
_Stamps = tuple[tuple[int, int, int], tuple[int, int, int]]


def _server(target: Target) -> _Server:
    return target.host, target.ip, target.port, target.certificate


def _stamp(path: str) -> tuple[int, int, int]:
    """Return what changes with a file. Raises OSError."""
    found = os.stat(path)  # noqa: PTH116 -- a cheap look before each connection
    return found.st_ino, found.st_ctime_ns, found.st_size


def _context(certificate: CertificateSettings | None = None) -> ssl.SSLContext:
    """Make one for handshakes. Raises OSError, ssl.SSLError among them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        # Without a password, a key that has one would ask for it on the terminal.
        context.load_cert_chain(certificate.certificate, certificate.key, password=lambda: "")
    return context


def name_for_tls(target: Target) -> str:
    """The name that the certificate has to prove, which SNI asks for too (RFC 7672 §8.1)."""
    return target.requirement.base or target.host.rstrip(".") or target.ip


def read_tls_facts(transport: asyncio.BaseTransport, *, problem: str) -> TlsFacts:
    """What was negotiated; verified unless there is a problem."""
    tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
    cipher = tls.cipher()
    return TlsFacts(
        version=tls.version() or "unknown",
        cipher=cipher[0] if cipher else "unknown",
        verified=not problem,
        problem=problem,
    )


def tls_failure(exc: Exception) -> TlsFailure:
    """Return what ended a handshake. Raises Shortage: a lack of ours must not cost a host its TLS."""
    if isinstance(exc, OSError) and not isinstance(exc, ssl.SSLError) and is_shortage(exc):
        raise Shortage(f"no TLS for now: {(exc.strerror or str(exc)).lower()}") from exc
    return TlsFailure(event=TlsEvent.NO_HANDSHAKE, reason=_reason_for(exc))


def _reason_for(exc: Exception) -> str:
    """Say in one line why there is no TLS."""
    match exc:
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER"):  # what came is no TLS at all
            text = "TLS handshake failed: the server does not speak TLS here"
        case ssl.SSLError():
            text = f"TLS handshake failed: {(exc.reason or str(exc)).replace('_', ' ').lower()}"
        case ConnectionAbortedError() | TimeoutError():
            text = "TLS handshake not finished in time"
        case ConnectionError():
            text = "connection closed in the TLS handshake"
        case _:
            text = f"TLS handshake failed: {exc}"
    return clean_text(text.encode("utf-8", "backslashreplace"), limit=300)

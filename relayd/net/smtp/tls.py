"""TLS towards a next hop: contexts, what was negotiated, and what went wrong.

Which kind of TLS a session has, and for how long a failure counts, is decided in
`relayd.policy.tls.ladder`; this keeps the memory of failures.

Python cannot say afterwards whether a certificate would have passed, so a handshake is first
tried with verification. A host whose certificate failed meets the lenient context at once while that
is remembered.

Sources: RFC 3207; RFC 8996 (TLS 1.2 is the floor); RFC 6125 (names; the common name is not one).
"""

import asyncio
import os
import ssl
from dataclasses import dataclass

from relayd.errors import Shortage, is_shortage
from relayd.mail.attempt import TlsFacts
from relayd.mail.reply import clean_text
from relayd.policy.delivery.tls import TlsFailure
from relayd.ports.outward import Target
from relayd.settings import CertificateSettings

_REMEMBER_AT_MOST = 10_000  # servers


@dataclass(frozen=True, slots=True)
class Contexts:
    """A context per policy; loading the authorities costs tens of milliseconds (HC-10)."""

    verified: ssl.SSLContext
    lenient: ssl.SSLContext


class TlsContexts:
    """The contexts that connections share: those without a certificate of ours, and those of each certificate."""

    def __init__(self, cafile: str | None = None) -> None:
        """Load the system's authorities, or those of `cafile` instead."""
        self._cafile = cafile
        self._without = _contexts(cafile)
        self._with: dict[CertificateSettings, tuple[_Stamps, Contexts]] = {}
        self._failures: dict[_Server, tuple[TlsFailure, float]] = {}  # and until when

    async def contexts_for(self, certificate: CertificateSettings | None) -> Contexts:
        """Return the contexts to show a certificate of ours in, as its files are now. Raises OSError, ssl.SSLError among them."""
        if certificate is None:
            return self._without
        stamps = _stamp(certificate.certificate), _stamp(certificate.key)
        known, contexts = self._with.get(certificate, (None, self._without))
        if known != stamps:
            contexts = await asyncio.to_thread(_contexts, self._cafile, certificate)
            self._with[certificate] = stamps, contexts
        return contexts

    def remember(self, target: Target, failure: TlsFailure, *, now: float) -> None:
        """Note what was wrong with this server at `now`, in monotonic seconds."""
        if len(self._failures) >= _REMEMBER_AT_MOST:
            self._failures.clear()
        self._failures[_server(target)] = failure, now + failure.remembered_for

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


def _contexts(cafile: str | None, certificate: CertificateSettings | None = None) -> Contexts:
    """Make them. Raises OSError, ssl.SSLError among them."""
    verified = ssl.create_default_context(cafile=cafile)
    verified.hostname_checks_common_name = False
    # Set by default from Python 3.13 on; some real mail hosts fail it (HU-06).
    verified.verify_flags &= ~ssl.VERIFY_X509_STRICT
    lenient = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lenient.check_hostname = False
    lenient.verify_mode = ssl.CERT_NONE
    for context in (verified, lenient):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            # Without a password, a key that has one would ask for it on the terminal.
            context.load_cert_chain(certificate.certificate, certificate.key, password=lambda: "")
    return Contexts(verified, lenient)


def name_for_tls(host: str, ip: str) -> str:
    """The name that the certificate has to prove, which SNI asks for too."""
    return host.rstrip(".") or ip


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
    about_certificate = isinstance(exc, ssl.SSLCertVerificationError)
    return TlsFailure(_reason_for(exc), of_certificate=about_certificate)


def _reason_for(exc: Exception) -> str:
    """Say in one line why there is no TLS."""
    match exc:
        case ssl.SSLCertVerificationError():
            text = f"certificate not valid: {exc.verify_message.rstrip('.')}"
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

"""Tell whether the certificates of a server prove a name, after the handshake is over.

Python does not tell afterwards whether OpenSSL would have verified a chain: a handshake either insists on it or does not look.
So OpenSSL is shown the same chain a second time. A client in memory is given the first flight of a TLS 1.2 server with those
certificates. It verifies them at once, before the key is of any matter, and says what it found. Nothing is sent, and
that the server holds the key was proven by the real handshake. So a certificate is judged as by any client of this
system: same authorities, same rules, same words, whatever follows from it.

Under a trust anchor of a TLSA record (usage 2) that anchor is the only authority.

What cannot be read or judged proves nothing, and is said in words; nothing is raised.

Sources: RFC 5246 §7.3, §7.4 (the flight); RFC 5746 §3.6; RFC 6125 §6.4 (names; the common name is none);
RFC 7671 §5.2.2 (DANE-TA).
"""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256

from relayd.mail.reply import clean_text
from relayd.net.local import check_descriptors
from relayd.policy.doctor.der import DerError, issuer_of, public_key_of
from relayd.policy.tls.anchor import Anchor, certificate_around
from relayd.policy.tls.ladder import TlsEvent, TlsFailure

_ECDSA, _RSA = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"
_SUITES = {_ECDSA: b"\xc0\x2b", _RSA: b"\xc0\x2f"}
_RSA_KEY = bytes.fromhex("2a864886f70d0101")  # begins each OID of a key for RSA: 1.2.840.113549.1.1
_FRAGMENT = 1 << 14  # octets, the most that a record holds
_ISSUERS = 10  # whose key a bare one may be, at most
_REMEMBER_AT_MOST = 2_000  # chains
_REMEMBERED_FOR = 600.0  # seconds: so long may an expiry be overlooked

_EVENTS = {10: TlsEvent.EXPIRED, 62: TlsEvent.WRONG_NAME, 64: TlsEvent.WRONG_NAME}  # X509_V_ERR_…


class Authorities:
    """Those that this system trusts, and what they were found to vouch for lately."""

    def __init__(self, cafile: str | None = None) -> None:
        """Load the system's, or those of `cafile` instead; it takes tens of milliseconds (HC-10)."""
        self._context = _judging(ssl.create_default_context(cafile=cafile))
        self._known: dict[tuple[bytes, str], tuple[TlsFailure | None, float]] = {}

    def flaw_of(self, chain: Sequence[bytes], name: str, *, now: float) -> TlsFailure | None:
        """Return why the chain does not prove the name; None if it does. `now` is in monotonic seconds.

        Raises Shortage: OpenSSL looks for authorities in a folder, and does not tell when it could not open it.
        """
        key = sha256(b"".join(chain)).digest(), name
        flaw, until = self._known.get(key, (None, 0.0))
        if now < until:
            return flaw
        if len(self._known) >= _REMEMBER_AT_MOST:
            self._known.clear()
        flaw = _flaw(self._context, chain, name, "certificate not valid")
        if flaw is not None:
            check_descriptors()
        self._known[key] = flaw, now + _REMEMBERED_FOR
        return flaw


def check_anchor(chain: Sequence[bytes], anchor: Anchor, names: Sequence[str]) -> str | TlsFailure:
    """Return the first of the names that the chain proves under the anchor, or why it proves none."""
    flaw = TlsFailure(event=TlsEvent.NO_MATCH, reason="dane-ta: no name to prove")
    for root in _roots(chain, anchor):
        try:
            context = _trusting(root)
        except (ssl.SSLError, ValueError):
            reason = "dane-ta: the TLSA record holds no certificate"
            return TlsFailure(event=TlsEvent.NO_MATCH, reason=reason)
        for name in names:
            found = _flaw(context, chain, name, "dane-ta")
            if found is None:
                return name
            flaw = found
            if flaw.event is not TlsEvent.WRONG_NAME:
                break
        if flaw.event is not TlsEvent.NOT_TRUSTED:
            return flaw
    return TlsFailure(event=TlsEvent.NO_MATCH, reason=flaw.reason)


def _roots(chain: Sequence[bytes], anchor: Anchor) -> Iterator[bytes]:
    """Return the anchor as a certificate: a bare key is that of one of the issuers, the last ones first."""
    if not anchor.is_key:
        yield anchor.der
        return
    issuers: dict[bytes, None] = {}
    for shown in reversed(chain):
        with suppress(DerError):
            issuers[issuer_of(shown)] = None
    for issuer, _ in zip(issuers, range(_ISSUERS), strict=False):
        yield certificate_around(anchor.der, issuer)


@lru_cache(maxsize=64)
def _trusting(root: bytes) -> ssl.SSLContext:
    """Return a context that trusts one certificate, which need not be a root. Raises SSLError, ValueError."""
    context = _judging(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=root)
    return context


def _judging(context: ssl.SSLContext) -> ssl.SSLContext:
    """Set a client context up for judging chains."""
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{_ECDSA}:{_RSA}")
    context.hostname_checks_common_name = False
    # Set by default from Python 3.13 on; some real mail hosts fail it (HU-06).
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _flaw(
    context: ssl.SSLContext, chain: Sequence[bytes], name: str, what: str
) -> TlsFailure | None:
    """Show a client the chain; return what it says of it."""
    if not chain:
        return TlsFailure(event=TlsEvent.NOT_TRUSTED, reason=f"{what}: there is none")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        client = context.wrap_bio(incoming, outgoing, server_hostname=name)
        _go_on(client)
        incoming.write(_flight(chain))
        client.do_handshake()
    except ssl.SSLWantReadError:  # for the rest of the flight: the certificates have passed
        return None
    except ssl.SSLCertVerificationError as error:
        event = _EVENTS.get(error.verify_code, TlsEvent.NOT_TRUSTED)
        return TlsFailure(event=event, reason=_line(f"{what}: {error.verify_message.rstrip('.')}"))
    except (
        ssl.SSLError,
        DerError,
        ValueError,
    ) as error:  # ValueError: a name that TLS cannot carry
        words = error.reason if isinstance(error, ssl.SSLError) else str(error)
        reason = _line(f"{what}: it cannot be read: {words or error}")
        return TlsFailure(event=TlsEvent.NOT_TRUSTED, reason=reason)
    return TlsFailure(event=TlsEvent.NOT_TRUSTED, reason=f"{what}: it cannot be judged")


def _go_on(client: ssl.SSLObject) -> None:
    """Let the client say its hello, which nobody reads."""
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return
    raise DerError("a handshake without a server")


def _flight(chain: Sequence[bytes]) -> bytes:
    """Return a ServerHello and the chain, in records of TLS 1.2. Raises DerError."""
    suite = _SUITES[_RSA if _RSA_KEY in public_key_of(chain[0])[:40] else _ECDSA]
    renegotiation_info = b"\xff\x01\x00\x01\x00"
    hello = (
        b"\x03\x03" + bytes(32) + b"\x00" + suite + b"\x00"
        + len(renegotiation_info).to_bytes(2) + renegotiation_info
    )  # fmt: skip
    shown = _sized(b"".join(_sized(one) for one in chain))
    messages = b"\x02" + _sized(hello) + b"\x0b" + _sized(shown)
    pieces = (messages[at : at + _FRAGMENT] for at in range(0, len(messages), _FRAGMENT))
    return b"".join(b"\x16\x03\x03" + len(piece).to_bytes(2) + piece for piece in pieces)


def _sized(octets: bytes) -> bytes:
    return len(octets).to_bytes(3) + octets


def _line(text: str) -> str:
    return clean_text(text.encode("utf-8", "backslashreplace"), limit=300)

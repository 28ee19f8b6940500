"""Tell whether the certificates of a server prove a name, after the handshake is over.

Python does not tell afterwards whether OpenSSL would have verified a chain: a handshake either insists on it or does not look.
So OpenSSL is shown the same chain a second time. A client in memory is given the first flight of a TLS 1.2 server with those
certificates. It verifies them at once, before the key is of any matter, and says what it found. Nothing is sent, and
that the server holds the key was proven by the real handshake. So a certificate is judged as by any client of this
system: same authorities, same rules, same words, whatever follows from it.

Under a trust anchor of a TLSA record (usage 2) that anchor is the only authority.

Many hosts of one provider show the same chain. It is shown to OpenSSL once for a flaw that has nothing to do with the name, and
for a name that a good chain has letter by letter, or under a wildcard in place of its first label. OpenSSL judges all others.

What cannot be read or judged proves nothing, and is said in words; nothing is raised.

Sources: RFC 5246 §7.3, §7.4 (the flight); RFC 5746 §3.6; RFC 6125 §6.4 (names; the common name is none);
RFC 7671 §5.2.2 (DANE-TA).
"""

import os
import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

from relayd.mail.reply import clean_text
from relayd.net.local import check_descriptors
from relayd.policy.doctor.der import DerError, issuer_of, names_of, public_key_of
from relayd.policy.tls.anchor import Anchor, certificate_around
from relayd.policy.tls.ladder import TlsEvent, TlsFailure

_ECDSA, _RSA = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"
_SUITES = {_ECDSA: b"\xc0\x2b", _RSA: b"\xc0\x2f"}
_RSA_KEY = bytes.fromhex("2a864886f70d0101")  # begins each OID of a key for RSA: 1.2.840.113549.1.1
_FRAGMENT = 1 << 14  # octets, the most that a record holds
_ISSUERS = 10  # whose key a bare one may be, at most
_REMEMBER_AT_MOST = 2_000  # chains
_REMEMBERED_FOR = 600.0  # seconds: so long may an expiry be overlooked
_NAMES_AT_MOST = 20_000  # of all chains that are remembered

_EVENTS = {10: TlsEvent.EXPIRED, 62: TlsEvent.WRONG_NAME, 64: TlsEvent.WRONG_NAME}  # X509_V_ERR_…
_NO_ISSUER = (2, 18, 19, 20, 21)  # X509_V_ERR_…: no chain to an authority, so no name was looked at
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# No IP address. OpenSSL knows no wildcard where a label has an underscore, or begins or ends with a hyphen.
_HOST = re.compile(rf"[a-z0-9-]{{1,63}}((?:\.{_LABEL})*\.(?=[a-z]){_LABEL})")


@dataclass(slots=True)
class _Judged:
    """What was found of one chain so far."""

    until: float  # monotonic seconds
    flaw: TlsFailure | None = None  # whatever the name
    by_name: dict[str, TlsFailure | None] = field(default_factory=dict)
    own_names: frozenset[str] | None = None  # of the certificate, once they are needed

    def is_proven(self, name: str) -> bool:
        """Tell whether a name that was not judged yet is one that OpenSSL finds in the certificate."""
        found = _HOST.fullmatch(name)
        if found is None or not self.own_names:
            return False
        rest = found[1]
        return name in self.own_names or (rest.count(".") > 1 and f"*{rest}" in self.own_names)


class Authorities:
    """Those that this system trusts, and what they were found to vouch for lately."""

    def __init__(self, cafile: str | None = None) -> None:
        """Load the system's, or those of `cafile` instead; it takes tens of milliseconds (HC-10)."""
        self._context = _judging(_of_system() if cafile is None else _of_file(cafile))
        self._known: dict[bytes, _Judged] = {}
        self._names = 0  # how many names that is

    def flaw_of(self, chain: Sequence[bytes], name: str, *, now: float) -> TlsFailure | None:
        """Return why the chain does not prove the name; None if it does. `now` is in monotonic seconds.

        Raises Shortage: OpenSSL looks for authorities in a folder, and does not tell when it could not open it.
        """
        digest = sha256(b"".join(map(_sized, chain))).digest()
        known = self._known.get(digest)
        if known is None or now >= known.until:
            self._make_room(1)
            known = self._known[digest] = _Judged(until=now + _REMEMBERED_FOR)
        if known.flaw is not None:
            return known.flaw
        if name in known.by_name:
            return known.by_name[name]
        if known.own_names is None and None in known.by_name.values():  # good, and asked again
            known.own_names = _names_of(chain)
            self._names += len(known.own_names)
        if known.is_proven(name):
            return None
        flaw, concerns_name = _judge(self._context, chain, name, "certificate not valid")
        if flaw is not None:
            check_descriptors()
        if not concerns_name:
            known.flaw = flaw
        else:
            known.by_name[name] = flaw
            self._names += 1
        self._make_room(0)
        return flaw

    def _make_room(self, chains: int) -> None:
        """Forget everything if it is too much, with so many chains more."""
        if len(self._known) + chains > _REMEMBER_AT_MOST or self._names > _NAMES_AT_MOST:
            self._known.clear()
            self._names = 0


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


def _of_system() -> ssl.SSLContext:
    """Return a context with the authorities of this system.

    As Python loads them, but without OpenSSL's own store: that reads the whole folder of authorities for each chain with an
    unknown one, where the folder's links by hash are enough.
    """
    paths = ssl.get_default_verify_paths()
    file = os.environ.get(paths.openssl_cafile_env, paths.openssl_cafile)
    folder = os.environ.get(paths.openssl_capath_env, paths.openssl_capath)
    context = ssl.create_default_context(capath=folder or os.devnull)
    with suppress(OSError):  # ssl.SSLError is one: no such file, or nothing in it
        context.load_verify_locations(cafile=file)
    return context


def _of_file(cafile: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cafile)


def _names_of(chain: Sequence[bytes]) -> frozenset[str]:
    try:
        return frozenset(names_of(chain[0]))
    except DerError:
        return frozenset()


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
    return _judge(context, chain, name, what)[0]


def _judge(
    context: ssl.SSLContext, chain: Sequence[bytes], name: str, what: str
) -> tuple[TlsFailure | None, bool]:
    """Return what a client says of the chain, and whether another name may change that."""
    if not chain:
        return TlsFailure(event=TlsEvent.NOT_TRUSTED, reason=f"{what}: there is none"), True
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        client = context.wrap_bio(incoming, outgoing, server_hostname=name)
        _go_on(client)
        incoming.write(_flight(chain))
        client.do_handshake()
    except ssl.SSLWantReadError:  # for the rest of the flight: the certificates have passed
        return None, True
    except ssl.SSLCertVerificationError as error:
        event = _EVENTS.get(error.verify_code, TlsEvent.NOT_TRUSTED)
        reason = _line(f"{what}: {error.verify_message.rstrip('.')}")
        return TlsFailure(event=event, reason=reason), error.verify_code not in _NO_ISSUER
    except (
        ssl.SSLError,
        DerError,
        ValueError,
    ) as error:  # ValueError: a name that TLS cannot carry
        words = error.reason if isinstance(error, ssl.SSLError) else str(error)
        reason = _line(f"{what}: it cannot be read: {words or error}")
        return TlsFailure(event=TlsEvent.NOT_TRUSTED, reason=reason), True
    return TlsFailure(event=TlsEvent.NOT_TRUSTED, reason=f"{what}: it cannot be judged"), True


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

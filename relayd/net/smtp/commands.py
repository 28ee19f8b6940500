"""What a next hop offers, and the commands of one transaction with it.

Owns the words on the wire from MAIL to DATA, and the refusals that need no question: a message
that the server says it cannot take is not sent (S-35, S-36, A-48). Pure: no connection in here.

Addresses are the octets we were given; nothing is quoted, folded or re-serialised (HC-04). Commands are
as long as RFC 5321 §4.5.3.1.4 and the extensions allow, unless an address alone takes more than that.

Sources: RFC 5321 §4.1.1; RFC 1870 (SIZE); RFC 6152 (8BITMIME); RFC 6531 (SMTPUTF8); RFC 3461 (DSN);
RFC 6533 (its addresses beyond ASCII); RFC 8689 (REQUIRETLS).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import idna
from aiosmtplib.esmtp import parse_esmtp_extensions

from relayd.mail.attempt import RouteKind
from relayd.mail.envelope import QueuedMessage, QueuedRecipient
from relayd.mail.parameters import MAIL_WITHOUT, RCPT_WITHOUT, RcptParameters
from relayd.mail.reply import Reply, Stage, make_reply
from relayd.mail.tls_result import TlsPolicy, TlsProof
from relayd.ports.outward import Target

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_LONGEST_VALUE = 500  # octets of a parameter: ORCPT, RFC 3461 §4.2; the others stay below it
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """The extensions of a server that we know what to do with."""

    pipelining: bool = False
    size: bool = False
    size_limit: int | None = None  # octets; None: none that we know of
    eight_bit_mime: bool = False
    smtputf8: bool = False
    dsn: bool = False
    starttls: bool = False
    requiretls: bool = False
    mechanisms: tuple[str, ...] = ()  # of AUTH, lower case


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Our own refusal of a message or recipient that this server cannot take."""

    stage: Stage
    reply: Reply
    reason: str  # what the server lacks, and what to do; one line for people


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The commands of one transaction; without any recipient there is nothing to send."""

    mail: bytes
    rcpts: tuple[bytes, ...]
    refused: Mapping[int, Refusal]  # by index; these recipients take no part


def read_offers(ehlo: Reply) -> Offers:
    """Read the extensions off the reply to EHLO; what makes no sense counts as not said."""
    return _read_offers(ehlo.lines[1:])  # the first line is a greeting


@lru_cache(maxsize=256)
def _read_offers(lines: tuple[str, ...]) -> Offers:
    """Servers of one make say the same."""
    extensions, mechanisms = parse_esmtp_extensions("\n".join(("", *lines)))
    return Offers(
        pipelining="pipelining" in extensions,
        size="size" in extensions,
        size_limit=_read_size(extensions.get("size", "")),
        eight_bit_mime="8bitmime" in extensions,
        smtputf8="smtputf8" in extensions,
        dsn="dsn" in extensions,
        starttls="starttls" in extensions,
        requiretls="requiretls" in extensions,
        mechanisms=tuple(mechanisms),
    )


def plan(
    message: QueuedMessage,
    recipients: Sequence[QueuedRecipient],
    size: int,
    offers: Offers,
    target: Target,
    *,
    is_8bit: bool,
    proof: TlsProof = TlsProof.NONE,
) -> Plan:
    """Compose the commands. `size` counts the octets that will be sent (RFC 1870 §3).

    `is_8bit`: the body has octets above 127. `proof` is what the session has shown. SMTPUTF8 is asked for only where an address needs it,
    or where the client asked for it and a header field needs it: what is asked of this server, it
    has to ask of the next one (S-36). Raw octets in a header go as they came. With `assume_8bit`
    content goes as it is, whatever is offered; an address never does.
    Raises ValueError on a control character: such a command must never leave.
    """
    needs_utf8 = not _fits_ascii(message.reverse_path) or (
        message.utf8_headers and message.parameters.smtputf8
    )
    refusal = (
        _refuse_size(size, offers)
        or _refuse_sender(message, offers)
        or _refuse_tls(message, offers, target, proof)
    )
    if refusal is None and not target.assume_8bit:
        refusal = _refuse_content(offers, target, needs_utf8=needs_utf8, is_8bit=is_8bit)
    if refusal is not None:
        return Plan(mail=b"", rcpts=(), refused=dict.fromkeys(range(len(recipients)), refusal))
    use_utf8 = offers.smtputf8 and (
        needs_utf8 or not all(_fits_ascii(recipient.address) for recipient in recipients)
    )
    rcpts: list[bytes] = []
    refused: dict[int, Refusal] = {}
    for index, recipient in enumerate(recipients):
        path = _encode(recipient.address, utf8=use_utf8)
        if path is None:
            refused[index] = _UTF8_RECIPIENT
            continue
        asks = offers.dsn and recipient.parameters is not RCPT_WITHOUT
        extra = _of_rcpt(recipient.parameters, utf8=use_utf8) if asks else b""
        rcpts.append(_command(b"RCPT TO:<%b>%b" % (path, extra)))
    mail = _mail(message, size, offers, use_utf8=use_utf8, is_8bit=is_8bit)
    return Plan(mail=mail, rcpts=tuple(rcpts), refused=refused)


def hello(verb: bytes, fqdn: str) -> bytes:
    return _command(verb + b" " + fqdn.encode("ascii"))


def _mail(
    message: QueuedMessage, size: int, offers: Offers, *, use_utf8: bool, is_8bit: bool
) -> bytes:
    parts = [b"MAIL FROM:<%b>" % (_encode(message.reverse_path, utf8=use_utf8) or b"")]
    if offers.size:
        parts.append(b" SIZE=%d" % size)
    if is_8bit and offers.eight_bit_mime:
        parts.append(b" BODY=8BITMIME")
    if use_utf8:
        parts.append(b" SMTPUTF8")
    if message.parameters.requiretls:
        parts.append(b" REQUIRETLS")
    if offers.dsn and message.parameters is not MAIL_WITHOUT:
        given = message.parameters
        parts.append(_parameters(RET=given.ret, ENVID=given.envid))
    return _command(b"".join(parts))


def _refuse_size(size: int, offers: Offers) -> Refusal | None:
    if offers.size_limit is None or size <= offers.size_limit:
        return None
    return _refusal(
        552,
        f"5.3.4 not sent: {size} octets, and the server takes {offers.size_limit}",
        "the server takes no message of this size: send less, such as a link in place of a file",
    )


def _refuse_sender(message: QueuedMessage, offers: Offers) -> Refusal | None:
    if offers.smtputf8 or _fits_ascii(message.reverse_path):
        return None
    return _refusal(
        554,
        "5.6.7 not sent: the sender needs SMTPUTF8, which the server does not offer",
        "the server takes no sender with characters beyond ASCII: send from another address",
    )


def _refuse_tls(
    message: QueuedMessage, offers: Offers, target: Target, proof: TlsProof
) -> Refusal | None:
    """Refuse to send what came with REQUIRETLS without that proof and that promise (RFC 8689 §4.2.1).

    The name of a mail host has to be proven too, by DNSSEC or MTA-STS; that of a smarthost is in the settings.
    """
    if not message.parameters.requiretls:
        return None
    is_named = target.route is RouteKind.SMARTHOST or target.requirement.policy in _PROVEN
    if proof not in (TlsProof.NONE, TlsProof.ENCRYPTED) and is_named and offers.requiretls:
        return None
    lacks = "a certificate that proves the server" if offers.requiretls else "REQUIRETLS"
    return _refusal(
        550,
        f"5.7.30 not sent: REQUIRETLS was asked for, and the server lacks {lacks}",
        f"the sender asked for REQUIRETLS, and the server lacks {lacks}: send without it, or with another server",
    )


_PROVEN = (TlsPolicy.DANE, TlsPolicy.MTA_STS)


def _refuse_content(
    offers: Offers, target: Target, *, needs_utf8: bool, is_8bit: bool
) -> Refusal | None:
    remedy = _ASSUME if target.route is RouteKind.SMARTHOST else ""
    if needs_utf8 and not offers.smtputf8:
        return _refusal(
            554,
            "5.6.7 not sent: a header needs SMTPUTF8, which the server does not offer",
            f"the server takes no header with characters beyond ASCII{remedy}",
        )
    if is_8bit and not offers.eight_bit_mime:
        return _refusal(
            554,
            "5.6.3 not sent: it is 8-bit, and the server does not offer 8BITMIME",
            f"the server takes no 8-bit text{remedy}",
        )
    return None


_ASSUME = "; if it does all the same, set assume_8bit = true for it, in [smarthost], [smarthosts.NAME] or [routes]"


def _refusal(code: int, text: str, reason: str, stage: Stage = Stage.MAIL) -> Refusal:
    reply = make_reply(code, (f"{text} (said by relayd)",))
    return Refusal(stage=stage, reply=reply, reason=reason)


_UTF8_RECIPIENT = _refusal(
    554,
    "5.6.7 not sent: the address needs SMTPUTF8, which the server does not offer",
    "the server takes no address with characters beyond ASCII",
    Stage.RCPT,
)


def _fits_ascii(address: str) -> bool:
    return address.isascii() or _encode(address, utf8=False) is not None


def _encode(address: str, *, utf8: bool) -> bytes | None:
    """The octets of an address; None if it cannot go without SMTPUTF8.

    Without it a UTF-8 domain goes as A-labels (S-36), by IDNA 2008: `faß.de` stays itself (HN-03).
    """
    if utf8 or address.isascii():
        return address.encode()
    local, _, domain = address.rpartition("@")
    if not local.isascii():
        return None
    try:
        return b"%b@%b" % (local.encode(), idna.encode(domain, uts46=True))
    except idna.IDNAError:
        return None


def _of_rcpt(given: RcptParameters, *, utf8: bool) -> bytes:
    """The parameters of RCPT; escaped for a server that was not asked for SMTPUTF8 (RFC 6533 §3)."""
    orcpt = given.orcpt
    if orcpt is not None and not utf8:
        orcpt = _BEYOND_ASCII.sub(_escaped, orcpt)
    return _parameters(NOTIFY=given.notify, ORCPT=orcpt)


def _parameters(**given: str | None) -> bytes:
    """The parameters as they came, each with a blank in front.

    One that has become too long on the way, in octets or by its escapes, is left out: it only tells a
    report what the original recipient was.
    """
    values = {name: value.encode() for name, value in given.items() if value is not None}
    return b"".join(
        b" %b=%b" % (name.encode(), value)
        for name, value in values.items()
        if len(value) <= _LONGEST_VALUE
    )


def _escaped(found: re.Match[str]) -> str:
    return f"\\x{{{ord(found[0]):X}}}"


def _command(line: bytes) -> bytes:
    if _CONTROL.search(line):
        raise ValueError("a control character in a command")
    return line + b"\r\n"


def _read_size(parameter: str) -> int | None:
    """The limit; None for 0, which RFC 1870 §4 calls no fixed limit, and for what is no number."""
    if not (parameter.isascii() and parameter.isdigit() and len(parameter) < 20):
        return None
    return int(parameter) or None

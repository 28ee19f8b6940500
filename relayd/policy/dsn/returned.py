"""The part of a report that brings the message back, or its header section.

A copy is the octets as stored, so it is only made of what a mail may hold as it is; the header
section goes as quoted-printable where it may not. A report that stays ASCII can be sent anywhere:
content beyond ASCII comes back as a copy only to who asked for it or takes SMTPUTF8 anyway.

Source: RFC 3461 §4.3 (RET); RFC 6522 §4 (text/rfc822-headers); RFC 2046 §5.2.1 (encodings that
message/rfc822 may have); RFC 6533 §4 (message/global).
"""

from binascii import b2a_qp
from collections.abc import Sequence
from dataclasses import dataclass

from relayd.mail.header import header_end
from relayd.mail.line_ends import is_clean
from relayd.policy.dsn.facts import DsnFacts, FailedRecipient

HEADER_LIMIT = 1 << 16  # octets of a header section that come back
_LINE_LIMIT = 998  # octets


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One body part, its encoding done."""

    content_type: str
    encoding: str  # 7bit, 8bit or quoted-printable
    body: bytes


def returned(
    facts: DsnFacts, recipients: Sequence[FailedRecipient], original: bytes, *, limit: int
) -> Part:
    """The full message of at most `limit` octets if one failed and RET allows it; else the header."""
    header = original[: header_end(original)]
    failed = any(one.action == "failed" for one in recipients)
    if not failed or facts.ret == "HDRS" or len(original) > limit or not _is_plain(original):
        return _header_part(header)
    if original.isascii():
        return Part(content_type="message/rfc822", encoding="7bit", body=original)
    if facts.is_utf8:
        kind = "message/rfc822" if header.isascii() else "message/global"
        return Part(content_type=kind, encoding="8bit", body=original)
    # Where 8-bit content was the trouble, it would be the report's trouble too.
    refused = any(one.status.endswith(".6.3") for one in recipients)
    if facts.ret == "FULL" and header.isascii() and not refused:
        return Part(content_type="message/rfc822", encoding="8bit", body=original)
    return _header_part(header)


def _header_part(header: bytes) -> Part:
    if len(header) > HEADER_LIMIT:
        whole, end, rest = header[:HEADER_LIMIT].rpartition(b"\r\n")
        header = whole + end or rest
    kind = "text/rfc822-headers"
    if header.isascii() and _is_plain(header):
        return Part(content_type=kind, encoding="7bit", body=header)
    lines = (b2a_qp(line, istext=False) for line in header.split(b"\r\n"))
    body = b"\r\n".join(line.replace(b"\n", b"\r\n") for line in lines)
    charset = "" if header.isascii() else "; charset=utf-8"
    return Part(content_type=kind + charset, encoding="quoted-printable", body=body)


def _is_plain(content: bytes) -> bool:
    """Tell whether a mail may hold it as it is: CRLF lines of at most 998 octets, no NUL."""
    return is_clean(content) and all(len(line) <= _LINE_LIMIT for line in content.split(b"\r\n"))

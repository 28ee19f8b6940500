"""Writing a message of its fields (`mail_fields`): the header section by us, MIME by the standard library.

All of it is 7-bit but for addresses that are not. Bcc is in the envelope alone. Date and Message-ID are left to the
daemon, as for every client that submits mail: then a message that is given twice has one Message-ID.

Text is Unicode, and comes out as it was given. So what looks like an encoded word is encoded once more. The library's
newer header classes would decode it on the way, also in the name of a file, and write the line end that is in it.

Source: RFC 5322 §2.2.3 (folding), §3.6; RFC 2047; RFC 2231; RFC 6532 (addresses in UTF-8).
"""

import re
from collections.abc import Iterator, Sequence
from email import encoders
from email.charset import QP, Charset
from email.header import Header
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from urllib.parse import quote

from relayd.console.mail_fields import Attachment, Mail, Mailbox
from relayd.mail.address import Address
from relayd.mail.dns import a_labels
from relayd.mail.submission import mailbox

_AS_WRITTEN = compat32.clone(linesep="\r\n", max_line_length=None)
_UTF_8 = Charset("utf-8")
_UTF_8.body_encoding = QP
_FOLDED = 78  # characters of a line, where there is a blank to fold at
_PIECE = 60  # of a file name in a line
_PLAIN_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,59}")
_OCTET = re.compile(r"%..|[^%]")


def compose(mail: Mail) -> bytes:
    """Return the content of a message: CRLF lines, without Date and Message-ID."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in _fields(mail))
    return fields.encode() + _body(mail).as_bytes(policy=_AS_WRITTEN)


def _fields(mail: Mail) -> Iterator[tuple[str, str]]:
    yield "From", _mailboxes([mail.author])
    for name, mailboxes in (("To", mail.to), ("Cc", mail.cc)):
        if mailboxes:
            yield name, _mailboxes(mailboxes)
    for name, value in (("Subject", mail.subject), *mail.headers):
        if value:
            yield name, _text(name, value) if isinstance(value, str) else _mailboxes(value)
    if mail.tag:
        yield "X-Relayd-Tag", mail.tag  # the daemon takes it out, and reads UTF-8
    if mail.is_test:
        yield "X-Relayd-Test", "yes"


def _mailboxes(mailboxes: Sequence[Mailbox]) -> str:
    return ",\r\n ".join(map(_mailbox, mailboxes))


def _mailbox(given: Mailbox) -> str:
    address = _written(given.address)
    if "=?" in given.name:
        return f"{_encoded(given.name)} <{address}>"
    return mailbox(given.name, address)


def _written(address: Address) -> Address:
    """Return an address whose domain is in ASCII: it must not need SMTPUTF8 because of us (S-36)."""
    if address.domain.isascii():
        return address
    return Address(address.local, a_labels(address.domain))


def _text(name: str, text: str) -> str:
    """Write the value of a field of free text."""
    if not text.isascii() or "=?" in text:
        return _encoded(text, name)
    first, *words = text.split(" ")
    lines, room = [first], _FOLDED - len(name) - 2
    for word in words:
        if word and lines[-1].strip() and len(lines[-1]) + 1 + len(word) > room:
            lines.append("")
            room = _FOLDED
        lines[-1] += f" {word}"
    return "\r\n".join(lines)


def _encoded(text: str, name: str | None = None) -> str:
    return Header(text, "utf-8", header_name=name).encode(linesep="\r\n")


# --- the body -------------------------------------------------------------------------------------


def _body(mail: Mail) -> Message:
    has_html = mail.html is not None
    inline = [each for each in mail.attachments if each.content_id and has_html]
    others = [each for each in mail.attachments if not (each.content_id and has_html)]
    parts: list[Message] = [] if mail.text is None else [_lines("plain", mail.text)]
    if mail.html is not None:
        html = _lines("html", mail.html)
        parts.append(_related(html, inline) if inline else html)
    if len(parts) > 1:
        parts = [_together("alternative", parts)]
    if others:
        parts = [_together("mixed", [*parts, *map(_attached, others)])]
    [body] = parts
    body["MIME-Version"] = "1.0"
    return body


def _lines(kind: str, text: str) -> Message:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _part(MIMEText(lines if lines.endswith("\n") else f"{lines}\n", kind, _UTF_8))  # type: ignore[arg-type]


def _together(kind: str, parts: Sequence[Message]) -> Message:
    return _part(MIMEMultipart(kind, _subparts=parts))


def _related(html: Message, inline: Sequence[Attachment]) -> Message:
    """Return HTML with what it shows by `cid:` (RFC 2387)."""
    related = _together("related", [html, *map(_attached, inline)])
    related.set_param("type", "text/html")
    return related


def _attached(given: Attachment) -> Message:
    part = _part(MIMEBase(given.maintype, given.subtype))
    for name, value in given.parameters:
        part.set_param(name, value)
    part.set_payload(given.content)
    encoders.encode_base64(part)
    shown = "inline" if given.content_id else "attachment"
    part["Content-Disposition"] = f"{shown};\r\n {_file_name(given.name)}"
    if given.content_id:
        part["Content-ID"] = f"<{given.content_id}>"
    return part


def _part(part: Message) -> Message:
    del part["MIME-Version"]  # it is for the whole message
    return part


def _file_name(name: str) -> str:
    """Write the name of a file, in pieces where it is long (RFC 2231 §3, §4)."""
    if _PLAIN_FILE.fullmatch(name):
        return f'filename="{name}"'
    octets = _OCTET.findall(quote(name, safe=""))
    pieces = ["".join(octets[start : start + _PIECE]) for start in range(0, len(octets), _PIECE)]
    pieces[0] = f"utf-8''{pieces[0]}"
    if len(pieces) == 1:
        return f"filename*={pieces[0]}"
    return ";\r\n ".join(f"filename*{number}*={piece}" for number, piece in enumerate(pieces))

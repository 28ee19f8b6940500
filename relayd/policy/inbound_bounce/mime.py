"""A small bounded MIME reader on bytes.

Owns splitting and decoding. It looks at the first part of the mail only, to a fixed depth and
number of parts, with plain loops: no input makes it slow, deep or large. It forgives what bounces
get wrong: bare LF or CR, an mbox line in front, no boundary or a wrong one, unknown charsets,
encodings that do not decode. An enclosed message stays closed: it is the mail that came back.

Source: RFC 5322 §2.2, RFC 2045, RFC 2046 §5.1.
"""

import base64
import binascii
import quopri
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from relayd.mail.charsets import decode, decode_words

_RAW_LIMIT = 1 << 20  # octets looked at, before line ends are made one
_LIMIT = 1 << 19  # octets looked at, after that: the same for CRLF and LF
_DEPTH_LIMIT = 8
_PARTS_LIMIT = 64
_FIELDS_LIMIT = 500
_VALUE_LIMIT = 4000  # characters of one field value
_TEXT_LIMIT = 1 << 17  # characters of one decoded part

_FIELD = re.compile(rb"([!-9;-~]{1,80})[ \t]*:(.*)", re.DOTALL)
_PARAMETER = r"""%s[ \t]*=[ \t]*(?:"([^"]{1,200})"|([^\s;"]{1,200}))"""
_BOUNDARY = re.compile(_PARAMETER % "boundary", re.IGNORECASE)
_CHARSET = re.compile(_PARAMETER % "charset", re.IGNORECASE)
_LOST_BOUNDARY = re.compile(
    rb"^--([^\s-][^\n]{0,198}|-[^\n]{1,198})\nContent-", re.MULTILINE | re.IGNORECASE
)
_ORIGINALS = frozenset(
    {"message/rfc822", "message/rfc822-headers", "text/rfc822-headers"}
    | {"message/global", "message/global-headers", "text/rfc822-header", "message/partial"}
)


@dataclass(frozen=True, slots=True)
class Headers:
    """The fields of one header section: lower-case name to unfolded values, in order."""

    fields: Mapping[str, tuple[str, ...]]

    def get(self, name: str) -> str:
        """The first value, or an empty string."""
        values = self.fields.get(name)
        return values[0] if values else ""

    def decoded(self, name: str) -> str:
        """The first value with its encoded words read (RFC 2047)."""
        return decode_words(self.get(name))

    def __contains__(self, name: str) -> bool:
        return name in self.fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A leaf of the MIME tree."""

    content_type: str  # lower case, such as text/plain
    headers: Headers
    body: bytes

    @property
    def is_original(self) -> bool:
        """It encloses the mail that came back, or its header section."""
        return self.content_type in _ORIGINALS

    @property
    def is_multipart(self) -> bool:
        return self.content_type.startswith("multipart/")

    @property
    def is_text(self) -> bool:
        return self.content_type.startswith("text/") and not self.is_original

    @property
    def is_attachment(self) -> bool:
        return self.headers.get("content-disposition").lower().startswith("attachment")

    def text(self) -> str:
        """The decoded content, lines ending in LF."""
        octets = _undo_transfer(self.body, self.headers.get("content-transfer-encoding"))
        charset = _CHARSET.search(self.headers.get("content-type"))
        name = (charset.group(1) or charset.group(2)) if charset else ""
        return decode(octets[: 2 * _TEXT_LIMIT], name)[:_TEXT_LIMIT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail taken apart: its own header section, its content type and its leaves, in order."""

    headers: Headers
    content_type: str
    parts: tuple[Part, ...]

    def first(self, *content_types: str) -> Part | None:
        return next((part for part in self.parts if part.content_type in content_types), None)


def read_mail(raw: bytes) -> Mail:
    """Take a mail apart. Never raises."""
    octets = _one_line_end(raw[:_RAW_LIMIT])[:_LIMIT].lstrip()
    if octets.startswith((b"From ", b">From ")):  # the separator line of an mbox file
        octets = octets.partition(b"\n")[2]
    top = _open(octets, "text/plain")
    leaves: list[Part] = []
    waiting = [(top, 0)]
    while waiting and len(leaves) < _PARTS_LIMIT:
        part, depth = waiting.pop()
        pieces = _split(part) if depth < _DEPTH_LIMIT else ()
        if pieces:
            inner = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"
            waiting.extend((_open(piece, inner), depth + 1) for piece in reversed(pieces))
        else:
            leaves.append(replace(part, content_type="text/plain") if part.is_multipart else part)
    return Mail(headers=top.headers, content_type=top.content_type, parts=tuple(leaves))


def read_headers(octets: bytes) -> tuple[Headers, bytes]:
    """Read a header section whose lines end in LF; return it and what follows the empty line."""
    fields: dict[str, list[bytes]] = {}
    name, position, count = b"", 0, 0
    while position < len(octets) and count < _FIELDS_LIMIT:
        end = octets.find(b"\n", position)
        end = len(octets) if end < 0 else end
        line = octets[position:end]
        if not line.strip():
            position = end + 1
            break
        if line[:1] in (b" ", b"\t") and name:
            _extend(fields[name.decode("ascii")], line)
        elif field := _FIELD.match(line):
            name = field.group(1).lower()
            fields.setdefault(name.decode("ascii"), []).append(field.group(2).strip())
            count += 1
        elif name == b"content-type" and line.lower().startswith((b"boundary=", b"charset=")):
            _extend(fields["content-type"], line)  # a fold without its blank
        else:
            break  # not a field: the body begins without an empty line
        position = end + 1
    return Headers({key: tuple(map(_value, values)) for key, values in fields.items()}), octets[
        position:
    ]


def _extend(values: list[bytes], line: bytes) -> None:
    if len(values[-1]) < _VALUE_LIMIT:
        values[-1] += b" " + line.strip()


def _one_line_end(octets: bytes) -> bytes:
    if b"\r" not in octets:
        return octets
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _open(octets: bytes, content_type: str) -> Part:
    headers, body = read_headers(octets)
    given = headers.get("content-type").partition(";")[0].split(maxsplit=1)
    if given and "/" in given[0]:
        content_type = given[0].lower()
    elif "=_" in headers.get("content-type") or _BOUNDARY.search(headers.get("content-type")):
        content_type = "multipart/mixed"
    return Part(content_type=content_type, headers=headers, body=body)


def _split(part: Part) -> tuple[bytes, ...]:
    """The bodies inside a multipart; empty when it is a leaf."""
    if part.is_original:
        return ()
    named = _BOUNDARY.search(part.headers.get("content-type"))
    if not named and not part.is_multipart:
        return ()
    boundary = (named.group(1) or named.group(2)).encode("latin-1", "replace") if named else b""
    if not boundary or b"--" + boundary not in part.body:
        lost = _LOST_BOUNDARY.search(part.body)
        if lost is None:
            return ()
        boundary = lost.group(1).rstrip()
    return _between(b"\n" + part.body, b"\n--" + boundary)


def _between(body: bytes, mark: bytes) -> tuple[bytes, ...]:
    """Cut at the lines that begin with `mark`; what is before the first is a preamble."""
    pieces: list[bytes] = []
    start, position = -1, body.find(mark)
    while position >= 0 and len(pieces) < _PARTS_LIMIT:
        end = body.find(b"\n", position + 1)
        end = len(body) if end < 0 else end
        tail = body[position + len(mark) : end].strip()
        if tail in (b"", b"--"):
            if start >= 0:
                pieces.append(body[start:position])
            start = end + 1 if not tail else -1
        position = body.find(mark, end)
    if 0 <= start < len(body):
        pieces.append(body[start:])
    return tuple(pieces)


def _undo_transfer(octets: bytes, encoding: str) -> bytes:
    match encoding.strip().lower():
        case "base64":
            try:
                return _one_line_end(base64.b64decode(octets + b"=="))
            except (binascii.Error, ValueError):
                return octets
        case "quoted-printable":
            return _one_line_end(quopri.decodestring(octets))
        case _:
            return octets


def _value(octets: bytes) -> str:
    return " ".join(decode(octets[:_VALUE_LIMIT], "").split())

"""What mail programs leave to the submission service: Date, Message-ID, From, Bcc, line ends.

Owns what is done for clients that are to be helped, and what `relayd sendmail` makes of its input.
Fields are put in front, Bcc is taken out, and nothing else is touched. What is in front may not
spoil what follows: where the content begins with no header section, an empty line sets ours off. A
field that a signature of the message covers, be it there or not, is neither added nor taken out (S-49).

Source: RFC 6409 §8.1 to §8.3; RFC 5322 §2.2, §3.6; RFC 6376 §3.5 (h=); RFC 8617 §4.1.2.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache
from itertools import takewhile

from relayd.mail.address import Address
from relayd.mail.envelope import MessageFacts
from relayd.mail.header import date_of, header_end, message_id_of
from relayd.mail.line_ends import cleaned, is_clean
from relayd.mail.reply import clean_text

_NAME = rb"[!-9;-~]++[ \t]*+:"
_FIELD = re.compile(rb"^" + _NAME, re.MULTILINE)
_NEEDED = re.compile(rb"^(Date|Message-ID|From)[ \t]*+:", re.IGNORECASE | re.MULTILINE)
_FIELDS = re.compile(rb"(?>(?:%b[^\n]*+\n(?>(?:[ \t][^\n]*+\n)*))*)" % _NAME)
_MBOX_LINE = re.compile(rb">?From (?![ \t]*+:)[^\n]*+\n(?=%b)" % _NAME)
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_WORD_LIMIT = 45  # octets of an encoded word before base64, RFC 2047 §2
_BCC = re.compile(
    rb"^((?:Resent-)?Bcc)[ \t]*+:[^\n]*+(?>(?:\n[ \t][^\n]*+)*)(?:\n|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
_SIGNED = re.compile(rb"(?:^|;)[ \t\r\n]*+h[ \t\r\n]*+=([^;]*+)")
_ENDS = (b".\n", b".\r\n", b".")


def missing_fields(content: bytes, *, message_id: str, at: datetime, author: str = "") -> bytes:
    """Return what to put in front of `content`; perhaps nothing.

    A field that is there in any form is not added, nor one whose absence is signed. From is only added if an `author` is given,
    the field's value. `message_id` has its angle brackets; both must be printable.
    """
    header = content[: header_end(content)]
    is_body = bool(header) and not _FIELD.match(header) and not _has_fields(header)
    there = set() if is_body else {name.lower() for name in _NEEDED.findall(header)}
    wanted = {"Date": date_of(at), "Message-ID": message_id, "From": author}
    missing = {
        name: value
        for name, value in wanted.items()
        if value and name.lower().encode() not in there
    }
    signed = set() if is_body or not missing else signed_names(header)
    added = "".join(
        f"{name}: {value}\r\n" for name, value in missing.items() if name.lower() not in signed
    )
    return added.encode() + (b"\r\n" if is_body else b"")


def without_bcc(content: bytes) -> bytes:
    """`content` without its Bcc and Resent-Bcc fields; all other octets stay (RFC 5322 §3.6.3)."""
    end = header_end(content)
    header = content[:end]
    if b"bcc" not in header.lower():
        return content
    signed = signed_names(header)
    kept = _BCC.sub(lambda found: found[0] if found[1].decode().lower() in signed else b"", header)
    return kept + content[end:]


def signed_names(header: bytes) -> set[str]:
    """Return the names in lower case of the fields that signatures of the message cover."""
    fields = values_of(header, "DKIM-Signature", "ARC-Message-Signature")
    lists = [tag[1] for value in fields for tag in _SIGNED.finditer(value)]
    names = set(b":".join(lists).split(b":"))  # a hostile header section has many, and few kinds
    return {name.strip().decode("latin-1").lower() for name in names}


def _has_fields(header: bytes) -> bool:
    """Some line is a field, and the first one would not continue a field in front of it."""
    return header[:1] not in b" \t" and _FIELD.search(header) is not None


def facts_with(added: bytes, facts: MessageFacts) -> MessageFacts:
    """Return the facts of content with the fields `added` in front of it."""
    message_id = message_id_of(added)
    return replace(facts, message_id_header=message_id) if message_id else facts


def values_of(content: bytes, *names: str) -> Iterator[bytes]:
    """Yield the value of each field of one of these names, as it is, in their order."""
    for found in _fields(names).finditer(content[: header_end(content)]):
        yield found[1]


@cache
def _fields(names: tuple[str, ...]) -> re.Pattern[bytes]:
    """Return what finds fields of these names, which code of ours gives."""
    pattern = rb"^(?:%b)[ \t]*+:([^\n]*+(?>(?:\n[ \t][^\n]*+)*))" % "|".join(names).encode()
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE)


def until_dot(lines: Iterable[bytes]) -> bytes:
    """Join lines up to one that is a single dot; what follows is not asked for."""
    return b"".join(takewhile(lambda line: line not in _ENDS, lines))


def local_message(given: bytes) -> bytes:
    """Return what a local program wrote as content: whole CRLF lines, and a header section of fields.

    Bare LF is the line end there; bare CR and NUL become blanks. The `From ` line of a mailbox in
    front goes. The first line that is no field begins the body, if the empty line is missing.
    """
    content = given if is_clean(given) else cleaned(given)
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    if mailbox := _MBOX_LINE.match(content):
        content = content[mailbox.end() :]
    fields = _FIELDS.match(content)
    assert fields is not None  # none at all is a match too
    end = fields.end()
    if end == len(content) or content.startswith(b"\r\n", end):
        return content
    return content[:end] + b"\r\n" + content[end:]


def mailbox(name: str, address: Address) -> str:
    """Write the value of a From field: the address, with the name before it if there is one."""
    name = " ".join(clean_text(name.encode("utf-8", "surrogateescape")).split())
    if not name:
        return str(address)
    if not name.isascii():
        name = "\r\n ".join(_encoded_words(name))
    elif not _ATOMS.fullmatch(name):
        name = '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    return f"{name} <{address}>"


def _encoded_words(text: str) -> Iterator[str]:
    """Write `text` as encoded words of whole characters (RFC 2047 §5)."""
    octets = text.encode()
    while octets:
        part = octets[:_WORD_LIMIT].decode(errors="ignore").encode()
        octets = octets[len(part) :]
        yield f"=?utf-8?B?{b64encode(part).decode()}?="

"""The fields of a message as JSON, each checked before a message is made of them.

    {"from": "Shop <shop@app.example>", "to": ["a@x.example"], "subject": "Hello", "text": "Hello.",
     "attachments": [{"name": "a.pdf", "type": "application/pdf", "content": "BASE64"}]}

A mailbox is `name@domain`, `Name <name@domain>`, or an object with `name` and `address`; where several may be, one or a
list of them. `envelope` has `from` (empty: the null reverse-path) and `to`, where they are not those of the header.

Source: RFC 5322 §2.2 (names of fields), §3.6; RFC 2045 §5.1 (types).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from relayd.console.json_fields import LINE, BadFields, Reader, shown
from relayd.mail.address import Address, PathError, parse_address
from relayd.mail.dns import DomainError, a_labels

RECIPIENTS = 1000
_MOST = 100  # header fields, attachments
_NAME = 200  # characters of a name, or a tag
_TYPE_LIMIT = 300  # of a media type with its parameters, which is one line
_FIELD = 8000  # of the value of a header field: it is folded where it has blanks
_FIELDS = frozenset(
    {"from", "to", "cc", "bcc", "subject", "text", "html", "headers", "attachments"}
    | {"tag", "test", "envelope"}
)
_OF_JSON = frozenset({"from", "to", "cc", "bcc", "subject"})
_WRITTEN = frozenset({"mime-version", "received"})
_WRITTEN_ALL = ("content-", "resent-", "return-path", "dkim-", "arc-", "x-relayd-")
_MAY = frozenset({"content-language"})  # though it begins so
_ASCII = frozenset({"message-id", "date", "in-reply-to", "references", "auto-submitted"})
_SHORT = frozenset({"message-id", "date"})
_OF_MAILBOXES = frozenset({"reply-to", "sender"})
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")
_TYPE = re.compile(r"([A-Za-z0-9!#$&^_.+-]{1,127})/([A-Za-z0-9!#$&^_.+-]{1,127})")
_PARAMETER = re.compile(
    r""" *([A-Za-z0-9!#$&^_.+-]{1,40})=(?:"([ !#-\[\]-~]{1,200})"|([A-Za-z0-9!#$&^_.+-]{1,200})) *"""
)
_OF_PARTS = frozenset({"boundary", "name"})  # parameters that are ours
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,200}")
_NAMED = re.compile(r'(?:"((?>(?:[^"\\]++|\\.)*))" *|([^"<>]*+))<([^<>]*+)>')
_MEDIA_TYPE = "a media type, perhaps with parameters, but for multipart and message: text/plain; charset=utf-8"
_ADDRESS = "an address, name@domain, or a name and an address, Name <name@domain>"


@dataclass(frozen=True, slots=True)
class Mailbox:
    name: str  # may be empty
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    name: str
    maintype: str
    subtype: str
    content: bytes
    parameters: tuple[tuple[str, str], ...] = ()  # of its type
    content_id: str = ""  # by which HTML names it, cid:ID; empty: it is no part of that


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What a message is to be made of, and its envelope."""

    author: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    subject: str
    text: str | None
    html: str | None
    headers: tuple[tuple[str, str | tuple[Mailbox, ...]], ...]
    attachments: tuple[Attachment, ...]
    tag: str
    is_test: bool
    reverse_path: Address | None
    recipients: tuple[Address, ...]  # each once, those of bcc too


def read_mail(given: object) -> Mail:
    """Read the fields of a message. Raises BadFields."""
    reader = Reader()
    mail = _mail(reader, given)
    if reader.count or mail is None:
        raise BadFields(reader.wrong)
    return mail


def _mail(reader: Reader, value: object) -> Mail | None:
    given = reader.fields("", value, _FIELDS)
    author = None
    if "from" in given:
        author = _mailbox(reader, "from", given["from"])
    elif not reader.count:
        reader.note("from", f"{_ADDRESS}; it is missing")
    to, cc, bcc = (_mailboxes(reader, name, given.get(name, [])) for name in ("to", "cc", "bcc"))
    other = given.get("envelope")
    envelope = reader.fields("envelope", {} if other is None else other, ("from", "to"))
    reverse_path = author
    if envelope.get("from") is not None:
        is_null = envelope["from"] == ""
        reverse_path = None if is_null else _mailbox(reader, "envelope.from", envelope["from"])
    named = (*to, *cc, *bcc)
    if envelope.get("to") is not None:
        named = _mailboxes(reader, "envelope.to", envelope["to"])
    text, html = (reader.lines(name, given.get(name)) for name in ("text", "html"))
    attachments = _attachments(reader, given.get("attachments", []))
    headers = _headers(reader, given.get("headers", {}))
    subject = reader.line("subject", given.get("subject", ""))
    tag = reader.line("tag", given.get("tag", ""), limit=_NAME)
    is_test = reader.flag("test", given.get("test", False))
    recipients = {each.address.compared: each.address for each in reversed(named)}
    if not reader.count and not recipients:
        reader.note("to", "a recipient in to, cc, bcc or envelope.to")
    if not reader.count and text is None and html is None and not attachments:
        reader.note("text", "text, html or attachments")
    if len(recipients) > RECIPIENTS:
        reader.note("to", f"at most {RECIPIENTS} recipients in all")
    if author is None:
        return None
    return Mail(
        author=author,
        to=to,
        cc=cc,
        subject=subject,
        text=text,
        html=html,
        headers=headers,
        attachments=attachments,
        tag=tag,
        is_test=is_test,
        reverse_path=None if reverse_path is None else reverse_path.address,
        recipients=tuple(reversed(recipients.values())),
    )


def _mailboxes(reader: Reader, where: str, value: object) -> tuple[Mailbox, ...]:
    if isinstance(value, list):
        given = enumerate(reader.items(where, value, most=RECIPIENTS))
        read = [_mailbox(reader, f"{where}[{number}]", each) for number, each in given]
    else:
        read = [_mailbox(reader, where, value)]
    return tuple(each for each in read if each is not None)


def _mailbox(reader: Reader, where: str, value: object) -> Mailbox | None:
    before, name = reader.count, ""
    if isinstance(value, dict):
        fields = reader.fields(where, value, ("name", "address"))
        name = reader.line(f"{where}.name", fields.get("name", ""), limit=_NAME)
        text = reader.line(f"{where}.address", fields.get("address"))
    else:
        text = reader.line(where, value)
        if (found := _NAMED.fullmatch(text)) is not None:
            quoted, plain, text = found.groups()
            name = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    if reader.count > before:
        return None
    try:
        address = parse_address(text)
        if not address.is_literal:
            a_labels(address.domain)
    except (PathError, DomainError):
        reader.note(where, _ADDRESS)
        return None
    return Mailbox(name.strip(" "), address)


def _headers(reader: Reader, value: object) -> tuple[tuple[str, str | tuple[Mailbox, ...]], ...]:
    given = reader.fields("headers", value)
    if len(given) > _MOST:
        reader.note("headers", f"at most {_MOST} of them")
        return ()
    read: dict[str, tuple[str, str | tuple[Mailbox, ...]]] = {}
    for name, content in given.items():
        where, lowered = f"headers.{shown(name)}", name.lower()
        if not _FIELD_NAME.fullmatch(name):
            reader.note(where, "a name of printable ASCII without blanks and colons")
        elif lowered in _OF_JSON:
            reader.note(where, f"the field {lowered} of the message, not one of its headers")
        elif lowered in _WRITTEN or (lowered.startswith(_WRITTEN_ALL) and lowered not in _MAY):
            reader.note(where, "another field: this one is written by relayd alone")
        elif lowered in read:
            reader.note(where, "each field once, in whatever case")
        elif lowered in _OF_MAILBOXES:
            read[lowered] = name, _mailboxes(reader, where, content)
        else:
            read[lowered] = name, _header(reader, where, lowered, content)
    return tuple(read.values())


def _header(reader: Reader, where: str, name: str, value: object) -> str:
    text = reader.line(where, value, limit=LINE if name in _SHORT else _FIELD)
    if not text.isascii() and (name in _ASCII or name.startswith("list-")):
        reader.note(where, "ASCII")
    elif name == "message-id" and not _MESSAGE_ID.fullmatch(text):
        reader.note(where, "a Message-ID in angle brackets")
    elif name == "date" and not _is_date(text):
        reader.note(where, "a date as in RFC 5322")
    return text


def _is_date(text: str) -> bool:
    try:
        parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return False
    return True


def _attachments(reader: Reader, value: object) -> tuple[Attachment, ...]:
    given = enumerate(reader.items("attachments", value, most=_MOST))
    read = [_attachment(reader, f"attachments[{number}]", each) for number, each in given]
    return tuple(each for each in read if each is not None)


def _attachment(reader: Reader, where: str, value: object) -> Attachment | None:
    before = reader.count
    fields = reader.fields(where, value, ("name", "type", "content", "content_id"))
    name = reader.line(f"{where}.name", fields.get("name"), limit=_NAME)
    if reader.count == before and ("/" in name or "\\" in name or not name.strip(" .")):
        reader.note(f"{where}.name", "a file name without a path")
    so_far = reader.count
    kind = reader.line(
        f"{where}.type", fields.get("type", "application/octet-stream"), limit=_TYPE_LIMIT
    )
    kind, *given = kind.split(";")
    found, parameters = _TYPE.fullmatch(kind.strip(" ")), _parameters(given)
    is_wrong = found is None or found[1].lower() in ("multipart", "message") or parameters is None
    if is_wrong and reader.count == so_far:
        reader.note(f"{where}.type", _MEDIA_TYPE)
    content_id = reader.line(f"{where}.content_id", fields.get("content_id", ""))
    if content_id and not _CONTENT_ID.fullmatch(content_id):
        reader.note(f"{where}.content_id", "an id without angle brackets and blanks")
    content = reader.octets(f"{where}.content", fields.get("content"))
    if reader.count > before or found is None:
        return None
    return Attachment(
        name=name,
        maintype=found[1],
        subtype=found[2],
        content=content,
        parameters=parameters or (),
        content_id=content_id,
    )


def _parameters(given: Iterable[str]) -> tuple[tuple[str, str], ...] | None:
    """Read the parameters of a media type; None: one is wrong, or twice."""
    found = [_PARAMETER.fullmatch(each) for each in given]
    read = {each[1].lower(): each[2] or each[3] for each in found if each is not None}
    is_right = len(read) == len(found) and read.keys().isdisjoint(_OF_PARTS)
    return tuple(read.items()) if is_right else None

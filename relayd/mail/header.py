"""The header section as bytes: read the few facts policy needs, put our trace line in front.

Nothing here parses MIME or re-serialises a message (HY-01). Only the top header section counts,
field names in any case, folded lines included; our own `X-Relayd-*` control fields are removed.

Source: RFC 5322 §2.2 (fields, folding), RFC 5321 §4.4 (trace), §6.3 (loops).
"""

import re
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from itertools import islice

from relayd.mail.envelope import MessageFacts
from relayd.mail.reply import clean_text
from relayd.mail.text import replaced

_RECEIVED = re.compile(rb"^Received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID = re.compile(
    rb"^Message-ID[ \t]*+:[ \t]*+(?:\r\n[ \t]++)?(<[^\r\n<> \t]{1,990}>)",
    re.IGNORECASE | re.MULTILINE,
)
_CONTROL = re.compile(
    rb"^X-Relayd-([A-Za-z0-9-]+)[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n",
    re.IGNORECASE | re.MULTILINE,
)
_VIA = re.compile(r"smarthost:([a-z0-9-]{1,40})")
# RFC 5322 §3.2.3 (atext), the dot, and what address literals have: neither a comment nor a new
# clause of the field can begin with any of these.
_NOT_FOR_TRACE = re.compile(r"[^A-Za-z0-9!#$%&'*+/=?^_`{|}~.:\[\]-]")
_TLS_REQUIRED = re.compile(
    rb"^TLS-Required[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n", re.IGNORECASE | re.MULTILINE
)
_TAG_LIMIT = 200  # characters kept of X-Relayd-Tag
_VALUE_LIMIT = 4096  # octets looked at of one of our control fields
_FIELDS_LIMIT = 100  # of them looked at; all are removed


def header_end(content: bytes) -> int:
    """Where the header section ends: after the CRLF of its last field, before the empty line."""
    if content.startswith(b"\r\n"):
        return 0
    end = content.find(b"\r\n\r\n")
    return len(content) if end < 0 else end + 2


def is_relayed(content: bytes) -> bool:
    """Tell whether another server has had the message before us: it has a trace field."""
    return _RECEIVED.search(content, 0, header_end(content)) is not None


def read_facts(content: bytes) -> tuple[MessageFacts, bytes]:
    """Return the facts about `content`, and it without our control fields.

    The content returned is the very same object when there was nothing to remove.
    """
    size = len(content)
    end = header_end(content)
    header = content[:end]
    message_id = message_id_of(header)
    tag, is_test, via, kept = None, False, "", content
    lowered = header.lower()
    if b"x-relayd-" in lowered:
        tag, is_test, via = _control_fields(header)
        header = _CONTROL.sub(b"", header)
        kept = header + content[end:]
    is_8bit = not kept.isascii()
    facts = MessageFacts(
        size=size,
        hops=len(_RECEIVED.findall(header)) if b"received" in lowered else 0,
        message_id_header=message_id,
        tag=tag,
        is_test=is_test,
        test_via=via,
        is_8bit=is_8bit,
        utf8_headers=is_8bit and not header.isascii(),
        lifts_tls=b"tls-required" in lowered and _lifts_tls(header),
    )
    return facts, kept


def _lifts_tls(header: bytes) -> bool:
    """Tell whether the sender lifts the recipients' TLS policies: by one field that says No (RFC 8689 §5)."""
    values = list(islice(_TLS_REQUIRED.findall(header), 2))
    return len(values) == 1 and values[0].strip().lower() == b"no"


def message_id_of(header: bytes) -> str | None:
    """Return the Message-ID of a header section, with its angle brackets; None: there is none."""
    found = _MESSAGE_ID.search(header)
    return clean_text(found[1]) if found else None


def _control_fields(header: bytes) -> tuple[str | None, bool, str]:
    """Return the tag, whether it is a test mail, and the name of the smarthost that it asks for."""
    tag, is_test, via = None, False, ""
    for found in islice(_CONTROL.finditer(header), _FIELDS_LIMIT):
        name, raw = found[1], found[2][:_VALUE_LIMIT]
        value = " ".join(raw.decode("utf-8", "backslashreplace").split())
        value = replaced(value, by="")
        if name.lower() == b"tag":
            tag = value[:_TAG_LIMIT] or None
        elif name.lower() == b"test":
            named = _VIA.fullmatch(value)
            via = "" if named is None else named[1]
            is_test = named is not None or value.lower() == "yes"
    return tag, is_test, via


def trace_header(
    *,
    helo: str,
    client_ip: str,
    fqdn: str,
    protocol: str,
    queue_id: str,
    recipient: str | None,
    at: datetime,
    hide_client: bool = False,
) -> bytes:
    """Our Received field, folded, CRLF at its end.

    `recipient` is given when there is exactly one (S-50). `helo` may be any text;
    what cannot be in a domain becomes `?`. A client to be hidden is neither named nor left out, for
    the grammar wants a domain there: it is ours.
    Source: RFC 5321 §4.4.
    """
    helo = _NOT_FOR_TRACE.sub("?", helo)
    if hide_client:
        origin = f"from {fqdn} (client not shown)"
    elif client_ip:
        origin = f"from {helo} ([{_literal(client_ip)}])"
    else:
        origin = f"from {helo} (local socket)"
    wanted_by = f"\r\n\tfor <{recipient}>" if recipient else ""
    return (
        f"Received: {origin}\r\n\tby {fqdn} (relayd) with {protocol} id {queue_id}{wanted_by};"
        f"\r\n\t{date_of(at)}\r\n"
    ).encode()


def date_of(at: datetime) -> str:
    """Return an instant as a header field has it."""
    return _of_second(at.replace(microsecond=0))


@lru_cache(maxsize=4)
def _of_second(at: datetime) -> str:
    return format_datetime(at)  # many messages share one


def _literal(ip: str) -> str:
    return f"IPv6:{ip}" if ":" in ip else ip

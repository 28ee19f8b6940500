"""Names without a domain in the address fields of a header: they get one.

Cron, for one, writes `From: root (Cron Daemon)`. Outside of its machine nobody can answer that, and many
refuse it. Only the domain is put in; all other octets stay. What is not certainly a name is left as it is, and so is
a field that a signature covers.

Source: RFC 6409 §4.2; RFC 5322 §3.6.2, §3.6.3.
"""

import re

from relayd.mail.address import PathError, parse_address
from relayd.mail.header import header_end
from relayd.mail.mailboxes import Unreadable, places, with_parts
from relayd.mail.submission import signed_names

_FIELDS = re.compile(
    rb"^((?:Resent-)?(?:From|Sender|Reply-To|To|Cc))([ \t]*+:)([^\n]*+(?>(?:\n[ \t][^\n]*+)*))",
    re.IGNORECASE | re.MULTILINE,
)
_LINE = 998  # octets of a line (RFC 5322 §2.1.1)
_NOBODY = b"undisclosed-recipients"  # without the colon and semicolon of a group
_ENCODED = b"=?"  # begins an encoded word (RFC 2047 §2), which is no name


def qualified(content: bytes, domain: str) -> bytes:
    """`content`, where names without a domain have this one, which is ASCII."""
    end = header_end(content)
    header = content[:end]
    signed = signed_names(header)

    def complete(found: re.Match[bytes]) -> bytes:
        name, colon, value = found.groups()
        if name.decode().lower() in signed:
            return found[0]
        done = b"".join((name, colon, _complete(value, b"@" + domain.encode())))
        is_too_long = max(map(len, done.split(b"\n"))) > _LINE
        return found[0] if is_too_long else done

    return _FIELDS.sub(complete, header) + content[end:]


def _complete(value: bytes, domain: bytes) -> bytes:
    try:
        found = places(value)
    except Unreadable:
        return value
    names = [each.end for each in found if _is_name(value[each.start : each.end])]
    return with_parts(value, [(end, end, domain) for end in names])


def _is_name(written: bytes) -> bool:
    if b"@" in written or b'"' in written:  # a quoted string is rather the name of a person
        return False
    if written.startswith(_ENCODED) or written.lower() == _NOBODY:
        return False
    try:
        parse_address(f"{written.decode()}@x")
    except (PathError, UnicodeDecodeError):
        return False
    return True

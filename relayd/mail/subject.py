"""The Subject of a message as people read it in a list: decoded, one line, and not long.

Source: RFC 5322 §3.6.5, RFC 2047.
"""

import re

from relayd.mail.charsets import decode, decode_words
from relayd.mail.header import header_end
from relayd.mail.text import blanked

_SUBJECT = re.compile(
    rb"^Subject[ \t]*+:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE
)
_RAW_LIMIT = 2000  # octets looked at
_LIMIT = 200  # characters kept


def subject_of(content: bytes) -> str | None:
    """Return the subject of a message, at most 200 characters of it; None if it has none."""
    found = _SUBJECT.search(content, 0, header_end(content))
    if found is None:
        return None
    written = " ".join(decode(found[1][:_RAW_LIMIT], "").split())
    return " ".join(blanked(decode_words(written)).split())[:_LIMIT] or None

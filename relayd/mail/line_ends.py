"""The ends of lines: what no message may have, a bare CR, a bare LF, NUL; and dots after a line end.

Every octet of every message is looked at here, so each question is put in the form that CPython is
quickest at: a table, and patterns that begin with one literal octet, which is found by memchr. A literal
of two or three octets takes twice as long.

Source: RFC 5321 §2.3.8, §4.5.2; semantics of `line_endings` in `docs/config.md`.
"""

import re

_OTHERS = bytes(set(range(256)) - set(b"\r\n\0"))
_BARE_CR = re.compile(rb"\r[^\n]")
_DOT = re.compile(rb"\n[.\0]")  # a class, lest the literal has two octets; NUL is never there


def is_clean(content: bytes) -> bool:
    """Tell whether there is no bare CR, no bare LF and no NUL.

    That is: CR and LF take turns, and what follows a CR is its LF.
    """
    ends = content.translate(None, _OTHERS)
    return ends == b"\r\n" * (len(ends) // 2) and _BARE_CR.search(content) is None


def find_dot(octets: bytes | bytearray, start: int = 0) -> int:
    """Return where the first LF from `start` on is that a dot or a NUL follows; -1: nowhere.

    A NUL is taken for a dot because that is quicker; the caller looks at the place anyway.
    """
    found = _DOT.search(octets, start)
    return -1 if found is None else found.start()


def cleaned(content: bytes) -> bytes:
    """Turn each bare LF into CRLF, and each bare CR or NUL into a blank."""
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\0", b" ")
    return content.replace(b"\n", b"\r\n")

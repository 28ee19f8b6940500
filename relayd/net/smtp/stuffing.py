"""Content as it goes over the wire: dot-stuffed, in blocks, the final dot in the last of them.

Relies on CRLF line ends only, which the receiver saw to, and changes nothing else (S-31 to S-33).

Source: RFC 5321 §4.5.2.
"""

from collections.abc import Iterator

from relayd.mail.content import Content
from relayd.mail.line_ends import find_dot

BLOCK = 64 * 1024  # octets before stuffing


def stuffed_blocks(content: Content, block: int = BLOCK) -> Iterator[tuple[bytes, bool]]:
    """Yield `(octets, has_dot)`; the final dot is in the last block."""
    start, size = 0, len(content)
    lead = b"." if content[:1] == b"." else b""
    while size - start > block:
        end = start + block
        # A cut right behind CR or CRLF would hide a dot that follows.
        if content[end - 1 : end] == b"\r":
            end -= 1
        elif content[end - 2 : end] == b"\r\n":
            end -= 2
        yield lead + _stuffed(content[start:end]), False
        start, lead = end, b""
    tail = content[start:]
    ending = b".\r\n" if not tail or tail.endswith(b"\r\n") else b"\r\n.\r\n"
    yield b"".join((lead, _stuffed(tail), ending)), True


def _stuffed(lines: bytes) -> bytes:
    return lines if find_dot(lines) < 0 else lines.replace(b"\r\n.", b"\r\n..")

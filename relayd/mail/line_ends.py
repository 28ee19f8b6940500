"""The octets that no message may have: a bare CR, a bare LF, NUL.

Source: RFC 5321 §2.3.8, §4.5.2; semantics of `line_endings` in `docs/config.md`.
"""


def is_clean(content: bytes) -> bool:
    """Tell whether there is no bare CR, no bare LF and no NUL."""
    lines = content.count(b"\r\n")
    return lines == content.count(b"\r") == content.count(b"\n") and b"\0" not in content


def cleaned(content: bytes) -> bytes:
    """Turn each bare LF into CRLF, and each bare CR or NUL into a blank."""
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\0", b" ")
    return content.replace(b"\n", b"\r\n")

"""Fields of a header section, found, replaced, added and removed as octets.

What no rule names stays as it is, to the octet: signatures may cover it. A line that is no field is passed over.

Source: RFC 5322 §2.2 (fields, folding), §3.6.7 (trace fields stay in front).
"""

import re
from collections.abc import Callable, Iterable

_FIELD = re.compile(
    rb"^([!-9;-~]++)[ \t]*+:([^\r\n]*+(?>(?:\r\n[ \t][^\r\n]*+)*))(?:\r\n|\Z)", re.MULTILINE
)


def values(header: bytes, name: str) -> list[bytes]:
    """Return what the fields of that name hold, folded as they are, without blanks around."""
    wanted = name.lower().encode()
    return [found[2].strip() for found in _FIELD.finditer(header) if found[1].lower() == wanted]


def with_each(header: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return the header with what `change` makes of each field of that name; the same value leaves it alone."""
    wanted = name.lower().encode()

    def changed(found: re.Match[bytes]) -> bytes:
        if found[1].lower() != wanted:
            return found[0]
        value = found[2].strip()
        fresh = change(value)
        return found[0] if fresh == value else found[1] + b": " + fresh + b"\r\n"

    return _FIELD.sub(changed, header)


def without(header: bytes, names: Iterable[str]) -> bytes:
    """Return the header without all fields of these names."""
    unwanted = {name.lower().encode() for name in names}
    return _FIELD.sub(lambda found: b"" if found[1].lower() in unwanted else found[0], header)


def with_added(header: bytes, added: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the header with fields behind its first one, which is our trace field."""
    text = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in added)
    first = _FIELD.match(header)
    end = first.end() if first else 0
    return header[:end] + text + header[end:]

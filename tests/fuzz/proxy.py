"""The PROXY header against a slow reference, at every place where it can be cut.

Source: the PROXY protocol specification of haproxy.org, sections 2.1 and 2.2.
"""

import socket
from ipaddress import ip_address

from relayd.receiver.proxy import ProxyError, client_of, header_length

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TOKENS = (
    *(b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"127.0.0.9 ", b"::1 ", b"25", b" ", b"\r\n"),
    *(b"PROXY TCP4 127.0.0.9 127.0.0.1 5000 25\r\n", b"PROXY TCP6 ::9 ::1 5000 25\r\n", b"\r"),
    *(SIGNATURE, SIGNATURE + b"\x21\x11\0\x0c", SIGNATURE + b"\x21\x21\0\x24", b"\x21\x11\0\x0c"),
    *(
        SIGNATURE + b"\x20\0\0\0",
        b"\x10\0",
        b"\x0f\xff",
        b"65535",
        b"0",
        b"%eth0",
        b"::ffff:1.2.3.4",
    ),
)
_LONGEST = 16 + 4096
Verdict = tuple[int, str | None] | None  # the header's length and the client; None is no header


def check(octets: bytes) -> None:
    found = _verdict(octets)
    assert found == _slow(octets)
    length = 0 if found is None else found[0]
    if length:
        assert _verdict(octets[:length]) == found
    for end in {0, 1, 5, 11, 12, 15, 16, 106, length - 1, len(octets) // 2, len(octets) - 1}:
        if 0 <= end < (length or len(octets)):
            _check_beginning(octets[:end], is_header=length > 0)


def _check_beginning(octets: bytes, *, is_header: bool) -> None:
    """Of a header nothing is taken before it is complete."""
    assert _verdict(octets) in ([(0, None)] if is_header else [(0, None), None])


def _verdict(octets: bytes) -> Verdict:
    try:
        length = header_length(octets)
        assert 0 <= length <= min(len(octets), _LONGEST)
        client = client_of(octets[:length]) if length else None
    except ProxyError:
        return None
    assert client is None or str(ip_address(client)) == client
    return length, client and _canonical(client)


def _canonical(client: str) -> str:
    """The standard library writes some IPv6 addresses in a way of its own."""
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    return socket.inet_ntop(family, socket.inet_pton(family, client))


def _slow(octets: bytes) -> Verdict:
    if SIGNATURE.startswith(octets[: len(SIGNATURE)]):
        return _slow_binary(octets)
    if not b"PROXY ".startswith(octets[:6]):
        return None
    line, end, _ = octets[:107].partition(b"\r\n")
    if not end:
        return (0, None) if len(octets) < 107 else None
    try:
        return len(line) + 2, _slow_text(line.decode("latin-1").split(" "))
    except (OSError, ValueError):
        return None


def _slow_text(words: list[str]) -> str | None:
    """Raises OSError, ValueError."""
    if words[1] == "UNKNOWN":
        return None
    _, kind, source, destination, *ports = words
    family = {"TCP4": socket.AF_INET, "TCP6": socket.AF_INET6}.get(kind)
    if family is None or len(ports) != 2:
        raise ValueError(kind)
    for port in ports:
        if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 65536):
            raise ValueError(port)
    socket.inet_pton(family, destination)
    return socket.inet_ntop(family, socket.inet_pton(family, source))


def _slow_binary(octets: bytes) -> Verdict:
    if len(octets) < 16:
        return 0, None
    length = 256 * octets[14] + octets[15]
    if length > 4096:
        return None
    if len(octets) < 16 + length:
        return 0, None
    family = {1: socket.AF_INET, 2: socket.AF_INET6}.get(octets[13] // 16)
    needed = 12 if family == socket.AF_INET else 36
    if octets[12] == 0x20 or (octets[12] == 0x21 and family is None):
        return 16 + length, None
    if octets[12] != 0x21 or length < needed:
        return None
    address = octets[16:20] if family == socket.AF_INET else octets[16:32]
    assert family is not None
    return 16 + length, socket.inet_ntop(family, address)

"""The PROXY header: what is one, and what it says."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.receiver.proxy import ProxyError, client_of, header_length

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes([127, 0, 0, 9, 127, 0, 0, 1]) + b"\x13\x88\x00\x19"
V6 = ip_address("2001:db8::9").packed + ip_address("::1").packed + b"\x13\x88\x00\x19"
GOOD = {
    "v1-tcp4": (b"PROXY TCP4 127.0.0.9 127.0.0.1 5000 25\r\n", "127.0.0.9"),
    "v1-tcp6": (b"PROXY TCP6 2001:db8::9 ::1 5000 25\r\n", "2001:db8::9"),
    "v1-unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1-unknown-more": (b"PROXY UNKNOWN ::1 ::1 1 1\r\n", None),
    "v2-tcp4": (SIGNATURE + b"\x21\x11\x00\x0c" + V4, "127.0.0.9"),
    "v2-tcp6": (SIGNATURE + b"\x21\x21\x00\x24" + V6, "2001:db8::9"),
    "v2-fields": (SIGNATURE + b"\x21\x11\x00\x11" + V4 + b"\x04\x00\x02ab", "127.0.0.9"),
    "v2-local": (SIGNATURE + b"\x20\x00\x00\x00", None),
    "v2-unspecified": (SIGNATURE + b"\x21\x00\x00\x00", None),
    "v2-unix": (SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216), None),
}
BAD = {
    "smtp": b"EHLO app.test\r\n",
    "nearly": b"PROXYTCP4\r\n",
    "too-long": b"PROXY TCP4 " + b"1" * 100,
    "kind": b"PROXY UDP4 127.0.0.9 127.0.0.1 5000 25\r\n",
    "words": b"PROXY TCP4 127.0.0.9 127.0.0.1 5000\r\n",
    "family": b"PROXY TCP6 127.0.0.9 127.0.0.1 5000 25\r\n",
    "family-of-ours": b"PROXY TCP4 127.0.0.9 ::1 5000 25\r\n",
    "address": b"PROXY TCP4 localhost 127.0.0.1 5000 25\r\n",
    "eight-bit": b"PROXY TCP4 \xff 127.0.0.1 5000 25\r\n",
    "zone": b"PROXY TCP6 fe80::1%a\nb ::1 5000 25\r\n",
    "zone-of-ours": b"PROXY TCP6 fe80::1 fe80::2%eth0 5000 25\r\n",
    "port": b"PROXY TCP4 127.0.0.9 127.0.0.1 70000 25\r\n",
    "no-port": b"PROXY TCP4 127.0.0.9 127.0.0.1 x 25\r\n",
    "v2-version": SIGNATURE + b"\x11\x11\x00\x0c" + V4,
    "v2-short": SIGNATURE + b"\x21\x11\x00\x04" + V4[:4],
    "v2-huge": SIGNATURE + b"\x21\x11\xff\xff",
}


@pytest.mark.parametrize(("header", "client"), GOOD.values(), ids=GOOD)
def test_a_header_is_read_to_its_last_octet(header: bytes, client: str | None) -> None:
    assert header_length(header + b"EHLO") == len(header)
    assert [header_length(header[:end]) for end in range(len(header))] == [0] * len(header)
    assert client_of(header) == client


@pytest.mark.parametrize("octets", BAD.values(), ids=BAD)
def test_what_is_no_header_is_refused(octets: bytes) -> None:
    with pytest.raises(ProxyError):
        client_of(octets[: header_length(octets)])


@given(octets=st.binary(max_size=200), start=st.sampled_from([b"", b"PROXY ", SIGNATURE]))
def test_any_octets_are_a_header_or_not(octets: bytes, start: bytes) -> None:
    try:
        length = header_length(start + octets)
        client = client_of((start + octets)[:length]) if length else None
    except ProxyError:
        return
    assert client is None or str(ip_address(client)) == client

"""The end-of-data matrix (semantics section 4), for whoever reads content and for whole sessions.

A row: the sequence; what `normalize` makes of it; whether it is clean, so that `reject` takes it too
and makes the same of it.
"""

from collections.abc import Iterator

import pytest

HEAD, SMUGGLED, TAIL, BEHIND = (
    b"A: b\r\n\r\nhead",
    b"MAIL FROM:<e@x.test>\r\n",
    b"z\r\n",
    b"QUIT\r\n",
)

# What does not end the data, though some take it for an end.
MIDDLE = [
    pytest.param(b"\n.\n", b"\r\n.\r\n", False, id="E-01"),
    pytest.param(b"\n.\r\n", b"\r\n.\r\n", False, id="E-02"),
    pytest.param(b"\r\n.\n", b"\r\n\r\n", False, id="E-03"),
    pytest.param(b"\r.\r", b" . ", False, id="E-04"),
    pytest.param(b"\r.\n", b" .\r\n", False, id="E-05"),
    pytest.param(b"\n.\r", b"\r\n. ", False, id="E-06"),
    pytest.param(b"\r.\r\n", b" .\r\n", False, id="E-07"),
    pytest.param(b"\r\n.\r", b"\r\n ", False, id="E-08"),
    pytest.param(b"\r\n\x00.\r\n", b"\r\n .\r\n", False, id="E-09"),
    pytest.param(b"\r\n.\x00\r\n", b"\r\n \r\n", False, id="E-10"),
    pytest.param(b"\r\n.\r\r\n", b"\r\n \r\n", False, id="E-11"),
    pytest.param(b"\r\r\n.\r\r\n", b" \r\n \r\n", False, id="E-12"),
    pytest.param(b"\n\n.\r\n", b"\r\n\r\n.\r\n", False, id="E-15"),
    pytest.param(b"\r\n.\n.\r\n", b"\r\n\r\n.\r\n", False, id="E-16-lf"),
    pytest.param(b"\r\n.\r.\r\n", b"\r\n .\r\n", False, id="E-16-cr"),
    pytest.param(b"\r\n. \r\n", b"\r\n \r\n", True, id="E-17-blank-behind"),
    pytest.param(b"\r\n.\t\r\n", b"\r\n\t\r\n", True, id="E-17-tab-behind"),
    pytest.param(b"\r\n .\r\n", b"\r\n .\r\n", True, id="E-17-blank-before"),
    pytest.param(b"\r\n..\r\n", b"\r\n.\r\n", True, id="E-18"),
    pytest.param(b"\x0b.\x0b", b"\x0b.\x0b", True, id="E-19-vt"),
    pytest.param(b"\x0c.\x0c", b"\x0c.\x0c", True, id="E-19-ff"),
    pytest.param(b"\x1c.\x1c", b"\x1c.\x1c", True, id="E-19-fs"),
    pytest.param(b"\x1d.\x1d", b"\x1d.\x1d", True, id="E-19-gs"),
    pytest.param(b"\x1e.\x1e", b"\x1e.\x1e", True, id="E-19-rs"),
    pytest.param(b"\xc2\x85.\xc2\x85", b"\xc2\x85.\xc2\x85", True, id="E-19-nel"),
    pytest.param("\u2028.\u2028".encode(), "\u2028.\u2028".encode(), True, id="E-19-ls"),
    pytest.param("\u2029.\u2029".encode(), "\u2029.\u2029".encode(), True, id="E-19-ps"),
    pytest.param(b"\xff.\xff", b"\xff.\xff", True, id="E-20-ff"),
    pytest.param(b"\x85.\x85\x8d.\x8a", b"\x85.\x85\x8d.\x8a", True, id="E-20-c1"),
    pytest.param(b"\r\n.\r\x00\n", b"\r\n  \r\n", False, id="E-28-nul-inside-crlf"),
    pytest.param(b"\r\x00\n.\r\x00\n", b"  \r\n.  \r\n", False, id="E-28-nul-in-both"),
    pytest.param(b"\r\n\r.\r\n", b"\r\n .\r\n", False, id="E-28-cr-before-the-dot"),
    pytest.param(b"\r\n\n.\r\n", b"\r\n\r\n.\r\n", False, id="E-28-lf-before-the-dot"),
    pytest.param(b"\n.\r\n\r\n", b"\r\n.\r\n\r\n", False, id="E-28-empty-line-behind"),
]
# What does, whatever came before it.
ENDS = [
    pytest.param(b"\r\r\n.\r\n", b" \r\n", False, id="E-13"),
    pytest.param(b"\n\r\n.\r\n", b"\r\n\r\n", False, id="E-14"),
    pytest.param(b"\r\n.\r\n", b"\r\n", True, id="E-21"),
    pytest.param(b"\r\n\r\n.\r\n", b"\r\n\r\n", True, id="E-21-empty-line-before"),
    pytest.param(b"\x00\r\n.\r\n", b" \r\n", False, id="E-28-nul-before"),
    pytest.param(b"\r\n..\r\n.\r\n", b"\r\n.\r\n", True, id="E-18-then-the-end"),
]


def arrivals(wire: bytes) -> Iterator[Iterator[bytes]]:
    """Whole, byte by byte, and cut in two at every place (HT-06)."""
    yield iter([wire])
    yield iter([wire[i : i + 1] for i in range(len(wire))])
    for cut in range(1, len(wire)):
        yield iter([wire[:cut], wire[cut:]])

"""The path parser against a slow reference, and its time.

An input with a NUL is `prefix NUL unit NUL suffix`: the unit is repeated, and only the time counts.
"""

from contextlib import suppress

from relayd.mail.address import PATH_LIMIT, Address, PathError, parse_address, parse_path
from tests.fuzz.grammar import Path, Refused, read_path
from tests.support.processor import took_by

TOKENS = (
    *(b"<", b">", b"<>", b"@", b".", b'"', b"\\", b":", b",", b"-", b"_", b" ", b"\0"),
    *(b"<a@b.test>", b"<@a.test,@b.test:u@x.test>", b'<"a b"@x.test>', b'\\"', b"\\\\"),
    *(b"[IPv6:", b"[192.0.2.1]", b"[IPv6:2001:db8::1]", b"::", b"1.2.3.4", b"]", b"%eth0"),
    *(b"\xc3\xbc", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\xd8\x9c", b"\xed\xa0\x80"),
    *(b"l" * 256, b"d" * 63, b"d." * 30, b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\r\n"),
)
_LONG = 20_000  # octets of a hostile path
_TIME = 0.1  # seconds of the processor that are too many for it, under a fuzzer's eyes


def check(octets: bytes) -> None:
    if b"\0" in octets:
        _check_time(*_hostile(octets))
        return
    try:
        expected: tuple[Path, bytes] | None = read_path(octets)
    except Refused:
        expected = None
    try:
        address, rest = parse_path(octets)
    except PathError as error:
        assert expected is None, "refused against the grammar"
        text = str(error)
        assert text.isascii()
        assert text.isprintable()
        return
    assert expected is not None, "accepted against the grammar"
    given = None if address is None else (address.local, address.domain)
    assert (given, rest) == expected
    if address is not None:
        _check_address(address)


def _check_address(address: Address) -> None:
    """What was read is written as it was, and safe in a line of a header or a log."""
    text = str(address)
    assert parse_address(text) == address
    assert len(text.encode()) + 2 <= PATH_LIMIT
    assert not any(char < " " or "\x7f" <= char < "\xa0" for char in text)
    assert address.is_ascii is text.isascii()
    assert address.is_literal is text.endswith("]")


def _hostile(octets: bytes) -> tuple[bytes, int]:
    prefix, _, rest = octets.partition(b"\0")
    unit, _, suffix = rest.partition(b"\0")
    argument = prefix + unit * (_LONG // max(len(unit), 1)) + suffix
    return argument, len(argument)


def _check_time(argument: bytes, length: int) -> None:
    def work() -> None:
        with suppress(PathError):
            parse_path(argument)

    assert took_by(work, _TIME) < _TIME, f"{length} octets"

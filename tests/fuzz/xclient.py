"""XCLIENT: what a proxy says is clean, and read the same once it is written again."""

from ipaddress import ip_address

from relayd.mail.reply import SyntaxRefused
from relayd.receiver.xclient import ClientClaim, parse_xclient

TOKENS = (
    *(b"ADDR=", b"HELO=", b"LOGIN=", b"NAME=", b"PORT=", b"PROTO=", b"DESTADDR=", b"DESTPORT="),
    *(b"[UNAVAILABLE]", b"[TEMPUNAVAIL]", b"IPV6:", b"::1", b"192.0.2.7", b" ", b"+", b"+20"),
    *(b"+2B", b"+0D+0A", b"+00", b"+C3+BC", b"+25", b"%eth0", b"=", b"a" * 250, b"\xff", b"\t"),
)


def check(octets: bytes) -> None:
    try:
        claim = parse_xclient(octets)
    except SyntaxRefused:
        return
    for said in (claim.address, claim.helo, claim.login):
        assert said is None or (0 < len(said) <= 255 and said.isprintable())
    if claim.address is not None:
        assert str(ip_address(claim.address)) == claim.address
        assert set(claim.address) <= set("0123456789abcdef:.")
    assert parse_xclient(_written(claim)) == claim


def _written(claim: ClientClaim) -> bytes:
    given = {"ADDR": claim.address, "HELO": claim.helo, "LOGIN": claim.login}
    words = [f"{name}={_xtext(value)}" for name, value in given.items() if value is not None]
    return " ".join(words or ["NAME=[UNAVAILABLE]"]).encode()


def _xtext(value: str) -> str:
    return "".join(f"+{octet:02X}" for octet in value.encode())

"""XCLIENT: what a proxy says, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.reply import SyntaxRefused
from relayd.receiver.xclient import ClientClaim, parse_xclient


@pytest.mark.parametrize(
    ("argument", "claim"),
    [
        (b"ADDR=192.0.2.7", ClientClaim(address="192.0.2.7")),
        (b"addr=IPV6:2001:db8::7 PORT=25", ClientClaim(address="2001:db8::7")),
        (b"NAME=[UNAVAILABLE] ADDR=[TEMPUNAVAIL]", ClientClaim()),
        (b"NAME=far.test", ClientClaim()),
        (b"HELO=", ClientClaim()),
        (b"NAME=b+C3+BCro-pc HELO=b+C3+BCro-pc", ClientClaim(helo="büro-pc")),
        (b"HELO=b+FCro-pc", ClientClaim(helo="büro-pc")),
        (b"HELO=My+20Computer", ClientClaim(helo="My Computer")),
        (b"HELO=far.test LOGIN=app+2B1 PROTO=ESMTP", ClientClaim(helo="far.test", login="app+1")),
    ],
)
def test_what_it_says_is_taken(argument: bytes, claim: ClientClaim) -> None:
    assert parse_xclient(argument) == claim


@pytest.mark.parametrize(
    "argument",
    [
        b"",
        b"ADDR",
        b"COLOUR=red",
        b"ADDR=far.test",
        b"ADDR=IPV6:fe80::1%x)+20by+20(",
        b"HELO=a+0D+0Ab",
        b"HELO=\xff",
        b"HELO=" + b"a" * 256,
        b"\xff=1",
    ],
)
def test_what_makes_no_sense_is_refused(argument: bytes) -> None:
    with pytest.raises(SyntaxRefused):
        parse_xclient(argument)


@given(argument=st.binary(max_size=60))
def test_any_octets_are_read_or_refused(argument: bytes) -> None:
    for tried in (argument, b"ADDR=" + argument, b"HELO=" + argument):
        try:
            claim = parse_xclient(tried)
        except SyntaxRefused:
            continue
        assert claim.helo is None or claim.helo.isprintable()

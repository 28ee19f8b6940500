"""What old programs write instead of a path."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relayd.mail.address import parse_path
from relayd.mail.lenient import Leniency, Meant, meant_by

BRACKETS, DOT, DOTTED, NO_DOMAIN, BARE_LF = Leniency


def meant(argument: bytes, *kinds: Leniency) -> Meant | None:
    return meant_by(argument, kinds or tuple(Leniency), fqdn="relay.test")


@pytest.mark.parametrize(
    ("argument", "corrected", "needed"),
    [
        (b"FROM:app@x.test", b"FROM:<app@x.test>", (BRACKETS,)),
        (b"from: app@x.test SIZE=5 ", b"from:<app@x.test> SIZE=5", (BRACKETS,)),
        (b'TO:"a b"@x.test', b'TO:<"a b"@x.test>', (BRACKETS,)),
        (b"TO:<a@x.test.> NOTIFY=NEVER", b"TO:<a@x.test> NOTIFY=NEVER", (DOT,)),
        (b"TO:<a..b@x.test>", b'TO:<"a..b"@x.test>', (DOTTED,)),
        (b"TO:<.a@x.test>", b'TO:<".a"@x.test>', (DOTTED,)),
        (b"TO:<a.@x.test>", b'TO:<"a."@x.test>', (DOTTED,)),
        (b"TO:<root>", b"TO:<root@relay.test>", (NO_DOMAIN,)),
        (b"TO:..@x.test.", b'TO:<".."@x.test>', (BRACKETS, DOT, DOTTED)),
        (b"TO:root", b"TO:<root@relay.test>", (BRACKETS, NO_DOMAIN)),
    ],
)
def test_what_is_meant(argument: bytes, corrected: bytes, needed: tuple[Leniency, ...]) -> None:
    assert meant(argument) == Meant(corrected, needed)
    assert meant(argument, *needed) == Meant(corrected, needed)
    for each in needed:
        assert meant(argument, *(set(Leniency) - {each})) is None, "it is not allowed"
    parse_path(corrected.partition(b":")[2])
    assert meant(corrected) is None, "nothing is left to correct"


@pytest.mark.parametrize(
    "argument",
    [
        pytest.param(b"FROM:<>", id="null"),
        pytest.param(b"FROM:<app@x.test>", id="right"),
        pytest.param(b'FROM:<"a..b"@x.test>', id="right-in-quotes"),
        pytest.param(b"FROM:", id="nothing"),
        pytest.param(b"FROM:<app@x.test", id="half-a-bracket"),
        pytest.param(b"FROM:App <app@x.test>", id="with-a-name"),
        pytest.param(b"FROM:<a@x.test,b@x.test>", id="two"),
        pytest.param(b"FROM:<a b>", id="blank"),
    ],
)
def test_what_nothing_is_meant_by(argument: bytes) -> None:
    assert meant(argument) is None


@given(st.text('aA.@<>" :,=\\\r\n\0ü', max_size=20).map(str.encode))
@example(b"a@x.test..")
def test_one_correction_is_all(path: bytes) -> None:
    """Whatever is written: it is corrected once at most, but for dots that pile up, and keeps its order."""
    found = meant(b"TO:" + path)
    if found is None:
        return
    again = meant(found.argument)
    assert again is None or again.needed == (DOT,)
    assert b"\r" not in found.argument or b"\r" in path

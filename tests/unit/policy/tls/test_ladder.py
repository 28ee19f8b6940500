"""What a session does with what TLS gives: every cell of table B, in the code and on its page."""

from pathlib import Path

import pytest

from relayd.mail.tls_result import Proof, TlsProof
from relayd.mail.tlsa import Tlsa
from relayd.policy.tls.ladder import (
    CLEAR_FOR,
    LOGGED_FOR,
    Level,
    Requirement,
    Step,
    TlsEvent,
    TlsFailure,
    TlsMode,
    asked_by,
    level_of,
    meets,
    rule,
)

PAGE = (Path(__file__).parents[4] / "docs/tls.md").read_text()
EVENTS = {
    "STARTTLS is not offered": TlsEvent.NOT_OFFERED,
    "STARTTLS is refused, 4yz or 5yz": TlsEvent.REFUSED,
    "the handshake breaks, takes too long, finds no common version": TlsEvent.NO_HANDSHAKE,
    "the certificate has expired": TlsEvent.EXPIRED,
    "it is for another name": TlsEvent.WRONG_NAME,
    "no known authority vouches for it": TlsEvent.NOT_TRUSTED,
    "no TLSA record fits": TlsEvent.NO_MATCH,
    "the session breaks in the first command under TLS": TlsEvent.NO_EHLO,
    "all is well": TlsEvent.GOOD,
}
WORDS = {
    Step.GO_ON: "goes on",
    Step.CLEAR_HERE: "clear text",
    Step.CLEAR_ANEW: "new connection in clear text",
    Step.NEXT_HOST: "next host",
}
COLUMNS = (Level.OPPORTUNISTIC, Level.ENCRYPTED, Level.PKIX, Level.DANE)
CELLS = [
    pytest.param(EVENTS[name], level, cell, id=f"{EVENTS[name].name.lower()}-{level.name.lower()}")
    for name, *cells in (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.partition("## B.")[2].splitlines()
        if line.startswith("|")
    )
    if name in EVENTS
    for level, cell in zip(COLUMNS, cells, strict=True)
]


@pytest.mark.parametrize(("event", "level", "cell"), CELLS)
def test_table_b(event: TlsEvent, level: Level, cell: str) -> None:
    found = rule(event, level)
    if cell == "cannot happen":  # if it did, no mail would go in clear text
        assert found.step is not Step.CLEAR_HERE
        return
    word = "" if found.result is None else f" → `{found.result}`"
    assert cell == f"{WORDS[found.step]}{word}"


def test_the_page_has_every_cell() -> None:
    assert len(CELLS) == len(TlsEvent) * len(COLUMNS)


@pytest.mark.parametrize("event", TlsEvent)
def test_clear_text_looks_at_nothing(event: TlsEvent) -> None:
    assert rule(event, Level.CLEAR).step is Step.GO_ON
    assert rule(event, Level.CLEAR).result is None


@pytest.mark.parametrize("level", [Level.ENCRYPTED, Level.PKIX, Level.DANE])
@pytest.mark.parametrize("event", TlsEvent)
def test_clear_text_is_for_opportunistic_sessions_alone(event: TlsEvent, level: Level) -> None:
    assert rule(event, level).step in (Step.GO_ON, Step.NEXT_HOST)


@pytest.mark.parametrize("level", [Level.PKIX, Level.DANE])
def test_nothing_but_a_proof_lets_a_strict_session_go_on(level: Level) -> None:
    going = {event for event in TlsEvent if rule(event, level).step is Step.GO_ON}
    assert going == {TlsEvent.GOOD}


@pytest.mark.parametrize(
    ("mode", "level"),
    [
        (TlsMode.OFF, Level.CLEAR),
        (TlsMode.OPPORTUNISTIC, Level.OPPORTUNISTIC),
        (TlsMode.REQUIRED, Level.ENCRYPTED),
        (TlsMode.VERIFY, Level.PKIX),
        (TlsMode.IMPLICIT, Level.PKIX),
    ],
)
def test_what_a_setting_asks(mode: TlsMode, level: Level) -> None:
    """On this machine `implicit` takes any certificate: nobody can pose as the server there."""
    is_implicit = mode is TlsMode.IMPLICIT
    assert level_of(mode) is level
    assert asked_by(mode, "192.0.2.1") == Requirement(level=level, begins_with_tls=is_implicit)
    here = Level.ENCRYPTED if is_implicit else level
    assert asked_by(mode, "127.0.0.1").level is here


def test_how_long_what_is_remembered() -> None:
    """Seconds; what goes out in clear text can be read on the way."""
    for event in TlsEvent:
        failure = TlsFailure(event=event, reason="why")
        lasts = event in (TlsEvent.REFUSED, TlsEvent.NO_HANDSHAKE, TlsEvent.NO_EHLO)
        assert failure.is_lasting == lasts
        assert failure.remembered_for == (CLEAR_FOR if lasts else LOGGED_FOR)
    assert (CLEAR_FOR, LOGGED_FOR) == (600, 3600)


HOST = "mx.a.test"
EE, TA, NEW = Tlsa(3, 1, 1, b"e" * 32), Tlsa(2, 1, 1, b"t" * 32), Tlsa(3, 1, 1, b"n" * 32)
BY_RECORDS = Requirement(level=Level.DANE, records=(EE, TA), base=HOST, names=(HOST, "a.test"))
NOTHING = Proof()
ENCRYPTED = Proof(kind=TlsProof.ENCRYPTED)
PKIX = Proof(kind=TlsProof.PKIX, name=HOST)
DANE_EE = Proof(kind=TlsProof.DANE_EE, record=EE, base=HOST)
DANE_TA = Proof(kind=TlsProof.DANE_TA, record=TA, base=HOST, name="a.test")


@pytest.mark.parametrize(
    ("proof", "met"),
    [
        pytest.param(NOTHING, {Level.CLEAR, Level.OPPORTUNISTIC}, id="none"),
        pytest.param(
            ENCRYPTED, {Level.CLEAR, Level.OPPORTUNISTIC, Level.ENCRYPTED}, id="encrypted"
        ),
        pytest.param(PKIX, set(Level) - {Level.DANE}, id="pkix"),
        pytest.param(
            Proof(kind=TlsProof.PKIX, name="mx.b.test"),
            {Level.CLEAR, Level.OPPORTUNISTIC, Level.ENCRYPTED},
            id="pkix-of-another-name",
        ),
        pytest.param(DANE_EE, set(Level) - {Level.PKIX}, id="dane-ee"),
        pytest.param(DANE_TA, set(Level) - {Level.PKIX}, id="dane-ta"),
    ],
)
def test_whom_an_open_connection_may_serve(proof: Proof, met: set[Level]) -> None:
    """T-01."""
    asked = [Requirement(level=level) for level in Level if level is not Level.DANE] + [BY_RECORDS]
    assert {one.level for one in asked if meets(proof, HOST, one)} == met


@pytest.mark.parametrize(
    ("proof", "requirement"),
    [
        pytest.param(
            DANE_EE,
            Requirement(level=Level.DANE, records=(NEW,), base=HOST, names=(HOST,)),
            id="the-record-is-gone",
        ),
        pytest.param(
            DANE_EE,
            Requirement(level=Level.DANE, records=(EE,), base="mx.b.test", names=(HOST,)),
            id="below-another-name",
        ),
        pytest.param(
            DANE_TA,
            Requirement(level=Level.DANE, records=(TA,), base=HOST, names=(HOST, "b.test")),
            id="proven-for-another-domain",
        ),
        pytest.param(Proof(), BY_RECORDS, id="nothing-shown"),
    ],
)
def test_dane_is_for_the_records_of_now(proof: Proof, requirement: Requirement) -> None:
    """T-01: and for a name of this domain, under a trust anchor."""
    assert not meets(proof, HOST, requirement)

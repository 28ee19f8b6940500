"""How a session is secured: mode and what happened, and what is tried next."""

import pytest

from relayd.policy.delivery.tls import (
    Security,
    TlsFailure,
    first_step,
    may_do_without,
    step_after,
)
from relayd.policy.tls.ladder import TlsMode

VERIFIED, ANY, CLEAR = Security.VERIFIED, Security.ANY_CERTIFICATE, Security.CLEAR
CERTIFICATE = TlsFailure("certificate not valid: expired", of_certificate=True)
HANDSHAKE = TlsFailure("TLS handshake not finished in time", of_certificate=False)

# mode, first step, after a bad certificate, after any other failure, without STARTTLS
ELSEWHERE = [
    (TlsMode.OFF, CLEAR, None, CLEAR, True),
    (TlsMode.OPPORTUNISTIC, VERIFIED, ANY, CLEAR, True),
    (TlsMode.REQUIRED, VERIFIED, ANY, None, False),
    (TlsMode.VERIFY, VERIFIED, None, None, False),
    (TlsMode.IMPLICIT, VERIFIED, None, None, False),
]
LOOPBACK = [
    (mode, first, ANY if mode is TlsMode.IMPLICIT else bad, other, without)
    for mode, first, bad, other, without in ELSEWHERE
]
TABLE = [(False, *row) for row in ELSEWHERE] + [(True, *row) for row in LOOPBACK]


@pytest.mark.parametrize(
    ("is_loopback", "mode", "first", "bad_certificate", "other", "without"),
    TABLE,
    ids=[f"{row[1]}-{'loopback' if row[0] else 'elsewhere'}" for row in TABLE],
)
def test_the_next_step(  # one row of the table
    mode: TlsMode,
    first: Security,
    bad_certificate: Security | None,
    other: Security | None,
    *,
    is_loopback: bool,
    without: bool,
) -> None:
    assert first_step(mode, is_loopback=is_loopback) is first
    assert step_after(CERTIFICATE, mode, is_loopback=is_loopback) is bad_certificate
    assert step_after(HANDSHAKE, mode, is_loopback=is_loopback) is other
    assert may_do_without(mode) is without


def test_every_mode_is_in_the_table() -> None:
    assert {row[0] for row in ELSEWHERE} == set(TlsMode)


@pytest.mark.parametrize("mode", TlsMode)
def test_no_mode_but_off_begins_in_clear_text(mode: TlsMode) -> None:
    """Only a failure leads there, and only where clear text is accepted."""
    for is_loopback in (False, True):
        assert (first_step(mode, is_loopback=is_loopback) is CLEAR) == (mode is TlsMode.OFF)
        clear_after = step_after(HANDSHAKE, mode, is_loopback=is_loopback) is CLEAR
        assert clear_after == may_do_without(mode)


def test_a_certificate_is_remembered_for_longer() -> None:
    """Seconds; what goes out in clear text can be read on the way."""
    assert (CERTIFICATE.remembered_for, HANDSHAKE.remembered_for) == (3600, 600)

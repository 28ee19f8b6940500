"""The commands of a transaction: none is longer than servers have to take."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relayd.mail.address import PATH_LIMIT
from relayd.mail.attempt import RouteKind
from relayd.mail.tls_result import TlsPolicy, TlsProof
from relayd.net.smtp.commands import Offers, hello, plan
from relayd.policy.tls.ladder import asked_by
from relayd.ports.outward import Target
from relayd.settings import TlsMode
from tests.support.builders import a_queued_message, a_queued_recipient

TARGET = Target(
    route=RouteKind.DIRECT,
    host="mx.test",
    ip="192.0.2.1",
    port=25,
    requirement=asked_by(TlsMode.OFF, "127.0.0.1"),
    login=None,
)
COMMAND = 512  # octets with CR LF, RFC 5321 §4.5.3.1.4
# What the extensions add to it: RFC 1870 §3, RFC 6152 §3, RFC 6531 §3.4, RFC 3461 §4.
OF_MAIL = 26 + 17 + 10 + len(" RET=HDRS ENVID=") + 100
OF_RCPT = len(" NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=") + 500

local_parts = st.text("abcé+=-_", min_size=1, max_size=460)
domains = st.lists(st.text("abü", min_size=1, max_size=20), min_size=1, max_size=8)
addresses = st.tuples(local_parts, domains).map(lambda parts: f"{parts[0]}@{'.'.join(parts[1])}")
original = st.text("abé+", max_size=480).map(lambda text: f"utf-8;{text}")
offers = st.builds(
    Offers,
    size=st.booleans(),
    eight_bit_mime=st.just(value=True),
    smtputf8=st.booleans(),
    dsn=st.booleans(),
)


@given(
    sender=addresses,
    recipient=addresses,
    orcpt=original,
    size=st.integers(0, 10**19),
    offers=offers,
)
@example(  # its escapes make it longer than it may be
    sender="a@x.test",
    recipient="b@x.test",
    orcpt="utf-8;" + "é" * 400,
    size=1,
    offers=Offers(dsn=True, eight_bit_mime=True),
)
def test_no_command_is_too_long(
    sender: str, recipient: str, orcpt: str, size: int, offers: Offers
) -> None:
    """A long address takes what it takes; all else keeps within what each extension may add."""
    message = a_queued_message(
        reverse_path=sender,
        parameters={"RET": "HDRS", "ENVID": "e" * 100, "SMTPUTF8": "", "BODY": "8BITMIME"},
    )
    notify = {"NOTIFY": "SUCCESS,FAILURE,DELAY", "ORCPT": orcpt}
    todo = plan(
        message,
        [a_queued_recipient(recipient, parameters=notify)],
        size,
        offers,
        TARGET,
        is_8bit=True,
    )
    for command, added in [(todo.mail, OF_MAIL), *[(each, OF_RCPT) for each in todo.rcpts]]:
        excess = max(0, len(_without_parameters(command)) - COMMAND)
        assert len(command) <= COMMAND + excess + added
        assert excess <= PATH_LIMIT + len("MAIL FROM:\r\n") - COMMAND or not _fits(
            sender, recipient
        )


def test_a_hello_is_never_too_long() -> None:
    """A name has 255 octets at the most."""
    assert len(hello(b"EHLO", "a" * 255)) <= COMMAND


def _without_parameters(command: bytes) -> bytes:
    return command.partition(b"> ")[0] + b">\r\n"


def _fits(*given: str) -> bool:
    """They are paths that relayd takes; a domain may grow as A-labels."""
    return all(each.isascii() and len(each) + 2 <= PATH_LIMIT for each in given)


@pytest.mark.parametrize(
    ("route", "policy", "proof", "offered", "lacks"),
    [
        (RouteKind.DIRECT, TlsPolicy.DANE, TlsProof.DANE_EE, True, ""),
        (RouteKind.DIRECT, TlsPolicy.MTA_STS, TlsProof.PKIX, True, ""),
        (RouteKind.SMARTHOST, TlsPolicy.OPERATOR, TlsProof.PKIX, True, ""),
        (RouteKind.DIRECT, TlsPolicy.DANE, TlsProof.DANE_TA, False, "REQUIRETLS"),
        # Who can say that mail goes to another host has a certificate for that one.
        (RouteKind.DIRECT, TlsPolicy.NONE, TlsProof.PKIX, True, "a certificate"),
        (RouteKind.DIRECT, TlsPolicy.DANE_HOST, TlsProof.DANE_EE, True, "a certificate"),
        (RouteKind.SMARTHOST, TlsPolicy.OPERATOR, TlsProof.ENCRYPTED, True, "a certificate"),
        (RouteKind.SMARTHOST, TlsPolicy.OPERATOR, TlsProof.NONE, False, "REQUIRETLS"),
    ],
)
def test_what_needs_tls_goes_only_where_it_is_proven(
    route: RouteKind,
    policy: TlsPolicy,
    proof: TlsProof,
    offered: bool,  # noqa: FBT001
    lacks: str,
) -> None:
    target = replace(TARGET, route=route, requirement=replace(TARGET.requirement, policy=policy))
    todo = plan(
        a_queued_message(parameters={"REQUIRETLS": ""}),
        [a_queued_recipient("a@x.test")],
        9,
        Offers(requiretls=offered),
        target,
        is_8bit=False,
        proof=proof,
    )
    if lacks:
        reply = todo.refused[0].reply
        assert (reply.code, reply.enhanced) == (550, "5.7.30")
        assert lacks in reply.text
        assert not todo.rcpts
    else:
        assert todo.mail.endswith(b" REQUIRETLS\r\n")

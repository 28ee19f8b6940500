"""What a client may ask for: who relays, which sender, which recipient, which message."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest

from relayd.mail.address import parse_address
from relayd.mail.reply import Reply
from relayd.policy.intake import admit
from relayd.policy.intake.admit import LimitSettings
from tests.support.builders import a_facts

LIMITS = LimitSettings(
    message_size=1000,
    recipients=2,
    connections=10,
    connections_per_client=5,
    stop_within=timedelta(seconds=8),
)
NETWORKS = tuple(map(ip_network, ["127.0.0.0/8", "::1/128", "10.1.0.0/16", "2001:db8::/32"]))


@pytest.mark.parametrize(
    ("client_ip", "allowed"),
    [
        pytest.param("127.0.0.1", True, id="loopback"),
        pytest.param("127.255.255.254", True, id="loopback-end"),
        pytest.param("::1", True, id="loopback-6"),
        pytest.param("10.1.2.3", True, id="listed"),
        pytest.param("10.2.2.3", False, id="beside-the-listed"),
        pytest.param("2001:db8::5", True, id="listed-6"),
        pytest.param("2001:db9::5", False, id="beside-the-listed-6"),
        pytest.param("::ffff:10.1.2.3", True, id="mapped"),
        pytest.param("::ffff:203.0.113.9", False, id="mapped-stranger"),
        pytest.param("::7f00:1", False, id="compatible-is-not-mapped"),
        pytest.param("2001:db8::5%eth0", True, id="zone"),
        pytest.param("203.0.113.9", False, id="stranger"),
        pytest.param("", True, id="unix-socket"),
    ],
)
def test_only_listed_networks_relay(client_ip: str, *, allowed: bool) -> None:
    """Others are strangers, whatever they speak (S-28, RFC 5321 section 7.9)."""
    assert admit.may_relay(client_ip, NETWORKS) is allowed


def test_a_unix_socket_is_in_no_network() -> None:
    """Its peers are trusted as clients; they speak for nobody else, as a proxy might."""
    assert not admit.is_among("", NETWORKS)
    assert admit.is_among("10.1.2.3", NETWORKS)


def test_without_networks_nobody_relays_by_tcp() -> None:
    assert not admit.may_relay("127.0.0.1", ())
    assert admit.may_relay("", ())


@pytest.mark.parametrize(
    ("sender", "smtputf8", "size", "refusal"),
    [
        pytest.param("a@x.test", False, 0, None, id="plain"),
        pytest.param("", False, 0, None, id="null-path"),
        pytest.param("a@x.test", False, 1000, None, id="size-at-the-limit"),
        pytest.param("a@x.test", False, 1001, admit.TOO_BIG, id="size-above"),
        pytest.param("", False, 10**19, admit.TOO_BIG, id="size-of-20-digits"),
        pytest.param("ü@x.test", True, 0, None, id="utf8-announced"),
        pytest.param("ü@x.test", False, 0, admit.NEEDS_SMTPUTF8_SENDER, id="utf8-local-part"),
        pytest.param("a@ü.test", False, 0, admit.NEEDS_SMTPUTF8_SENDER, id="utf8-domain"),
        pytest.param("ü@x.test", False, 1001, admit.TOO_BIG, id="size-comes-first"),
    ],
)
def test_a_sender_is_admitted_or_refused(
    sender: str, size: int, refusal: Reply | None, *, smtputf8: bool
) -> None:
    """S-37 and S-38 at MAIL."""
    path = parse_address(sender) if sender else None
    for has_room in (True, False):
        judged = admit.admit_sender(
            path, smtputf8=smtputf8, declared_size=size, limits=LIMITS, has_room=has_room
        )
        assert judged is (refusal if has_room else refusal or admit.NO_ROOM)


@pytest.mark.parametrize(
    ("recipient", "smtputf8", "accepted", "refusal"),
    [
        pytest.param("a@x.test", False, 0, None, id="first"),
        pytest.param("a@x.test", False, 1, None, id="last"),
        pytest.param("a@x.test", False, 2, admit.TOO_MANY_RECIPIENTS, id="one-more"),
        pytest.param("ü@x.test", True, 0, None, id="utf8-announced"),
        pytest.param("ü@x.test", False, 0, admit.NEEDS_SMTPUTF8_RECIPIENT, id="utf8-local-part"),
        pytest.param("a@ü.test", False, 2, admit.NEEDS_SMTPUTF8_RECIPIENT, id="utf8-domain"),
        pytest.param("a@[192.0.2.1]", False, 0, admit.NO_LITERAL, id="literal"),
        pytest.param("a@[IPv6:::1]", True, 2, admit.NO_LITERAL, id="literal-6"),
    ],
)
def test_a_recipient_is_admitted_or_refused(
    recipient: str, accepted: int, refusal: Reply | None, *, smtputf8: bool
) -> None:
    """S-27, S-37 and S-41 at RCPT; what is wrong for good is said before what is wrong for now."""
    judged = admit.admit_recipient(
        parse_address(recipient), smtputf8=smtputf8, accepted=accepted, octets=0, limits=LIMITS
    )
    assert judged is refusal


@pytest.mark.parametrize(
    ("recipients", "octets", "refusal"),
    [
        (2, 25_599, None),  # a hundred of any length are what every server has to take
        (2, 25_600, admit.TOO_MANY_RECIPIENTS),
        (1000, 255_999, None),
        (1000, 256_000, admit.TOO_MANY_RECIPIENTS),
    ],
)
def test_long_recipients_are_fewer(recipients: int, octets: int, refusal: Reply | None) -> None:
    limits = replace(LIMITS, recipients=recipients)
    judged = admit.admit_recipient(
        parse_address("a@x.test"), smtputf8=False, accepted=1, octets=octets, limits=limits
    )
    assert judged is refusal


@pytest.mark.parametrize(("hops", "refusal"), [(0, None), (100, None), (101, admit.LOOP)])
def test_a_message_in_a_loop_is_refused(hops: int, refusal: Reply | None) -> None:
    """S-21: a hundred Received fields are let through, one more is a loop."""
    assert admit.admit_message(a_facts(hops=hops)) is refusal


REPLIES = [value for value in vars(admit).values() if isinstance(value, Reply)]


@pytest.mark.parametrize("reply", REPLIES, ids=str)
def test_refusals_are_fit_to_be_sent(reply: Reply) -> None:
    """The enhanced code stands in the text and has the reply's class; ASCII, short (S-47, S-48)."""
    assert reply.enhanced is not None
    assert reply.enhanced[0] == str(reply.code)[0]
    assert all(line.startswith(f"{reply.enhanced} ") for line in reply.lines)
    assert str(reply).isascii()
    assert str(reply).isprintable()
    assert len(str(reply)) < 510


@pytest.mark.parametrize(
    ("client_ip", "is_here"),
    [
        ("", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_who_is_on_this_machine(client_ip: str, *, is_here: bool) -> None:
    assert admit.is_this_machine(client_ip) is is_here


@pytest.mark.parametrize("is_own_client", [True, False])
@pytest.mark.parametrize("is_relayed", [True, False])
def test_who_submits_mail_is_helped_and_nobody_else(
    *, is_own_client: bool, is_relayed: bool
) -> None:
    """S-49."""
    found = {
        wanted: admit.is_fixed_up(wanted, is_own_client=is_own_client, is_relayed=is_relayed)
        for wanted in admit.FixUps
    }
    assert found == {
        admit.FixUps.AUTO: is_own_client and not is_relayed,
        admit.FixUps.ALWAYS: True,
        admit.FixUps.NEVER: False,
    }


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENT, HOURS, DAYS = timedelta(milliseconds=1), timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("ago", "reply"),
    [
        pytest.param([], None, id="nothing yet"),
        pytest.param([HOURS, HOURS], None, id="two today"),
        pytest.param([HOURS] * 3, admit.RETURN_PATH_BUSY, id="three today"),
        pytest.param(
            [HOURS, HOURS, -MOMENT], admit.RETURN_PATH_BUSY, id="another worker's just now"
        ),
        pytest.param([DAYS] + [HOURS] * 2, None, id="one of yesterday"),
        pytest.param([9 * DAYS] * 19, None, id="much, long ago"),
        pytest.param([9 * DAYS] * 20, admit.RETURN_PATH_SPENT, id="too much in all"),
        pytest.param([-DAYS] * 3, None, id="the clock was set back"),
        pytest.param([-DAYS] * 20, admit.RETURN_PATH_SPENT, id="and still too much"),
    ],
)
def test_a_return_path_is_for_a_few_mails(ago: list[timedelta], reply: Reply | None) -> None:
    assert admit.admit_returned([NOW - each for each in ago], now=NOW) == reply


@pytest.mark.parametrize(
    ("refusal", "softened"),
    [
        (admit.NO_RELAYING, Reply(450, "4.7.1", ("4.7.1 Relaying denied for your address",))),
        (admit.TOO_BIG, Reply(452, "4.3.4", ("4.3.4 Message too big for this relay",))),
        (Reply(554, None, ("one", "5.7.1 two")), Reply(454, None, ("one", "4.7.1 two"))),
        (admit.NEEDS_LOGIN, admit.NEEDS_LOGIN),
        (admit.NO_ROOM, admit.NO_ROOM),
        (Reply(503, "5.5.1", ("5.5.1 First MAIL",)), Reply(503, "5.5.1", ("5.5.1 First MAIL",))),
    ],
)
def test_refusals_of_mail_can_be_for_now(refusal: Reply, softened: Reply) -> None:
    assert admit.for_now(refusal) == softened

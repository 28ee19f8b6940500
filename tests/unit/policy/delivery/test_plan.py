"""Which recipients share a transaction, and what the next hop is told."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import parse_address
from relayd.mail.envelope import QueuedMessage
from relayd.policy import verp
from relayd.policy.delivery.plan import AT_ONCE, ReturnPaths, Transaction, transactions
from relayd.policy.delivery.route import RouteRules
from tests.support.builders import a_queued_message, a_queued_recipient

PATHS = ReturnPaths(domain="bounces.relay.test", key=bytes(range(32)))
NO_RULES = RouteRules()
STAGING = RouteRules(
    redirect_to=parse_address("catch.all@staging.test"),
    redirect_allow=frozenset({"b@x.test"}),
)


def stands_for(transaction: Transaction, message: QueuedMessage) -> int:
    """The recipient that the reverse-path of an envelope tells; the rest of it is the message's."""
    path = parse_address(transaction.message.reverse_path)
    token = verp.decode(path, key=PATHS.key, domain=PATHS.domain)
    assert token is not None
    assert token.message_id == message.id
    assert replace(transaction.message, reverse_path=message.reverse_path) == message
    return token.recipient


@given(st.integers(0, 350))
def test_every_recipient_is_in_one_transaction_of_bounded_size(count: int) -> None:
    """S-19, S-41: in their order, and never more than every server has to take."""
    message = a_queued_message()
    recipients = [a_queued_recipient(f"u{number}@x.test", number=number) for number in range(count)]
    envelopes = transactions(message, recipients, NO_RULES, None)
    assert [one for envelope in envelopes for one in envelope.recipients] == recipients
    assert all(1 <= len(envelope.recipients) <= AT_ONCE for envelope in envelopes)
    assert all(envelope.message == message for envelope in envelopes)
    assert len(envelopes) == -(-count // AT_ONCE)


def test_a_redirected_recipient_keeps_everything_but_the_address_that_is_told() -> None:
    recipients = [
        a_queued_recipient(
            "a@x.test", number=0, parameters={"NOTIFY": "NEVER"}, attempt=3, soft_failures=1
        ),
        a_queued_recipient("b@x.test", number=1),
    ]
    [envelope] = transactions(a_queued_message(), recipients, STAGING, None)
    first, second = envelope.recipients
    assert first == a_queued_recipient(
        "catch.all@staging.test",
        number=0,
        parameters={"NOTIFY": "NEVER"},
        attempt=3,
        soft_failures=1,
    )
    assert second == recipients[1]


@given(st.integers(0, 150), st.integers(0, 1000))
def test_with_return_paths_every_recipient_has_an_envelope_of_its_own(
    count: int, first: int
) -> None:
    """Numbered as the message has them, also when others of it are done already."""
    message = a_queued_message(parameters={"BODY": "8BITMIME"})
    recipients = [
        a_queued_recipient(f"u{number}@x.test", number=number)
        for number in range(first, first + count)
    ]
    envelopes = transactions(message, recipients, NO_RULES, PATHS)
    assert [envelope.recipients for envelope in envelopes] == [[one] for one in recipients]
    assert [stands_for(envelope, message) for envelope in envelopes] == [
        one.number for one in recipients
    ]


def test_the_null_reverse_path_stays() -> None:
    """A report causes no other one (S-12), and shares its transaction as before."""
    message = a_queued_message(reverse_path="")
    recipients = [a_queued_recipient(f"u{number}@x.test", number=number) for number in range(3)]
    assert transactions(message, recipients, NO_RULES, PATHS) == [Transaction(message, recipients)]


def test_a_redirected_recipient_has_the_return_path_of_the_real_one() -> None:
    message = a_queued_message()
    recipients = [
        a_queued_recipient("a@x.test", number=4),
        a_queued_recipient("b@x.test", number=7),
    ]
    envelopes = transactions(message, recipients, STAGING, PATHS)
    assert [
        (stands_for(envelope, message), *[one.address for one in envelope.recipients])
        for envelope in envelopes
    ] == [(4, "catch.all@staging.test"), (7, "b@x.test")]


def test_the_key_is_not_shown() -> None:
    """Settings and parts end up in tracebacks and logs."""
    assert repr(PATHS) == f"{PATHS}" == "ReturnPaths('bounces.relay.test', key=***)"

"""Which recipients share a transaction, and what the next hop is told."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import parse_address
from relayd.mail.envelope import QueuedMessage, QueuedRecipient
from relayd.policy import verp
from relayd.policy.delivery.plan import AT_ONCE, ReturnPaths, Transaction, transactions
from relayd.policy.delivery.route import RouteRules
from relayd.policy.rewriting.apply import Rewritten
from tests.support.builders import a_queued_message, a_queued_recipient

PATHS = ReturnPaths(domain="bounces.relay.test", key=bytes(range(32)))
NO_RULES = RouteRules()
STAGING = RouteRules(
    redirect_to=parse_address("catch.all@staging.test"),
    redirect_allow=frozenset({"b@x.test"}),
)


BODY = b"Subject: x\r\n\r\n"


def envelopes_of(
    message: QueuedMessage,
    recipients: list[QueuedRecipient],
    rules: RouteRules,
    paths: ReturnPaths | None,
    given: Rewritten | None = None,
) -> list[Transaction]:
    as_written = Rewritten(reverse_path=message.reverse_path, content=BODY)
    return transactions(message, recipients, rules, paths, given or as_written)


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
    envelopes = envelopes_of(message, recipients, NO_RULES, None)
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
    [envelope] = envelopes_of(a_queued_message(), recipients, STAGING, None)
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
    envelopes = envelopes_of(message, recipients, NO_RULES, PATHS)
    assert [envelope.recipients for envelope in envelopes] == [[one] for one in recipients]
    assert [stands_for(envelope, message) for envelope in envelopes] == [
        one.number for one in recipients
    ]


def test_the_null_reverse_path_stays() -> None:
    """A report causes no other one (S-12), and shares its transaction as before."""
    message = a_queued_message(reverse_path="")
    recipients = [a_queued_recipient(f"u{number}@x.test", number=number) for number in range(3)]
    assert envelopes_of(message, recipients, NO_RULES, PATHS) == [
        Transaction(message, recipients, BODY)
    ]


def test_a_redirected_recipient_has_the_return_path_of_the_real_one() -> None:
    message = a_queued_message()
    recipients = [
        a_queued_recipient("a@x.test", number=4),
        a_queued_recipient("b@x.test", number=7),
    ]
    envelopes = envelopes_of(message, recipients, STAGING, PATHS)
    assert [
        (stands_for(envelope, message), *[one.address for one in envelope.recipients])
        for envelope in envelopes
    ] == [(4, "catch.all@staging.test"), (7, "b@x.test")]


def test_the_key_is_not_shown() -> None:
    """Settings and parts end up in tracebacks and logs."""
    assert repr(PATHS) == f"{PATHS}" == "ReturnPaths('bounces.relay.test', key=***)"


def test_what_is_rewritten_goes_out_and_a_sender_by_a_rule_is_no_verp_address() -> None:
    message = a_queued_message()
    recipients = [a_queued_recipient(f"u{number}@x.test", number=number) for number in range(2)]
    given = Rewritten(reverse_path="app@example.com", content=b"new", changes=("sender changed",))
    [envelope] = envelopes_of(message, recipients, NO_RULES, PATHS, given)
    assert envelope.message == replace(message, reverse_path="app@example.com")
    assert envelope.content == b"new"
    assert envelope.rewritten == ("sender changed",)
    fields_alone = replace(given, reverse_path=message.reverse_path)
    envelopes = envelopes_of(message, recipients, NO_RULES, PATHS, fields_alone)
    assert [stands_for(each, message) for each in envelopes] == [0, 1]
    assert {each.content for each in envelopes} == {b"new"}

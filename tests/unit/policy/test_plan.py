"""Which recipients share a transaction, and what the next hop is told."""

from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.address import parse_address
from relayd.policy.plan import AT_ONCE, transactions
from relayd.policy.route import RouteRules
from tests.support.builders import a_queued_recipient


@given(st.integers(0, 350))
def test_every_recipient_is_in_one_transaction_of_bounded_size(count: int) -> None:
    """S-19, S-41: in their order, and never more than every server has to take."""
    recipients = [a_queued_recipient(f"u{number}@x.test", number=number) for number in range(count)]
    groups = transactions(recipients, RouteRules())
    assert [one for group in groups for one in group] == recipients
    assert all(1 <= len(group) <= AT_ONCE for group in groups)
    assert len(groups) == -(-count // AT_ONCE)


def test_a_redirected_recipient_keeps_everything_but_the_address_that_is_told() -> None:
    rules = RouteRules(
        redirect_to=parse_address("catch.all@staging.test"),
        redirect_allow=frozenset({"b@x.test"}),
    )
    recipients = [
        a_queued_recipient(
            "a@x.test", number=0, parameters={"NOTIFY": "NEVER"}, attempt=3, soft_failures=1
        ),
        a_queued_recipient("b@x.test", number=1),
    ]
    ((first, second),) = transactions(recipients, rules)
    assert first == a_queued_recipient(
        "catch.all@staging.test",
        number=0,
        parameters={"NOTIFY": "NEVER"},
        attempt=3,
        soft_failures=1,
    )
    assert second == recipients[1]

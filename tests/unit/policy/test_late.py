"""What mail that came back to a return path says about its recipient: in doubt nothing."""

import pytest

from relayd.mail.outcome import Bounced
from relayd.mail.words import BounceClass, Category, EventKind, Fault
from relayd.policy.inbound_bounce import BouncedRecipient, Kind, ParsedBounce
from relayd.policy.late import event_of, outcome_of


def a_failed(
    category: Category | None = Category.BAD_MAILBOX,
    *,
    action: str = "failed",
    bounce_class: BounceClass | None = BounceClass.HARD,
    status: str | None = "5.1.1",
    diagnostic: str = "550 5.1.1 no such user",
) -> BouncedRecipient:
    return BouncedRecipient(
        address="user@example.com",
        original=None,
        action=action,
        status=status,
        code=550,
        diagnostic=diagnostic,
        category=category,
        suppress=bounce_class is BounceClass.HARD,
        bounce_class=bounce_class,
    )


FULL = a_failed(
    Category.MAILBOX_FULL,
    bounce_class=BounceClass.SOFT,
    status="4.2.2",
    diagnostic="452 4.2.2 mailbox full",
)
WAITS = a_failed(
    Category.GREYLIST,
    action="delayed",
    bounce_class=BounceClass.SOFT,
    status="4.7.1",
    diagnostic="451 4.7.1 later",
)


def a_bounce(*recipients: BouncedRecipient) -> ParsedBounce:
    return ParsedBounce(kind=Kind.BOUNCE, recipients=recipients)


def an_outcome(bounce_class: BounceClass, category: Category, status: str, reason: str) -> Bounced:
    return Bounced(
        bounce_class=bounce_class,
        category=category,
        fault=Fault.PEER,
        suppress=bounce_class is BounceClass.HARD,
        reason=reason,
        status=status,
    )


EVENTS = {
    Kind.BOUNCE: EventKind.LATE_BOUNCED,
    Kind.ARF: EventKind.COMPLAINED,
    Kind.DELIVERED: EventKind.DELIVERED_DSN,
    Kind.DELAYED: None,
    Kind.AUTOREPLY: None,
    Kind.CHALLENGE: None,
    Kind.NOTBOUNCE: None,
}


@pytest.mark.parametrize("kind", Kind)
def test_what_is_recorded_of_each_kind_of_mail(kind: Kind) -> None:
    """And only a bounce has an outcome, whoever else is named in the mail."""
    parsed = ParsedBounce(kind=kind, recipients=(a_failed(),))
    assert event_of(parsed) is EVENTS[kind]
    assert (outcome_of(parsed) is None) == (kind is not Kind.BOUNCE)


NO_USER = "550 5.1.1 no such user"
OUTCOMES: dict[str, tuple[ParsedBounce, Bounced]] = {
    "a bad mailbox": (
        a_bounce(a_failed()),
        an_outcome(BounceClass.HARD, Category.BAD_MAILBOX, "5.1.1", NO_USER),
    ),
    "retries ran out": (
        a_bounce(FULL),
        an_outcome(BounceClass.SOFT, Category.MAILBOX_FULL, "4.2.2", "452 4.2.2 mailbox full"),
    ),
    "without status and words": (
        a_bounce(
            a_failed(Category.UNKNOWN, bounce_class=BounceClass.BLOCK, status=None, diagnostic="")
        ),
        an_outcome(BounceClass.BLOCK, Category.UNKNOWN, "5.0.0", "returned"),
    ),
    "names nobody": (
        a_bounce(),
        an_outcome(
            BounceClass.BLOCK,
            Category.UNKNOWN,
            "5.0.0",
            "returned, without a reason that can be read",
        ),
    ),
    "of several none proves ours": (
        a_bounce(a_failed(), a_failed()),
        an_outcome(BounceClass.BLOCK, Category.BAD_MAILBOX, "5.1.1", NO_USER),
    ),
    "of several the first decides": (
        a_bounce(FULL, a_failed()),
        an_outcome(BounceClass.SOFT, Category.MAILBOX_FULL, "4.2.2", "452 4.2.2 mailbox full"),
    ),
    "who failed counts before who waits": (
        a_bounce(WAITS, a_failed()),
        an_outcome(BounceClass.BLOCK, Category.BAD_MAILBOX, "5.1.1", NO_USER),
    ),
}


@pytest.mark.parametrize(("parsed", "expected"), OUTCOMES.values(), ids=OUTCOMES)
def test_the_outcome_of_a_bounce(parsed: ParsedBounce, expected: Bounced) -> None:
    """An address behind ours, of an alias or a list, is no proof against ours."""
    assert outcome_of(parsed) == expected

"""What mail that came back to a return path says about its recipient: in doubt nothing."""

from datetime import timedelta

import pytest

from relayd.mail.outcome import Bounced
from relayd.mail.words import BounceClass, Category, EventKind, Fault
from relayd.policy.inbound_bounce import BouncedRecipient, Kind, ParsedBounce
from relayd.policy.late import FRESH_FOR, Doubt, Finding, conclude
from tests.support.processor import took_by

MEANT = "user@example.com"
HOUR = timedelta(hours=1)


def a_failed(
    category: Category | None = Category.BAD_MAILBOX,
    *,
    address: str = MEANT,
    original: str | None = None,
    action: str = "failed",
    bounce_class: BounceClass | None = BounceClass.HARD,
    status: str | None = "5.1.1",
    diagnostic: str = "550 5.1.1 no such user",
) -> BouncedRecipient:
    return BouncedRecipient(
        address=address,
        original=original,
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


def found_in(
    parsed: ParsedBounce, *meant: str, is_null: bool = True, age: timedelta = HOUR
) -> Finding | None:
    return conclude(parsed, is_null=is_null, meant=meant or (MEANT,), age=age)


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
    found = found_in(ParsedBounce(kind=kind, recipients=(a_failed(),)))
    assert (found and found.kind) is EVENTS[kind]
    assert (found is None or found.outcome is None) == (kind is not Kind.BOUNCE)


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
    assert found_in(parsed) == Finding(kind=EventKind.LATE_BOUNCED, outcome=expected)


def test_of_several_ours_decides() -> None:
    found = found_in(a_bounce(a_failed(address="other@example.com"), FULL))
    assert found is not None
    assert found.kind is EventKind.LATE_BOUNCED
    assert found.outcome is not None
    assert found.outcome.category is Category.MAILBOX_FULL


OTHER = a_failed(address="other@example.com")
DOUBTS: dict[str, tuple[Doubt, ParsedBounce, bool, timedelta]] = {
    "from an address": (Doubt.SENDER, a_bounce(a_failed()), False, HOUR),
    "about another": (Doubt.RECIPIENT, a_bounce(OTHER), True, HOUR),
    "about nobody": (Doubt.RECIPIENT, a_bounce(), True, HOUR),
    "ours waits, another failed": (Doubt.RECIPIENT, a_bounce(WAITS, OTHER), True, HOUR),
    "after two weeks": (Doubt.AGE, a_bounce(a_failed()), True, FRESH_FOR),
    "after years": (Doubt.AGE, a_bounce(a_failed()), True, timedelta(days=4000)),
    "of a message from the future": (Doubt.AGE, a_bounce(a_failed()), True, timedelta(days=-2)),
    "all of it wrong": (Doubt.SENDER, a_bounce(OTHER), False, FRESH_FOR),
}


@pytest.mark.parametrize(("doubt", "parsed", "is_null", "age"), DOUBTS.values(), ids=DOUBTS)
def test_in_doubt_it_does_not_count(
    doubt: Doubt, parsed: ParsedBounce, *, is_null: bool, age: timedelta
) -> None:
    """It is recorded with why, and with what it says."""
    found = found_in(parsed, is_null=is_null, age=age)
    assert found is not None
    assert (found.kind, found.doubt) == (EventKind.LATE_BOUNCE_DOUBTED, doubt)
    assert (found.outcome is None) == (parsed.recipients == ())


@pytest.mark.parametrize(
    "age", [timedelta(), timedelta(hours=-20), FRESH_FOR - timedelta(seconds=1)]
)
def test_in_time_it_counts(age: timedelta) -> None:
    """Also when the clock was set back by some hours since the message came in."""
    found = found_in(a_bounce(a_failed()), age=age)
    assert found is not None
    assert found.doubt is None


@pytest.mark.parametrize(
    ("meant", "address", "original"),
    [
        pytest.param("User@Example.COM", "uSER@eXAMPLE.com", None, id="case"),
        pytest.param("user+news@example.com", "user@example.com", None, id="tag of ours"),
        pytest.param("user@example.com", "user+spam@example.com", None, id="tag of theirs"),
        pytest.param("user@b\u00fccher.test", "user@xn--bcher-kva.test", None, id="a-label"),
        pytest.param("user@xn--bcher-kva.test", "user@B\u00dcCHER.test", None, id="u-label"),
        pytest.param("user@example.com", "inner@mail.example.com", MEANT, id="the original one"),
        pytest.param("user@example.com", "rfc822; <user@example.com>", None, id="typed"),
        pytest.param(
            "user@example.com", "x@y.test", "RFC822;user@example.com", id="original typed"
        ),
        pytest.param("user=x@example.com", "user+3Dx@example.com", None, id="xtext"),
        pytest.param('"user"@example.com', "user@example.com", None, id="quoted"),
        pytest.param("user@example.com", "user", None, id="local part alone"),
    ],
)
def test_the_recipient_is_named(meant: str, address: str, original: str | None) -> None:
    found = found_in(a_bounce(a_failed(address=address, original=original)), meant)
    assert found is not None
    assert found.doubt is None


@pytest.mark.parametrize(
    "address",
    ["user@example.org", "user@sub.example.com", "user.x@example.com", "x", "", "@example.com"],
)
def test_somebody_else_is_named(address: str) -> None:
    found = found_in(a_bounce(a_failed(address=address)))
    assert found is not None
    assert found.doubt is Doubt.RECIPIENT


def test_no_name_at_all_names_nobody() -> None:
    """RFC 5321 §4.1.2 allows the empty quoted string for a local part."""
    parsed = a_bounce(a_failed(address="", original=None), a_failed(address="other@example.net"))
    found = found_in(parsed, '""@example.com')
    assert found is not None
    assert found.doubt is Doubt.RECIPIENT


def test_what_the_next_hop_was_told_counts_as_well() -> None:
    """[redirect] puts another address in its place."""
    found = found_in(a_bounce(a_failed(address="all@staging.test")), MEANT, "all@staging.test")
    assert found is not None
    assert found.doubt is None


FOREIGN = ".".join(["\u4e2d\u6587" * 15] * 5)
MARKS = "\u0345" * 250 + "\u0334" * 250  # in the order that takes longest to be put right


@pytest.mark.parametrize(
    ("local", "domain"),
    [("u", FOREIGN), ("u", f"{FOREIGN}.{FOREIGN}"), (MARKS, "x.test"), (MARKS[150:350], "x.test")],
)
def test_many_foreign_names_take_no_time(local: str, domain: str) -> None:
    """It is done where clients are answered; encoding these took a second."""
    strangers = [
        a_failed(address=f"{local}{n}@{n}{domain}", original=f"{n}{local}+2Du@{n}x{domain}")
        for n in range(200)
    ]
    bounce = a_bounce(*strangers)
    assert took_by(lambda: found_in(bounce), 0.1) < 0.1
    found = found_in(bounce)
    assert found is not None
    assert found.doubt is Doubt.RECIPIENT


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure"])
def test_not_every_arf_is_a_complaint(kind: str) -> None:
    """RFC 5965 §7.3, RFC 6591: it was no spam after all, or its signature did not hold."""
    assert found_in(ParsedBounce(kind=Kind.ARF, feedback_type=kind)) is None
    assert found_in(ParsedBounce(kind=Kind.ARF, feedback_type="fraud")) is not None

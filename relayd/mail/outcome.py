"""What became of a recipient: its states, the closed set of outcomes, and why.

The decision which outcome applies is made in `relayd.policy.delivery.verdict` only, the classification in
`relayd.policy.replies.classify` only. The words of states reach the disk; their spelling is stable for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from relayd.mail.words import About, BounceClass, Category, Fault


class RecipientState(StrEnum):
    """The state of one recipient, as stored. `deferred` is QUEUED after a failed attempt."""

    QUEUED = "queued"
    HELD = "held"
    SENT = "sent"
    RELAYED = "relayed"
    BOUNCED = "bounced"
    DROPPED = "dropped"


FINAL_STATES = frozenset(
    {RecipientState.SENT, RecipientState.RELAYED, RecipientState.BOUNCED, RecipientState.DROPPED}
)

ACCEPTED_STATES = frozenset({RecipientState.SENT, RecipientState.RELAYED})
"""Another server has the mail: it may still come back."""

# The authority on which state may follow which; every store guards with it.
TRANSITIONS: dict[RecipientState, frozenset[RecipientState]] = {
    RecipientState.QUEUED: frozenset(RecipientState),
    RecipientState.HELD: frozenset(
        {RecipientState.HELD, RecipientState.QUEUED, RecipientState.BOUNCED, RecipientState.DROPPED}
    ),
    RecipientState.SENT: frozenset({RecipientState.BOUNCED}),  # an asynchronous bounce
    RecipientState.RELAYED: frozenset({RecipientState.BOUNCED}),  # an asynchronous bounce
    RecipientState.BOUNCED: frozenset(),
    RecipientState.DROPPED: frozenset(),
}


def states_before(
    after: RecipientState, among: Iterable[RecipientState] = RecipientState
) -> tuple[RecipientState, ...]:
    """Return those of some states that `after` may follow, by `TRANSITIONS`."""
    return tuple(state for state in among if after in TRANSITIONS[state])


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """The judgement on one negative reply: three independent answers, and where they come from."""

    category: Category
    permanent: bool  # does the reply end this message?
    suppress: bool  # does it prove that the address is invalid?
    bounce_class: BounceClass  # what a bounce on this reply is shown as
    about: About | None = None  # what of us it is about, where it is not the message
    about_sender: bool = False  # is it about the reverse-path or who we are, not the recipient?
    remedy: str = ""  # one sentence for the operator; empty when there is nothing to do
    rule: str = ""  # id of the rule that matched, for `relayd classify --explain`


@dataclass(frozen=True, slots=True)
class Sent:
    """The recipient's own MX accepted it."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """The smarthost accepted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """Not now: to be tried again at `retry_at`."""

    retry_at: datetime
    category: Category
    fault: Fault
    reason: str  # one line for people
    soft_failures: int  # soft bounces so far, this one included where it is one
    possible_duplicate: bool = False  # we never learnt the reply to our final dot
    counts: bool = True  # among the attempts that may have delivered it; False: an extra one (S-58)
    ages_anew: bool = False  # only `soft_bounce` keeps it: the time until now does not count as age


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounced:
    """Given up for good."""

    bounce_class: BounceClass
    category: Category
    fault: Fault
    suppress: bool
    reason: str  # one line for people
    status: str  # enhanced status code for the report, such as 5.1.1 or 4.4.7
    possible_duplicate: bool = False  # an attempt may have delivered it, this one or an earlier one


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTried:
    """The attempt ended before it concerned the recipient: nothing counts, nothing ages (S-53)."""

    reason: str


Outcome = Sent | Relayed | Deferred | Bounced | NotTried


def of_other_address(outcome: Outcome) -> Outcome:
    """Return the outcome of mail that `[redirect]` sent to another address: it proves nothing about this one."""
    return replace(outcome, suppress=False) if isinstance(outcome, Bounced) else outcome


@dataclass(frozen=True, slots=True)
class Rerouted:
    """No attempt: the settings send it elsewhere by now, to the destination of this route key."""

    destination: str
    chosen_by: str = ""  # the entry of the settings that says so


@dataclass(frozen=True, slots=True)
class Held:
    """No attempt: a rule holds it."""


NoAttempt = Rerouted | Held


def may_repeat(outcome: Outcome | NoAttempt) -> bool:
    """Tell whether an outcome may be written once more, when it may be on record already.

    What was not tried, sent elsewhere or held by a rule does not count, so its next attempt has the same number: it may
    be under way by now. If it is not on record, it is free as soon as its lease is given back.
    """
    return not isinstance(outcome, NotTried | Rerouted | Held)


def state_after(outcome: Outcome | NoAttempt) -> RecipientState:
    """Return the state that an outcome leads to."""
    match outcome:
        case Relayed():
            return RecipientState.RELAYED
        case Sent():
            return RecipientState.SENT
        case Bounced():
            return RecipientState.BOUNCED
        case Deferred() | NotTried() | Rerouted():
            return RecipientState.QUEUED
        case Held():
            return RecipientState.HELD
        case _:
            assert_never(outcome)

"""The states of a recipient and the ways between them."""

import pytest

from relayd.mail.outcome import (
    ACCEPTED_STATES,
    FINAL_STATES,
    TRANSITIONS,
    Held,
    NoAttempt,
    NotTried,
    Outcome,
    RecipientState,
    Relayed,
    Rerouted,
    Sent,
    may_repeat,
    of_other_address,
    state_after,
    states_before,
)
from relayd.mail.words import status_of
from tests.support.builders import a_bounce, a_deferral

QUEUED, HELD, SENT, RELAYED, BOUNCED, DROPPED = RecipientState

# One row per state; an x where the column's state may follow.  Q H S R B D
MAP = {
    QUEUED: "xxxxxx",
    HELD: "xx--xx",
    SENT: "----x-",
    RELAYED: "----x-",
    BOUNCED: "------",
    DROPPED: "------",
}


@pytest.mark.parametrize("before", RecipientState)
@pytest.mark.parametrize("after", RecipientState)
def test_every_pair_of_states_is_allowed_or_not(
    before: RecipientState, after: RecipientState
) -> None:
    allowed = MAP[before][list(RecipientState).index(after)] == "x"
    assert (after in TRANSITIONS[before]) is allowed
    assert (before in states_before(after)) is allowed
    assert states_before(after, [before]) == ((before,) if allowed else ())


def test_every_state_leads_to_an_end() -> None:
    """No walk through the table stays away from the final states for good (promise 1, promise 6)."""
    for state in RecipientState:
        reached, open_ends = {state}, [state]
        while open_ends:
            new = TRANSITIONS[open_ends.pop()] - reached
            reached |= new
            open_ends += new
        assert reached & FINAL_STATES


def test_final_states_lead_to_nothing_but_a_late_bounce() -> None:
    assert {after for state in FINAL_STATES for after in TRANSITIONS[state]} == {BOUNCED}


def test_states_are_spelt_as_they_are_stored() -> None:
    """The words are on disks: they stay (docs/states.md)."""
    spelling = ["queued", "held", "sent", "relayed", "bounced", "dropped"]
    assert [state.value for state in RecipientState] == spelling


def test_only_what_was_accepted_can_come_back() -> None:
    assert set(states_before(BOUNCED)) & FINAL_STATES == ACCEPTED_STATES


OUTCOMES: dict[RecipientState, list[Outcome | NoAttempt]] = {
    QUEUED: [a_deferral(), NotTried(reason="no login"), Rerouted("elsewhere.test")],
    HELD: [Held()],
    SENT: [Sent()],
    RELAYED: [Relayed()],
    BOUNCED: [a_bounce()],
}


@pytest.mark.parametrize("state", OUTCOMES)
def test_an_outcome_leads_to_a_state_that_may_follow_an_attempt(state: RecipientState) -> None:
    assert all(state_after(outcome) is state for outcome in OUTCOMES[state])
    assert state in TRANSITIONS[QUEUED]


@pytest.mark.parametrize(
    ("outcome", "of_another"),
    [
        (a_deferral(), a_deferral()),
        (Relayed(), Relayed()),
        (a_bounce(suppress=True), a_bounce(suppress=False)),
        (a_bounce(suppress=False), a_bounce(suppress=False)),
    ],
)
def test_mail_to_another_address_proves_nothing_about_this_one(
    outcome: Outcome, of_another: Outcome
) -> None:
    assert of_other_address(outcome) == of_another


@pytest.mark.parametrize("state", RecipientState)
def test_a_failed_attempt_shows_only_while_a_recipient_waits(state: RecipientState) -> None:
    assert status_of(state, has_failed=False) == state.value
    assert status_of(state, has_failed=True) == ("deferred" if state is QUEUED else state.value)


def test_what_does_not_count_is_not_written_twice() -> None:
    """Its next attempt has the same number, and may be under way."""
    counted: list[Outcome | NoAttempt] = [Sent(), Relayed(), a_deferral(), a_bounce()]
    uncounted: list[Outcome | NoAttempt] = [
        NotTried(reason="later"),
        Rerouted("mx:x.test"),
        Held(),
    ]
    assert all(may_repeat(each) for each in counted)
    assert not any(may_repeat(each) for each in uncounted)

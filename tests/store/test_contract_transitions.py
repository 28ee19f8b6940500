"""What every store must do: a recipient changes its state as `TRANSITIONS` allows, and no other way."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest

from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event
from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import ACTS, Action
from relayd.mail.outcome import (
    ACCEPTED_STATES,
    TRANSITIONS,
    Held,
    NoAttempt,
    NotTried,
    Outcome,
    RecipientState,
    Relayed,
    Rerouted,
    Sent,
    state_after,
)
from relayd.mail.words import EventKind
from relayd.policy.verp import VerpToken
from relayd.ports.queue import LateNotice, Lease
from relayd.ports.view import Query
from relayd.store.postgres import guard as postgres_guard
from relayd.store.sqlite import guard as sqlite_guard
from tests.support.builders import a_bounce, a_deferral, a_message, a_rerouting, a_settlement
from tests.support.stores import Box

QUEUED, HELD, SENT, RELAYED, BOUNCED, DROPPED = RecipientState

Effect = Callable[[Box, NewMessage, Lease], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that may happen to a recipient."""

    happens: Effect
    applies_to: frozenset[RecipientState]
    leads_to: RecipientState
    leased: bool | None = None  # only to one that is, or is not, leased


def outcome(each: Outcome | NoAttempt) -> Happening:
    async def settle(box: Box, message: NewMessage, lease: Lease) -> object:
        if isinstance(each, Rerouted | Held):
            settlement = a_rerouting(message.id, 0, each, at=box.clock.now())
        else:
            settlement = a_settlement(message.id, 0, each, at=box.clock.now())
        return await box.store.settle(lease, [settlement])

    return Happening(settle, frozenset({QUEUED}), state_after(each), leased=True)


def act(action: Action) -> Happening:
    async def happens(box: Box, message: NewMessage, _: Lease) -> object:
        query = Query(message_id=message.id)
        return await box.store.act(query, action, by="ann", reason="because")

    done = ACTS[action]
    leased = False if done.spares_leased else None
    return Happening(happens, frozenset(done.applies_to), done.leads_to, leased)


async def come_back(box: Box, message: NewMessage, _: Lease) -> object:
    event = Event(
        kind=EventKind.LATE_BOUNCED,
        at=box.clock.now(),
        message_id=message.id,
        recipient=0,
        detail={},
    )
    path = VerpToken(message_id=message.id, recipient=0)
    copy = a_message("app@app.test", at=box.clock.now(), reverse_path="")
    return await box.store.note_late(path, LateNotice(event=event, outcome=a_bounce()), copy)


async def release(box: Box, _: NewMessage, lease: Lease) -> None:
    await box.store.release(lease)


async def reap(box: Box, _: NewMessage, __: Lease) -> object:
    box.advance(61)
    return await box.store.reap()


LEASED_ONE = frozenset({QUEUED})
EVENTS: dict[str, Happening] = {
    "relayed": outcome(Relayed()),
    "sent": outcome(Sent()),
    "deferred": outcome(a_deferral()),
    "bounced": outcome(a_bounce()),
    "not tried": outcome(NotTried(reason="no login")),
    "moved": outcome(Rerouted("elsewhere.test")),
    "held by a rule": outcome(Held()),
    **{action.value: act(action) for action in Action},
    "asynchronous bounce": Happening(come_back, ACCEPTED_STATES, BOUNCED),
    "release of the lease": Happening(release, LEASED_ONE, QUEUED, leased=True),
    "end of the lease": Happening(reap, LEASED_ONE, QUEUED, leased=True),
}
BEFORE: dict[str, tuple[RecipientState, Happening | None]] = {
    "leased": (QUEUED, None),
    "queued": (QUEUED, EVENTS["not tried"]),
    "held": (HELD, EVENTS["hold"]),
    "sent": (SENT, EVENTS["sent"]),
    "relayed": (RELAYED, EVENTS["relayed"]),
    "bounced": (BOUNCED, EVENTS["bounced"]),
    "dropped": (DROPPED, EVENTS["drop"]),
}


def applies(event: Happening, before: str) -> bool:
    """Tell whether it happens to a recipient before, by the table of states and that of the event."""
    state, _ = BEFORE[before]
    is_leased = before == "leased"
    return state in event.applies_to and event.leased in (None, is_leased)


PAIRS = [(before, name) for before in BEFORE for name in EVENTS]


async def bring_about(box: Box, worker: WorkerNumber, before: str) -> tuple[NewMessage, Lease]:
    """A message in a state, and the lease under which it came there."""
    message = a_message()
    [work] = await box.put(message, worker=worker, leased=True)
    _, event = BEFORE[before]
    if event is not None:
        await event.happens(box, message, work.lease)
    box.advance(1)
    return message, work.lease


def state_of(box: Box, message: NewMessage) -> RecipientState:
    status = box.row(message).status
    return QUEUED if status == "deferred" else RecipientState(status.value)


def forget() -> None:
    """Have the stores read the table again."""
    sqlite_guard.may_become.cache_clear()
    postgres_guard.may_become.cache_clear()


def seen(box: Box, message: NewMessage) -> list[object]:
    row = box.row(message)
    fields = [row.status, row.leased, row.attempts, row.updated_at, row.reason, row.category]
    return [*fields, row.destination, row.next_attempt_at, box.view.history(message.id)]


@pytest.fixture
def forbid() -> Iterator[Callable[[RecipientState, RecipientState], None]]:
    """Take one pair out of the table, for a while."""
    kept = dict(TRANSITIONS)

    def forbid(before: RecipientState, after: RecipientState) -> None:
        TRANSITIONS[before] = TRANSITIONS[before] - {after}
        forget()

    yield forbid
    TRANSITIONS.update(kept)
    forget()


@pytest.mark.parametrize(("before", "name"), PAIRS)
async def test_every_event_in_every_state(
    box: Box, worker: WorkerNumber, before: str, name: str
) -> None:
    """What the table allows happens; else nothing at all changes."""
    message, lease = await bring_about(box, worker, before)
    state, event = BEFORE[before][0], EVENTS[name]
    assert state_of(box, message) is state
    was = seen(box, message)
    await event.happens(box, message, lease)
    if applies(event, before):
        assert event.leads_to in TRANSITIONS[state]
        assert state_of(box, message) is event.leads_to
        assert seen(box, message) != was
    else:
        assert seen(box, message) == was


@pytest.mark.parametrize(
    ("before", "name"), [pair for pair in PAIRS if applies(EVENTS[pair[1]], pair[0])]
)
async def test_what_the_table_forbids_does_not_happen(
    box: Box,
    worker: WorkerNumber,
    before: str,
    name: str,
    forbid: Callable[[RecipientState, RecipientState], None],
) -> None:
    """The table is the authority: without its pair, the store refuses what it did before."""
    message, lease = await bring_about(box, worker, before)
    state, event = BEFORE[before][0], EVENTS[name]
    was = seen(box, message)
    forbid(state, event.leads_to)
    await event.happens(box, message, lease)
    assert seen(box, message) == was
    assert await box.store.content(message.id) == (
        message.content if before in ("leased", "queued", "held") else None
    )

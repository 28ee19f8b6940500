"""Negative controls: each broken promise turns the judgement of the crash tests red."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from relayd.ports.view import RecipientRow, Status
from tests.support.clock import START
from tests.support.ledger import Entry, Fate, Ledger, judge
from tests.support.scripted_server import Message

TRACE = b"Received: from app.test by relay.test\r\n\twith ESMTP id 7;\r\n\tnow\r\n"


@dataclass(slots=True)
class Run:
    """How a good run ended."""

    ledger: Ledger
    received: list[Message]
    rows: list[RecipientRow]


def a_row(address: str) -> RecipientRow:
    return RecipientRow(
        message_id=None,  # type: ignore[arg-type]  # nobody asks
        recipient=0,
        received_at=START,
        reverse_path="",
        address=address,
        status=Status.RELAYED,
        destination="smarthost",
        size=0,
        message_id_header=None,
        tag=None,
        client_ip="",
        auth_user=None,
        attempts=1,
        next_attempt_at=None,
        leased=False,
        possible_duplicate=False,
        code=250,
        enhanced=None,
        reply="250 ok",
        reason=None,
        category=None,
        bounce_class=None,
        suppress=False,
        remote_host=None,
        updated_at=START,
        paused_until=None,
    )


def a_message(entry: Entry) -> Message:
    return Message(
        mail="FROM:<app@app.test>",
        rcpts=tuple(f"TO:<{rcpt}>" for rcpt in entry.recipients),
        content=TRACE + entry.content,
        connection=1,
        tls=False,
    )


@pytest.fixture
def run() -> Run:
    def entry(number: str, fate: Fate) -> Entry:
        return Entry(
            number, (f"{number}@x.test",), b"X-Number: %b\r\n\r\nhello\r\n" % number.encode(), fate
        )

    acked = [entry("1", Fate.ACKED), entry("2", Fate.ACKED), entry("3", Fate.UNKNOWN)]
    refused, never = entry("4", Fate.REFUSED), entry("5", Fate.UNKNOWN)
    return Run(
        Ledger([*acked, refused, never]),
        [a_message(one) for one in acked],
        [a_row(rcpt) for one in acked for rcpt in one.recipients],
    )


def test_a_good_run_is_green(run: Run) -> None:
    judge(run.ledger, run.received, run.rows, duplicates=0)


def lose_one(run: Run) -> None:
    del run.received[0]


def lose_one_and_its_row(run: Run) -> None:
    del run.received[0], run.rows[0]


def deliver_the_refused(run: Run) -> None:
    refused = run.ledger.of(Fate.REFUSED)[0]
    run.received.append(a_message(refused))
    run.rows.append(a_row(refused.recipients[0]))


def strip_a_byte(run: Run) -> None:
    run.received[0] = replace(run.received[0], content=run.received[0].content[:-3] + b"\r\n")


def swap_recipients(run: Run) -> None:
    one, two = run.received[:2]
    run.received[:2] = replace(one, rcpts=two.rcpts), replace(two, rcpts=one.rcpts)


def invent_a_recipient(run: Run) -> None:
    run.received[0] = replace(run.received[0], rcpts=("TO:<1@x.test>", "TO:<spy@x.test>"))


def send_twice(run: Run) -> None:
    run.received.append(run.received[0])


def skip_an_outcome(run: Run) -> None:
    run.rows[0] = replace(run.rows[0], status=Status.QUEUED)


def claim_what_never_arrived(run: Run) -> None:
    run.rows.append(a_row("5@x.test"))


@pytest.mark.parametrize(
    "break_it",
    [
        lose_one,
        lose_one_and_its_row,
        deliver_the_refused,
        strip_a_byte,
        swap_recipients,
        invent_a_recipient,
        send_twice,
        skip_an_outcome,
        claim_what_never_arrived,
    ],
    ids=lambda break_it: break_it.__name__,
)
def test_a_broken_promise_is_seen(run: Run, break_it: Callable[[Run], None]) -> None:
    break_it(run)
    with pytest.raises(AssertionError):
        judge(run.ledger, run.received, run.rows, duplicates=0)


def test_a_duplicate_must_be_marked_as_possible(run: Run) -> None:
    send_twice(run)
    with pytest.raises(AssertionError, match="nothing says so"):
        judge(run.ledger, run.received, run.rows, duplicates=1)
    run.rows[0] = replace(run.rows[0], possible_duplicate=True)
    judge(run.ledger, run.received, run.rows, duplicates=1)

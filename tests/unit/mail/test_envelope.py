"""Queue ids: what they hold, how they are written, and that they sort by time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relayd.errors import StoreUnavailable
from relayd.mail.envelope import REPORT, QueuedMessage, queued_message
from relayd.mail.ids import (
    MessageId,
    WorkerNumber,
    bits_of,
    first_id_at,
    format_id,
    make_id,
    next_number,
    parse_id,
    received_at_of,
    worker_bits_of,
)
from tests.support.builders import a_facts, a_message, a_queued_message
from tests.support.clock import START

FIRST = datetime(2020, 1, 1, tzinfo=UTC)
LAST = datetime(2159, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)

instants = st.datetimes(
    FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(UTC)
)
ids = st.integers(0, (1 << 63) - 1).map(MessageId)
workers = st.integers(0, 511).map(WorkerNumber)
counts = st.integers(0, 4095)


@given(ids)
@example(MessageId(0))
@example(MessageId((1 << 63) - 1))
def test_a_written_id_reads_back_the_same(message_id: MessageId) -> None:
    text = format_id(message_id)
    assert len(text) == 13
    assert parse_id(text) == parse_id(text.lower()) == message_id


@given(ids, ids)
def test_written_ids_sort_like_ids(one: MessageId, other: MessageId) -> None:
    assert (format_id(one) < format_id(other)) == (one < other)


@given(instants, workers, counts)
@example(datetime(2026, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC), WorkerNumber(1), 0)
@example(datetime(2027, 5, 2, 13, 7, 31, 801_000, tzinfo=UTC), WorkerNumber(1), 0)
def test_an_id_tells_the_millisecond_it_was_made(
    at: datetime, worker: WorkerNumber, count: int
) -> None:
    """To the millisecond, rounded down, and never a neighbour of it."""
    message_id = make_id(at, worker, count)
    assert 0 <= message_id < 1 << 63
    assert received_at_of(message_id) == at - timedelta(microseconds=at.microsecond % 1000)


@given(instants, instants, workers, counts)
def test_a_later_id_is_greater(
    one: datetime, other: datetime, worker: WorkerNumber, count: int
) -> None:
    earlier, later = sorted((one, other))
    if later - earlier >= MS:
        assert make_id(earlier, WorkerNumber(511), 4095) < make_id(later, worker, count)


@given(instants, workers, counts)
def test_the_first_id_of_an_instant_bounds_all_others(
    at: datetime, worker: WorkerNumber, count: int
) -> None:
    assert first_id_at(at) <= make_id(at, worker, count) < first_id_at(at + MS)


@given(instants, workers, counts)
def test_an_id_tells_the_bits_of_its_worker(at: datetime, worker: WorkerNumber, count: int) -> None:
    assert worker_bits_of(make_id(at, WorkerNumber(worker + 512), count)) == worker


@given(st.integers(0, 5000), st.sets(st.integers(1, 5000), max_size=600))
@example(0, set())
@example(511, {512})
@example(600, set(range(89, 601)))
def test_a_new_worker_looks_in_ids_like_no_living_one(last: int, living: set[int]) -> None:
    """It has the next number with that."""
    taken = {bits_of(number) for number in living}
    if len(taken) == 512:
        with pytest.raises(StoreUnavailable):
            next_number(last, living)
    else:
        number = next_number(last, living)
        assert number > last
        assert bits_of(number) not in taken
        assert taken >= {bits_of(passed) for passed in range(last + 1, number)}


@given(st.lists(st.tuples(workers, counts), unique=True, max_size=20))
def test_ids_of_one_millisecond_differ(made: list[tuple[WorkerNumber, int]]) -> None:
    assert len({make_id(FIRST, worker, count) for worker, count in made}) == len(made)


def test_nothing_is_older_than_the_first_id() -> None:
    """A clock at 1970 asks for all of the history, not for an impossible id (F-31)."""
    assert first_id_at(datetime(1970, 1, 1, tzinfo=UTC)) == 0


def test_the_first_id_of_a_far_year_fits_into_an_id() -> None:
    """A clock may be wrong by centuries (F-30)."""
    assert 0 < first_id_at(datetime(2500, 1, 1, tzinfo=UTC)) < 1 << 63


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("0" * 12, id="short"),
        pytest.param("0" * 14, id="long"),
        pytest.param("000000000000I", id="letter-I"),
        pytest.param("000000000000L", id="letter-L"),
        pytest.param("000000000000O", id="letter-O"),
        pytest.param("000000000000U", id="letter-U"),
        pytest.param("000000000000-", id="dash"),
        pytest.param("000000000000\n", id="newline"),
        pytest.param("0000000000000\n", id="trailing-newline"),
        pytest.param("000000000000\u0660", id="other-digit"),
        pytest.param("8000000000000", id="64-bits"),
        pytest.param("ZZZZZZZZZZZZZ", id="65-bits"),
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a queue id"):
        parse_id(text)


def test_a_report_is_known_by_its_listener() -> None:
    message = a_message()
    report = replace(message, client=replace(message.client, listener=REPORT))
    assert (message.is_report, report.is_report) == (False, True)


def test_a_message_ages_by_its_own_count() -> None:
    """S-10: not from its reception, for the clock may have been set since."""
    now = START + timedelta(days=6)
    message = a_queued_message(at=START)
    assert message.began(now) == now
    assert replace(message, age=timedelta(hours=3)).began(now) == now - timedelta(hours=3)


@pytest.mark.parametrize("reverse_path", ["app@app.test", ""])
def test_a_new_message_goes_to_the_deliverer_as_it_came(reverse_path: str) -> None:
    facts = a_facts(message_id_header="<1@app.test>", tag="news", is_test=True, is_8bit=True)
    message = a_message(
        reverse_path=reverse_path, facts=facts, auth_user="shop", parameters={"ENVID": "1"}
    )
    assert queued_message(message) == QueuedMessage(
        id=message.id,
        received_at=message.received_at,
        reverse_path=reverse_path,
        parameters=message.parameters,
        size=len(message.content),
        message_id_header="<1@app.test>",
        tag="news",
        is_test=True,
        is_8bit=True,
        utf8_headers=False,
        account="login shop",
        listener=message.client.listener,
    )
    report = replace(message, client=replace(message.client, listener=REPORT))
    assert queued_message(report).is_report

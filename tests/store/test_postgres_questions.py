"""Questions to PostgreSQL that take long."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from relayd.errors import StoreUnavailable, TookTooLong
from relayd.store.postgres import line, session
from relayd.store.postgres.line import Session
from relayd.store.postgres.questions import Questions
from tests.support import postgres

pytestmark = postgres.needs_postgres


@pytest.fixture(autouse=True)
def _is_soon_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    postgres.database()  # that takes longer
    monkeypatch.setattr(session, "SILENT", 0.5)
    monkeypatch.setattr(line, "SILENT", 0.5)


async def takes_long(db: Session) -> int:
    await db.value("SELECT pg_sleep(1)::text")
    return 1


def test_a_long_question_is_ended_once_and_told_as_that() -> None:
    """It was asked five times, and all of them ran on the server; then the connection was said to be lost."""
    told = pytest.raises(TookTooLong, match=r"more than 0\.45 s: ask a narrower one")
    with closing(Questions(postgres.database())) as questions, told:
        questions.ask(takes_long)


def test_who_says_how_long_it_may_take_gets_the_answer() -> None:
    with closing(Questions(postgres.database(), within=10)) as questions:
        assert questions.ask(takes_long) == 1


def test_who_asks_while_another_thread_closes_is_told() -> None:
    """What was begun is answered, and what comes later is refused; nobody waits for ever."""
    for _ in range(5):
        questions, has_asked = Questions(postgres.database()), threading.Event()
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(ask_on, questions, has_asked)
            has_asked.wait()
            questions.close()
            with pytest.raises(StoreUnavailable, match="the view is closed"):
                asking.result()


def ask_on(questions: Questions, has_asked: threading.Event) -> None:
    while questions.ask(lambda db: db.value("SELECT 1")) == 1:
        has_asked.set()

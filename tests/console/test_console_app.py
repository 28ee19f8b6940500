"""Failures become pages, words pass one place, and questions are shared."""

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.responses import Response

import relayd.console
from relayd.config.load import load
from relayd.console.app import App
from relayd.console.asked import Asked, Page
from relayd.console.charts import chart_of
from relayd.console.reading import Reading, Shared
from relayd.console.server import parts_of
from relayd.errors import StoreUnavailable, TookTooLong
from relayd.mail.tally import COUNTED
from relayd.ports.tally import TallyAnswer, TallyRow
from tests.support.clock import START, FakeClock
from tests.support.console import SETTINGS

TEMPLATES = sorted((Path(relayd.console.__file__).parent / "templates").glob("*.html"))


async def answer_of(folder: Path, error: Exception) -> str:
    """What a browser gets where a page ends with an error."""

    async def fail(_: Asked) -> Response:
        raise error

    file = folder / "relayd.toml"
    file.write_text(SETTINGS.format(folder=folder))
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/fail",
        "raw_path": b"/fail",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    with parts_of(load(str(file)), FakeClock().now) as console:
        app = App(console, [Page(path="/fail", handler=fail, needs=None)])
        await app(scope, receive, send)  # type: ignore[arg-type]  # as ASGI has them
    body = sent[1]["body"]
    assert isinstance(body, bytes)
    return f"{sent[0]['status']} {body.decode()}"


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (TookTooLong("x"), 503, "choose a shorter period"),
        (StoreUnavailable("the disk is gone"), 503, "the disk is gone"),
    ],
)
async def test_a_failure_that_has_a_name_is_told(
    error: Exception, status: int, words: str, tmp_path: Path
) -> None:
    answer = await answer_of(tmp_path, error)
    assert answer.startswith(f"{status} ")
    assert words in answer


async def test_an_error_of_ours_has_a_reference_and_no_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await answer_of(tmp_path, ZeroDivisionError("secret words"))
    assert answer.startswith("500 ")
    assert "secret words" not in answer
    assert "Traceback" not in answer
    reference = re.search(r"<code>([0-9a-f]{8})</code>", answer)
    assert reference is not None
    assert f"reference={reference[1]}" in capsys.readouterr().out


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_word_of_a_template_can_be_translated(template: Path) -> None:
    text = template.read_text().replace("&lt;&gt;", "")
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", " ", text, flags=re.DOTALL)
    text = re.sub(r"<(code|kbd)\b[^>]*>.*?</\1>", " ", text, flags=re.DOTALL)
    labels = re.findall(r'(?:aria-label|placeholder|title|alt)="([^"]*)"', text)
    words = re.sub(r"<[^>]*>", " ", text)
    shown = re.sub(r"https?://\S+", " ", " ".join([words, *labels]))
    left = re.findall(r"[A-Za-z]{2,}", shown)
    assert set(left) <= {"relayd", "CSV"}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_writes_what_the_policy_forbids(template: Path) -> None:
    text = template.read_text()
    assert "|safe" not in text.replace(" ", "")
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?! src=\"/static/)", text)


async def test_all_tabs_together_ask_once_in_a_while() -> None:
    asked: list[int] = []

    async def ask() -> int:
        await asyncio.sleep(0)
        asked.append(1)
        return len(asked)

    shared = Shared(ask, every=60)
    assert await asyncio.gather(*(shared.get() for _ in range(5))) == [1] * 5
    often = Shared(ask, every=0)
    assert [await often.get(), await often.get()] == [2, 3]


async def test_nobody_waits_for_a_long_question_while_somebody_looks() -> None:
    times, answers = [100.0], asyncio.Queue[int]()
    shared = Shared(answers.get, every=5, monotonic=lambda: times[-1])
    answers.put_nowait(1)
    assert await shared.get() == 1
    times.append(105)
    assert [await shared.get(), await shared.get()] == [1, 1]  # it is asked meanwhile, once
    answers.put_nowait(2)
    answers.put_nowait(3)
    for _ in range(3):  # the answer, and that it is there
        await asyncio.sleep(0)
    assert (await shared.get(), answers.qsize()) == (2, 1)
    times.append(115)
    assert await shared.get() == 3  # nobody looked for long: an old answer is none


async def test_an_answer_that_took_long_is_good_for_as_long_as_any() -> None:
    """Its age counts from when it came: else each visitor of a slow store would wait for one of their own."""
    times, answers = [100.0], asyncio.Queue[int]()
    shared = Shared(answers.get, every=5, monotonic=lambda: times[-1])
    waiting = asyncio.ensure_future(shared.get())
    await asyncio.sleep(0)
    times.append(112)
    answers.put_nowait(1)
    assert await waiting == 1
    times.append(116)
    assert await asyncio.wait_for(shared.get(), 5) == 1
    times.append(117)
    assert await asyncio.wait_for(shared.get(), 5) == 1  # the next is asked meanwhile


async def test_a_question_that_failed_is_asked_again() -> None:
    times, answers = [100.0], [1]

    async def ask() -> int:
        await asyncio.sleep(0)
        if not answers:
            raise StoreUnavailable("gone")
        return answers.pop()

    shared = Shared(ask, every=5, monotonic=lambda: times[-1])
    assert await shared.get() == 1
    times.append(107)
    assert await shared.get() == 1
    times.append(112)
    with pytest.raises(StoreUnavailable):
        await shared.get()
    answers.append(2)
    await asyncio.sleep(0)
    assert await shared.get() == 2


async def test_a_queue_may_come_later(tmp_path: Path) -> None:
    """Nothing is kept of a view that could not be opened."""
    reading = Reading(f"sqlite:{tmp_path}/queue.db")
    for _ in range(6):
        with pytest.raises(StoreUnavailable, match="no queue yet"):
            await reading.ask(lambda view: view.pause_rules())
    reading.close()


def test_bars_are_as_high_as_their_share() -> None:
    counts = dict.fromkeys(COUNTED, 0)
    rows = [
        TallyRow(at=START, counts=counts | {"relayed": 3, "hard": 1}),
        TallyRow(at=START + timedelta(hours=1), counts=counts | {"sent": 2}),
    ]
    answer = TallyAnswer(
        total=rows[0], rows=rows, since=START, until=None, begins=START, counted_until=None
    )
    chart = chart_of(
        answer, timedelta(hours=1), since=START, until=START + timedelta(hours=2, minutes=1)
    )
    assert chart.top == 4
    assert chart.labels == [
        (0, chart.steps[0].at),
        (333.3, chart.steps[1].at),
        (666.7, chart.steps[2].at),
    ]
    assert [sum(step.counts.values()) for step in chart.steps] == [4, 2, 0]
    heights = [(part.series, part.height, part.y) for part in chart.parts]
    assert heights == [("relayed", 120.0, 40.0), ("bounced", 40.0, 0.0), ("sent", 80.0, 80.0)]

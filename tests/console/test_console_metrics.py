"""What the console counts of its requests, as a monitoring reads it with a key."""

import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from relayd.console.requests import REQUESTS, SECONDS, Requests
from relayd.metrics.exposition import render
from relayd.policy.console.roles import Role, Scope
from tests.support.api import Program
from tests.support.console import Console, a_console, fill
from tests.support.scraping import Page, read_page

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = (REQUESTS, SECONDS)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with a_console(tmp_path_factory.mktemp("metrics"), fill) as made:
        yield made


@pytest.fixture(scope="module")
def program(console: Console) -> Program:
    return Program(console=console)


def scrape(program: Program) -> Page:
    answer = program.get("/metrics", Scope.READ)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return read_page(answer.body.decode())


def counted(page: Page) -> dict[tuple[str, str], float]:
    """Area and class to number, where there are any."""
    found = page.by_labels(REQUESTS.name)
    return {(area, kind): value for ((_, area), (_, kind)), value in found.items() if value}


def test_each_request_is_counted_once_in_its_area(console: Console, program: Program) -> None:
    program.key(Scope.READ)
    before = scrape(program)
    console.get("/messages", role=Role.VIEWER)
    console.get("/")  # to the log-in
    console.get("/nothing", role=Role.VIEWER)
    console.get("/static/app.js")
    program.get("/health")
    program.get("/recipients")  # without a key
    console.get("/api/v1/health", Host="elsewhere.example")
    after = scrape(program)
    new = {key: value - counted(before).get(key, 0) for key, value in counted(after).items()}
    assert {key: value for key, value in new.items() if value} == {
        ("pages", "2xx"): 1,
        ("pages", "3xx"): 1,
        ("pages", "4xx"): 1,
        ("static", "2xx"): 1,
        ("api", "2xx"): 2,  # the scrape before, and /health
        ("api", "4xx"): 2,
    }
    count = f"{SECONDS.name}_count"
    for area in ("pages", "api", "static"):
        assert after.value(count, area=area) == after.value(REQUESTS.name, area=area)


async def test_a_request_takes_until_its_answer_begins() -> None:
    now = 100.0
    requests = Requests(lambda: now)

    async def nowhere(message: MutableMapping[str, Any]) -> None:
        pass

    send = requests.counted("api", nowhere)
    now += 0.2
    await send({"type": "http.response.start", "status": 200})
    now += 3600  # a stream
    await send({"type": "http.response.body", "body": b""})
    page = read_page(render(requests.samples()).decode())
    assert page.value(f"{SECONDS.name}_sum") == pytest.approx(0.2)
    assert page.value(f"{SECONDS.name}_bucket", area="api", le="0.1") == 0
    assert page.value(f"{SECONDS.name}_bucket", area="api", le="0.25") == 1
    assert page.value(f"{SECONDS.name}_count", area="api") == 1


def test_all_series_are_there_from_the_start() -> None:
    page = read_page(render(Requests().samples()).decode())
    assert set(page.series.values()) == {0}
    assert page.types == {each.name: each.kind for each in FAMILIES}


def test_they_are_documented() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text().partition("## Of the console")[2]
    rows = re.findall(r"(?m)^\| `(relayd_\w+)` \| (\w+) \|([^|]*)\| [^|]+ \|$", text)
    documented = {name: (kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in rows}
    assert documented == {each.name: (each.kind, list(each.labels)) for each in FAMILIES}

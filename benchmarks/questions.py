"""Asks a queue with a long history all that can be asked: each filter, every two of them, and counted numbers.

Each question is asked for its first page and for two later ones, as `relayd status` and `relayd
addresses` do; of three times the least counts. All times are CPU of this process.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path
from typing import Any

from relayd.mail.tally import Dimension
from relayd.mail.words import BounceClass, Category
from relayd.ports.tally import TallyQuery
from relayd.ports.view import Query, Status
from relayd.ports.waiting import By
from relayd.store.sqlite.view import SqliteView

GOAL = 100.0  # milliseconds
_PAGE = 100  # rows
_PAGES = 3
_TIMES = 3
_SHOWN = 15  # of the slowest pairs

# As `benchmarks.history` fills it.
FILTERS: Mapping[str, Mapping[str, Any]] = {
    "--recipient, of 30,000 messages": {"recipient": ("alerts@big.test",)},
    "--recipient, of nobody": {"recipient": ("x@y.test",)},
    "--domain, of 1.2 million": {"domain": ("big.test",)},
    "--domain, of 100": {"domain": ("d77.test",)},
    "--domain, of nothing": {"domain": ("none.test",)},
    "--sender, of 2 million": {"sender": ("app@app.test",)},
    "--sender, of 1 million": {"sender": ("shop@app.test",)},
    "--sender, of 10": {"sender": ("user77@staff.test",)},
    "--sender <>": {"sender": ("",)},
    "--sender, of nothing": {"sender": ("no@no.test",)},
    "--message-id": {"message_id_header": ("77@app.test",)},
    "--tag, of 1.2 million": {"tag": ("newsletter",)},
    "--tag, of 100": {"tag": ("batch 30",)},
    "--tag, of nothing": {"tag": ("none",)},
    **{f"--status {status}": {"status": (status,)} for status in Status},
    **{f"--bounce-class {one}": {"bounce_class": (one,)} for one in BounceClass},
    **{
        f"--category {one}": {"category": (one,)}
        for one in (Category.BAD_MAILBOX, Category.VIRUS, Category.GREYLIST, Category.EXPIRED)
    },
    "--sender, three": {"sender": ("app@app.test", "shop@app.test", "user77@staff.test")},
    "--tag, two": {"tag": ("newsletter", "batch 30")},
    "--domain, two": {"domain": ("big.test", "d77.test")},
    "--status, two": {"status": (Status.BOUNCED, Status.DROPPED)},
    "--user, of 2 million": {"user": ("shop",)},
    "--user, of 4,000": {"user": ("user77",)},
    "--user, of nothing": {"user": ("nobody",)},
    "--client 127.0.0.1": {"client": (ip_network("127.0.0.1/32"),)},
    "--client, of 40": {"client": (ip_network("10.1.7.9/32"),)},
    "--client, a network of 50": {"client": (ip_network("10.1.7.0/24"),)},
    "--client, a network of 10,000": {"client": (ip_network("10.1.0.0/16"),)},
    "--client, a network of IPv6": {"client": (ip_network("2001:db8::/32"),)},
    "--client, of nothing": {"client": (ip_network("203.0.113.0/24"),)},
    "--destination smarthost": {"destination": ("smarthost",)},
    "--destination trade.test": {"destination": ("trade.test",)},
    "--destination 10.0.0.5": {"destination": ("10.0.0.5",)},
    "--destination, of nothing": {"destination": ("none.test",)},
    "--possible-duplicate": {"possible_duplicate": True},
    "--changed-since 10 minutes ago": {"changed_since": timedelta(minutes=10)},
    "--changed-since 7 days ago": {"changed_since": timedelta(days=7)},
    "--since 80 days ago": {"since": timedelta(days=80)},
    "--until 60 days ago": {"until": timedelta(days=60)},
    "queue list": {"unfinished": True},
}
_COUNTED = 30_000  # as `queue list --by` has it
_LENGTHS = {
    "1 h": timedelta(hours=1),
    "1 d": timedelta(days=1),
    "7 d": timedelta(days=7),
    "90 d": timedelta(days=90),
}


def show(path: Path) -> None:
    """Ask, and print what it took."""
    with closing(SqliteView(str(path))) as view:
        print(f"\n{'CPU ms':40}{'first page':>12}{'later pages':>12}{'addresses':>11}")
        for name, query in _questions(view, 1):
            _print(name or "all", *_ask(view, query)[:2], _list_addresses(view, query))
        asked = {name: _ask(view, query) for name, query in _questions(view, 2) if " and " in name}
        whole = {name: max(first, later) for name, (first, later, _) in asked.items()}
        slow = [name for name, took in whole.items() if took > GOAL]
        stopped = sum(is_stopped for _, _, is_stopped in asked.values())
        print(f"\nevery two of them, {len(asked)} questions:")
        print(f"page: p50 {statistics.median(whole.values()):.1f}, p95 {_p95(whole):.1f}")
        print(f"{len(slow)} over {GOAL:.0f} ms; {stopped} ended before the whole history")
        for name in sorted(whole, key=lambda name: -whole[name])[:_SHOWN]:
            _print(name, *asked[name][:2])
        _show_counted(view)


def _show_counted(view: SqliteView) -> None:
    print(f"\n{'CPU ms':16}" + "".join(f"{name:>13}" for name in ("time", *Dimension)))
    now = datetime.now(UTC)  # noqa: TID251 -- events are of the last days
    for title, length in _LENGTHS.items():
        queries = [TallyQuery(step=timedelta(days=1), since=now - length)]
        queries += [TallyQuery(by=by, since=now - length, limit=_PAGE) for by in Dimension]
        took = [_timed(lambda query=query: view.tally(query))[1] for query in queries]
        print(f"stats, {title:9}" + "".join(f"{each:13.1f}" for each in took))
    took = [_timed(lambda by=by: view.waiting(Query(), by, most=_COUNTED))[1] for by in By]
    print("\n" + " " * 16 + "".join(f"{by:>13}" for by in By))
    print(f"{'queue list --by':16}" + "".join(f"{each:13.1f}" for each in took))


def _print(name: str, *took: float) -> None:
    print(f"{name:80}" if len(name) > 40 else f"{name:40}", *(f"{each:11.1f}" for each in took))


def _p95(whole: Mapping[str, float]) -> float:
    return statistics.quantiles(whole.values(), n=20)[-1]


def _questions(view: SqliteView, most: int) -> Iterator[tuple[str, Query]]:
    newest = view.find(Query(), limit=1)[0].received_at
    for count in range(most + 1):
        for names in combinations(FILTERS, count):
            given = [(key, value) for name in names for key, value in FILTERS[name].items()]
            if len({key for key, _ in given}) == len(given):
                instants = {
                    key: newest - value for key, value in given if isinstance(value, timedelta)
                }
                yield " and ".join(names), Query(**{**dict(given), **instants})


def _ask(view: SqliteView, query: Query) -> tuple[float, float, bool]:
    """Return the milliseconds of the first page, of the slowest later one, and whether one was cut short."""
    first, later, is_stopped, before = 0.0, 0.0, False, None
    for number in range(_PAGES):
        page, took = _timed(lambda before=before: view.page(query, limit=_PAGE, before=before))
        first, later = (took, 0.0) if number == 0 else (first, max(later, took))
        before = page.next
        is_stopped = is_stopped or (before is not None and len(page.rows) < _PAGE)
        if before is None:
            break
    return first, later, is_stopped


def _list_addresses(view: SqliteView, query: Query) -> float:
    return _timed(lambda: view.recent_addresses(query, limit=_PAGE))[1]


def _timed(ask: Callable[[], Any]) -> tuple[Any, float]:
    """Return an answer, and the milliseconds of CPU that it takes; one that takes long is asked once."""
    times: list[float] = []
    answer: Any = None
    while len(times) < _TIMES and not (times and times[0] > 10 * GOAL):
        began = time.process_time()
        answer = ask()
        times.append((time.process_time() - began) * 1000)
    return answer, min(times)

"""Asks a queue with a long history all that can be asked: each filter, and every two of them.

Each question is asked for its first page and for two later ones, as `relayd status` and `relayd
addresses` do; of three times the median counts. A page is read in steps; what a step takes is also taken alone.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path
from typing import Any

import apsw

from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Query, Status
from relayd.store.sqlite.connection import open_reader
from relayd.store.sqlite.search import Search
from relayd.store.sqlite.view import SqliteView

GOAL = 20.0  # milliseconds
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
OF_ADDRESSES = {"recipient", "domain", "status", "bounce_class", "since"}


def show(path: Path) -> None:
    """Ask, and print what it took."""
    with closing(SqliteView(str(path))) as view, closing(open_reader(str(path))) as db:
        print(
            f"\n{'ms':34}{'first page':>12}{'later pages':>12}{'longest step':>13}{'addresses':>11}"
        )
        for name, query in _questions(view, 1):
            first, later, step = _ask(view, db, query)
            given = {key for key in Query.__slots__ if getattr(query, key) not in (None, False, ())}
            listed = _list_addresses(view, query) if given <= OF_ADDRESSES else None
            shown = "" if listed is None else f"{listed:.1f}"
            print(f"{name or 'all':34}{first:12.1f}{later:12.1f}{step:13.1f}{shown:>11}")
        asked = {
            name: _ask(view, db, query) for name, query in _questions(view, 2) if " and " in name
        }
    whole = {name: max(first, later) for name, (first, later, _) in asked.items()}
    steps = [step for _, _, step in asked.values()]
    slow = [name for name, took in whole.items() if took > GOAL]
    print(f"\nevery two of them, {len(asked)} questions:")
    print(f"page: p50 {statistics.median(whole.values()):.1f} ms, {len(slow)} over {GOAL:.0f} ms")
    print(f"step: p50 {statistics.median(steps):.1f} ms, longest {max(steps):.1f} ms")
    for name in sorted(slow, key=lambda name: -whole[name])[:_SHOWN]:
        print(f"{name:80}{whole[name]:12.1f}{asked[name][2]:12.1f}")


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


def _ask(view: SqliteView, db: apsw.Connection, query: Query) -> tuple[float, float, float]:
    """Return the milliseconds of the first page, of the slowest later one, and of the longest step."""
    first, later, before = 0.0, 0.0, None
    for page in range(_PAGES):
        rows, took = _timed(lambda before=before: view.find(query, limit=_PAGE, before=before))
        first, later = (took, 0.0) if page == 0 else (first, max(later, took))
        if len(rows) < _PAGE:
            break
        before = (rows[-1].message_id, rows[-1].recipient)
    return first, later, _longest_step(db, query)


def _longest_step(db: apsw.Connection, query: Query) -> float:
    search, found, longest = Search(db, query), 0, 0.0
    while not search.is_done and found < _PAGE:
        began = time.perf_counter()
        found += len(search.step(_PAGE))
        longest = max(longest, (time.perf_counter() - began) * 1000)
    return longest


def _list_addresses(view: SqliteView, query: Query) -> float:
    return _timed(lambda: view.addresses(query, limit=_PAGE))[1]


def _timed(ask: Callable[[], Any]) -> tuple[Any, float]:
    """Return an answer, and the milliseconds that it takes; one that takes long is asked once."""
    times: list[float] = []
    answer: Any = None
    while len(times) < _TIMES and not (times and times[0] > 10 * GOAL):
        began = time.perf_counter()
        answer = ask()
        times.append((time.perf_counter() - began) * 1000)
    return answer, statistics.median(times)

"""Asks the console one question after the other, and shows the CPU that each takes."""

import http.client
import statistics
import time
from collections import defaultdict
from datetime import timedelta
from pathlib import Path

from benchmarks.pages import every_question
from relayd.mail.ids import first_id_at, format_id
from relayd.worker.system import SystemClock

GOAL = 40.0  # milliseconds
_TIMES = 3
_SHARED = 5.1  # seconds for which the numbers of the overview are shared
_LATER = timedelta(days=45)
_SHOWN = 20  # of the slowest


def show(connection: http.client.HTTPConnection, cookie: str, pid: int, webhook: int) -> int:
    """Print what each page takes and the slowest questions; return 1 if one takes too long."""
    place = f"{format_id(first_id_at(SystemClock().now() - _LATER))}.0"
    took: dict[str, dict[str, float]] = defaultdict(dict)
    stopped = set()

    def ask(path: str) -> float:
        before = _cpu_ms(pid)
        connection.request("GET", path, headers={"Cookie": cookie})
        answer = connection.getresponse()
        answer.read()
        connection.close()  # the next may come late
        if answer.status >= 500:
            stopped.add(f"{answer.status} {path}")
        return _cpu_ms(pid) - before

    for name, path in every_question(place, webhook):
        times: list[float] = []
        while len(times) < _TIMES and not (times and times[0] > 20 * GOAL):
            if name == "/":
                time.sleep(_SHARED)
            times.append(ask(path))
        took[name][path] = min(times)
    print(f"{'CPU ms':32}{'asked':>6}{'p50':>8}{'p95':>8}{'most':>8}  slowest")
    for name, each in took.items():
        slowest = max(each, key=lambda path: each[path])
        whole = sorted(each.values())
        p95 = whole[min(len(whole) - 1, round(0.95 * len(whole)))]
        print(
            f"{name:32}{len(each):6}{statistics.median(whole):8.1f}{p95:8.1f}{each[slowest]:8.1f}  {slowest}"
        )
    every = {path: ms for each in took.values() for path, ms in each.items()}
    slow = sorted((path for path in every if every[path] >= GOAL), key=lambda path: -every[path])
    print(f"\n{len(every)} questions, {len(slow)} of them {GOAL:.0f} ms or more")
    for path in slow[:_SHOWN]:
        print(f"{every[path]:10.1f}  {path}")
    print(*sorted(stopped), sep="\n")
    return int(bool(slow or stopped))


def _cpu_ms(pid: int) -> float:
    """Return the CPU time of the threads of a process so far."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6

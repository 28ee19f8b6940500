"""What an operator sees of a cluster meanwhile: commands on its nodes now and then, and their logs in the end."""

import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.support.cluster import Node
from tests.support.daemon import Ran

_COMMANDS = (("nodes",), ("status", "--limit", "3"))
_GOOD = (0, 69)  # 69: the queue cannot be asked now
_LEVELS = ("warning", "error", "critical")


class Watch:
    """Runs commands on one node after the other, in a thread; `report` has what each printed."""

    def __init__(self, nodes: Sequence[Node], report: Path, *, every: float) -> None:
        self.exits = Counter[str]()
        self.wrong: list[str] = []
        self._nodes, self._report, self._every = nodes, report, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        while not self._over.wait(self._every):
            node, command = self._nodes[count // 2 % len(self._nodes)], _COMMANDS[count % 2]
            count += 1
            began = time.monotonic()
            ran = node.run(*command)
            took = time.monotonic() - began
            self.exits[f"relayd {command[0]}: exit {ran.status}"] += 1
            if not _is_good(ran):
                self.wrong.append(f"{node.name}: relayd {' '.join(command)}: {ran}")
            with self._report.open("a") as file:
                file.write(f"{began:.1f} {node.name} {command} exit {ran.status} in {took:.1f} s\n")
                file.write(f"{ran.out}{ran.err}\n")


def _is_good(ran: Ran) -> bool:
    if ran.status not in _GOOD or "Traceback" in ran.out + ran.err:
        return False
    return not ran.status or len(ran.err.splitlines()) == 1  # hints may go with an answer


def told(nodes: Sequence[Node]) -> Counter[str]:
    """Return how often each event is in the logs of nodes, from warnings up. Raises AssertionError for a traceback."""
    counts = Counter[str]()
    for node in nodes:
        for line in node.log():
            assert not re.search("Traceback", str(line)), f"in the log of {node.name}: {line}"
            if line["level"] in _LEVELS:
                counts[f"{line['level']}: {line['event']}"] += 1
    return counts

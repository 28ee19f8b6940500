#!/usr/bin/env python3
"""Write the diagrams and tables of docs/states.md from the transition tables in the code.

`.ci/diagrams.py` writes the page, `--check` says if it has to; tests/test_states.py does that too.
A further table needs an entry in `PARTS`, and its place in the page between `<!-- begin NAME -->` and
`<!-- end NAME -->`.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/states.md"
sys.path.insert(0, str(ROOT))

from relayd.mail import outcome  # noqa: E402 -- it need not be installed
from relayd.policy.delivery import queue_state as queue  # noqa: E402
from relayd.receiver import states as receiver  # noqa: E402

Edge = tuple[str, str, str]  # from, to, and what leads there

_OF_A_RECIPIENT: Mapping[tuple[str, str], str] = {
    ("queued", "queued"): "deferred, or nothing came of it",
    ("queued", "held"): "hold",
    ("queued", "relayed"): "the smarthost took it",
    ("queued", "sent"): "its own server took it",
    ("queued", "bounced"): "refused for good, or time is up",
    ("queued", "dropped"): "drop",
    ("held", "held"): "hold",
    ("held", "queued"): "release",
    ("held", "bounced"): "bounce",
    ("held", "dropped"): "drop",
    ("relayed", "bounced"): "asynchronous bounce",
    ("sent", "bounced"): "asynchronous bounce",
}


def diagram(edges: Iterable[Edge]) -> str:
    """Return a Mermaid diagram; what leads from one state to the same other is one arrow."""
    arrows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for before, after, why in edges:
        arrows[before, after].append(why)
    lines = [
        f"    {before} --> {after}: {', '.join(why)}" for (before, after), why in arrows.items()
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def recipient() -> str:
    """Draw the states of a recipient."""
    edges = [
        (before.value, after.value, _OF_A_RECIPIENT[before, after])
        for before, following in outcome.TRANSITIONS.items()
        for after in outcome.RecipientState
        if after in following
    ]
    born = [("[*]", "queued", "accepted"), ("[*]", "held", "accepted, content scored high")]
    return diagram([*born, *edges])


def session() -> str:
    """Draw the states of a session; without what leaves it where it is, or ends it at any time."""
    edges = [
        (before.value, found.value, event.value)
        for before, row in receiver.TRANSITIONS.items()
        for event, found in row.items()
        if isinstance(found, receiver.State) and found not in (before, receiver.State.CLOSING)
    ]
    return diagram([("[*]", receiver.State.CONNECTED.value, "greeting"), *edges])


def commands() -> str:
    """Tabulate what each command leads to, in each state that reads commands."""
    columns = [each for each in receiver.State if each in receiver.READS_COMMANDS]
    head = ["command", *columns]
    rows = [
        [event, *(_cell(receiver.TRANSITIONS[state][event]) for state in columns)]
        for event in receiver.COMMANDS
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _cell(found: receiver.State | receiver.Refused) -> str:
    if isinstance(found, receiver.State):
        return f"→ {found}"
    return f"{found.reply[:3].decode()}{' and the end' if found.closes else ''}"


def destination_queue() -> str:
    """Draw the states of a destination queue, without what leaves it where it is."""
    edges = [
        (before.value, after.value, event.value)
        for before, row in queue.TRANSITIONS.items()
        for event, after in row.items()
        if after is not before
    ]
    return diagram([("[*]", queue.QueueState.PROBING.value, "first work"), *edges])


PARTS: Mapping[str, Callable[[], str]] = {
    "recipient": recipient,
    "session": session,
    "commands": commands,
    "destination queue": destination_queue,
}


def laid_out(page: str) -> str:
    """Return the page with all its parts as the tables are now."""
    for name, part in PARTS.items():
        begin, end = f"<!-- begin {name} -->\n", f"\n<!-- end {name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        page, count = pattern.subn((begin + part() + end).replace("\\", r"\\"), page)
        if count != 1:
            raise SystemExit(f"{PAGE}: {count} places for {name}")
    return page


def main() -> int:
    found = PAGE.read_text()
    wanted = laid_out(found)
    if sys.argv[1:] == ["--check"]:
        return int(found != wanted)
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())

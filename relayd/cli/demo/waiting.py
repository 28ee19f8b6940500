"""Waiting for the mail of `relayd demo`, with a line that says for how much of it."""

import time
from collections.abc import Callable, Sequence

from relayd.cli.progress import progress
from relayd.ports.view import Query, QueueView, RecipientRow

_SETTLE = 20.0  # seconds after which everything is shown as it is


def wait_for_mail(
    views: Sequence[QueueView], is_awaited: Callable[[RecipientRow], bool], *, is_shown: bool
) -> None:
    """Return once no recipient that is unfinished is awaited any more."""
    deadline = time.monotonic() + _SETTLE
    with progress(is_wanted=is_shown) as line:
        while time.monotonic() < deadline:
            rows = (row for view in views for row in view.find(Query(unfinished=True), limit=100))
            awaited = sum(map(is_awaited, rows))
            line.show(f"  waiting for {awaited} recipients")
            if not awaited:
                break
            time.sleep(0.1)

"""The notices in force, above what a command shows: on standard error, so that output stays what it is."""

import sys
from datetime import UTC, datetime

from relayd.answers.notices import Notice, notices_of
from relayd.cli.output import paint
from relayd.config.peek import find_switches
from relayd.control.glance import glance_at
from relayd.ports.view import QueueView


def show_notices(view: QueueView, settings: str | None) -> None:
    """Print those that store, settings and daemon tell; `settings` is a file that the caller named."""
    at = datetime.now(UTC)  # noqa: TID251 -- a command's clock
    switches, control = find_switches(settings)
    daemon = [] if control is None else glance_at(control)
    for notice in notices_of(view, at=at, switches=switches, daemon=daemon):
        show_notice(notice)


def show_notice(notice: Notice) -> None:
    style = "yellow" if sys.stderr.isatty() else ""
    print(paint(str(notice), style), file=sys.stderr, flush=True)

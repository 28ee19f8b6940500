"""The notices in force, above what a command shows: on standard error, so that output stays what it is.

On a terminal each is one line, no wider than the tables below it. What to do about it is kept.
"""

import sys
from datetime import UTC, datetime, tzinfo

from relayd.answers.notices import Notice, notices_of
from relayd.cli.output import paint, printable
from relayd.cli.table import cells_in, cut, screen_width
from relayd.config.peek import find_switches
from relayd.control.glance import glance_at
from relayd.ports.view import QueueView

_LEAST = 20  # cells of the text, before the remedy is cut as well


def show_notices(view: QueueView, settings: str | None, zone: tzinfo | None = None) -> int:
    """Print those that store, settings and daemon tell; return how many. `settings` is a file that the caller named.

    Times are those of `zone`, None being this machine's.
    """
    at = datetime.now(UTC)  # noqa: TID251 -- a command's clock
    switches, control = find_switches(settings)
    daemon = [] if control is None else glance_at(control)
    notices = notices_of(view, at=at, switches=switches, daemon=daemon, zone=zone)
    for notice in notices:
        show_notice(notice)
    return len(notices)


def show_notice(notice: Notice) -> None:
    """Print one; in a pipe nothing is cut."""
    line = str(notice)
    if not sys.stderr.isatty():
        print(paint(line), file=sys.stderr, flush=True)
        return
    if sys.stdout.isatty():  # else what is below it is not cut, and the width not known
        line = in_one_line(notice, screen_width())
    print(paint(line, "yellow"), file=sys.stderr, flush=True)


def in_one_line(notice: Notice, width: int) -> str:
    """Return it in at most `width` cells: the text is cut, and the remedy only where it leaves no space."""
    text, remedy = printable(notice.text), f" ({printable(notice.remedy)})"
    space = width - cells_in(remedy)
    if space < min(cells_in(text), _LEAST):
        return cut(text + remedy, width)
    return cut(text, space) + remedy

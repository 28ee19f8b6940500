"""What a shell completes besides commands, options and files: settings keys and queue ids.

Owns that completing is quick, quiet and never in the way: what cannot be read completes to nothing, a
store that does not answer is not waited for, and no word reaches the terminal in the middle of a line.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

T = TypeVar("T")
_NEWEST = 200  # recipients whose queue ids are offered
_PATIENCE = 1.0  # seconds


def complete_ids(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Return queue ids of the newest messages; for a verb of `relayd queue`, of those that wait."""
    unfinished = ctx.parent is not None and ctx.parent.info_name == "queue"

    def read() -> list[CompletionItem[str]]:
        from relayd.cli.context import named_settings_file_of  # noqa: PLC0415
        from relayd.cli.output import printable  # noqa: PLC0415
        from relayd.config.peek import find_store  # noqa: PLC0415
        from relayd.mail.ids import format_id  # noqa: PLC0415
        from relayd.ports.view import Query  # noqa: PLC0415
        from relayd.store import open_view  # noqa: PLC0415

        url = find_store(named_settings_file_of(ctx))
        if url is None:
            return []
        view = open_view(url)
        try:
            rows = view.find(Query(unfinished=unfinished), limit=_NEWEST)
        finally:
            view.close()
        given = ctx.params.get(param.name or "") or ()
        found = {format_id(row.message_id): f"{row.address} {row.status}" for row in rows}
        return [
            CompletionItem(name, help=printable(says))
            for name, says in found.items()
            if name.startswith(incomplete.upper()) and name not in map(str, given)
        ]

    return _in_time(read, [])


def complete_keys(
    ctx: click.Context,  # noqa: ARG001
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[CompletionItem[str]]:
    """Return the settings keys, dotted, and the tables that they are in."""
    from relayd.config.model import DEFAULTS  # noqa: PLC0415 -- brings pydantic

    return [CompletionItem(name) for name in DEFAULTS if name.startswith(incomplete)]


def _in_time(read: Callable[[], T], nothing: T) -> T:
    """Return what `read` finds; `nothing` if that fails or takes too long."""
    found = [nothing]

    def run() -> None:
        with suppress(Exception):  # whatever it is, it is not for the middle of a line
            found.append(read())

    reader = threading.Thread(target=run, daemon=True, name="completion")
    reader.start()
    reader.join(_PATIENCE)
    return found[-1]

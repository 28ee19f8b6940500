"""`relayd reload`: have the daemon read its settings again, and wait until it runs with them or says why not.

This is what the unit's ExecReload= runs, so that `systemctl reload` fails when the reload does. A daemon whose control
socket has another place in the file is not found there: then systemd's MAINPID gets SIGHUP, and the new
place is asked until it answers.
"""

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from relayd.cli.context import json_option, load_settings, settings_option
from relayd.cli.output import printable, show_json
from relayd.explain.pointer import pointer

if TYPE_CHECKING:  # these bring pydantic
    from relayd.cli.config.banner import Answer
    from relayd.settings import Settings

_PATIENCE = 80.0  # seconds: less than systemd gives a reload (TimeoutStartSec=90)
_EVERY = 0.2  # seconds


@click.command()
@settings_option()
@json_option
@click.pass_context
def reload(ctx: click.Context, *, as_json: bool) -> None:
    """Have the daemon read its settings again, and wait until it runs with them."""
    from relayd.cli.config.banner import State, ask_to_reload, daemon_lines  # noqa: PLC0415

    settings = load_settings()
    answer = ask_to_reload(settings, settings.control_socket)
    if answer.state is State.STOPPED and (process := os.environ.get("MAINPID", "")).isdecimal():
        answer = _signal(int(process), settings)
    stopped = answer.state is State.STOPPED
    status = os.EX_UNAVAILABLE if stopped else answer.exit_status
    if as_json:
        show_json(
            {"file": settings.file, "daemon": answer.state, "reasons": answer.reasons or None}
        )
    elif answer.state is State.CURRENT:
        click.echo(printable(f"the daemon runs with {settings.file} now"))
    else:
        for line in daemon_lines(answer):
            click.echo(printable(f"relayd: {line}{pointer(status)}"), err=True)
    ctx.exit(status)


def _signal(process: int, settings: "Settings") -> "Answer":
    """Have that process reload; wait for a daemon at the control socket that the file names."""
    from relayd.cli.config.banner import State, compare  # noqa: PLC0415

    with suppress(ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGHUP)
    ends = time.monotonic() + _PATIENCE
    while (answer := compare(settings)).state is not State.CURRENT and time.monotonic() < ends:
        time.sleep(_EVERY)
    return answer

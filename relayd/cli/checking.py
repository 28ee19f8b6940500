"""Making the checks of `relayd.doctor` for a command, and showing how far they are."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from relayd.cli.context import named_settings_file
from relayd.cli.output import printable
from relayd.cli.progress import progress
from relayd.config.peek import find_switches
from relayd.policy.doctor.finding import Finding

if TYPE_CHECKING:  # asking takes the resolver, the store and more; `--help` does not
    from relayd.doctor import CheckRequest, Memory
    from relayd.settings import Settings


def check_quickly(settings: "Settings") -> "Sequence[Finding]":
    """Make the checks of direct mode that ask only the DNS about our own name."""
    from relayd.doctor import CheckRequest  # noqa: PLC0415
    from relayd.logs.operational import silenced  # noqa: PLC0415

    with silenced():
        return asyncio.run(gather(settings, CheckRequest(direct=True, quick=True), {}))


def say_what_runs() -> None:
    """Begin with a line, where the settings are wrong: whether a daemon runs, with those that it has."""
    from relayd.answers.standing import of_mistaken  # noqa: PLC0415
    from relayd.doctor.daemon import ask_daemon_at  # noqa: PLC0415

    socket = find_switches(named_settings_file())[1]
    if socket is not None:
        click.echo(printable(of_mistaken(ask_daemon_at(socket))))


async def gather(settings: "Settings", request: "CheckRequest", memory: "Memory") -> list[Finding]:
    """Make the checks that are asked for, and show which one is running."""
    from relayd.doctor import steps  # noqa: PLC0415
    from relayd.worker.system import SystemClock  # noqa: PLC0415

    found: list[Finding] = []
    for step in steps(settings, request, SystemClock(), memory):
        with progress() as line:
            line.show(f"  looking at {step.words} …")
            found += await step.run()
    return found

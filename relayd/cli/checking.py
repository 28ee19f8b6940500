"""Making the checks of `relayd.doctor` for a command, and showing how far they are."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

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


async def gather(settings: "Settings", request: "CheckRequest", memory: "Memory") -> list[Finding]:
    """Make the checks that are asked for, and show which one is running."""
    from relayd.doctor import steps  # noqa: PLC0415
    from relayd.worker.system import SystemClock  # noqa: PLC0415

    found: list[Finding] = []
    for step in steps(settings, request, SystemClock(), memory):
        with progress(step.words):
            found += await step.run()
    return found


@contextmanager
def progress(words: str) -> Iterator[None]:
    """Show which check is running, on a terminal."""
    is_watched = sys.stderr.isatty()
    if is_watched:
        click.echo(f"\r\x1b[K  looking at {words} …", nl=False, err=True)
    try:
        yield
    finally:
        if is_watched:
            click.echo("\r\x1b[K", nl=False, err=True)

"""The banner after changed settings: what changed, where, and whether the daemon runs with it.

Owns the questions to the daemon, and what each answer means for people and for the exit status. On
a terminal the banner has a frame, in a pipe it is plain text.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

import click

from relayd.answers.warnings import found_wrong, left_behind, warnings
from relayd.cli.output import printable, show_json, show_table
from relayd.config.change import Changed
from relayd.control import client
from relayd.errors import DaemonUnreachable, RelaydError
from relayd.policy.doctor.finding import Finding
from relayd.settings import Settings

_DASH = "- "
_REMEDY = "`systemctl reload relayd` has it read the file"


class State(StrEnum):
    """Whether the daemon runs with the settings in the file."""

    CURRENT = "current"  # runs with it
    OLDER = "older"  # runs with an older state of the file, or with another file
    REFUSED = "refused"  # was asked to and cannot
    STOPPED = "stopped"  # does not run
    UNKNOWN = "unknown"  # cannot be asked
    NOT_ASKED = "not_asked"  # nothing was written


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    state: State
    reasons: tuple[str, ...] = ()
    file: str = ""  # that the daemon read
    running: Mapping[str, str] = field(default_factory=dict)  # with what values, if it told
    variables: tuple[str, ...] = ()  # settings in its environment alone, not in ours

    @property
    def exit_status(self) -> int:
        match self.state:
            case State.CURRENT | State.STOPPED | State.NOT_ASKED:
                return os.EX_OK
            case State.REFUSED:
                return os.EX_OSERR
            case State.OLDER | State.UNKNOWN:
                return os.EX_UNAVAILABLE
            case other:
                assert_never(other)


def ask_to_reload(settings: Settings, control_socket: str) -> Answer:
    """Have the daemon there read its file again; return whether it runs with `settings`."""
    try:
        reloaded = client.reload(control_socket)
    except DaemonUnreachable as error:
        return _unreachable(error)
    except RelaydError as error:
        return Answer(state=State.REFUSED, reasons=tuple(str(error).splitlines()))
    if reloaded.digest == settings.digest:
        return Answer(state=State.CURRENT, file=reloaded.file)
    with suppress(RelaydError):
        return _older(client.running_settings(control_socket), settings)
    return Answer(state=State.OLDER, file=reloaded.file)


def compare(settings: Settings) -> Answer:
    """Return whether the daemon runs with these settings, and with which it does."""
    try:
        found = client.running_settings(settings.control_socket)
    except DaemonUnreachable as error:
        return _unreachable(error)
    except RelaydError as error:
        return Answer(state=State.UNKNOWN, reasons=tuple(str(error).splitlines()))
    if found.values == dict(settings.values):
        return Answer(state=State.CURRENT, file=found.file, running=found.values)
    return _older(found, settings)


def _older(found: client.InForce, settings: Settings) -> Answer:
    ours = settings.variables.values()
    return Answer(
        state=State.OLDER,
        file=found.file,
        running=found.values,
        variables=tuple(name for name in found.variables if name not in ours),
    )


def compared(answer: Answer, settings: Settings) -> Iterator[Mapping[str, object]]:
    """Yield as fields which settings the daemon has otherwise, then how it is with it."""
    for name, running, text in _differences(answer.running, settings):
        yield {"key": name, "running": _value(running), "value": _value(text)}
    yield {"daemon": answer.state, "reasons": answer.reasons or None}


def show_compared(answer: Answer, settings: Settings) -> None:
    """Print whether the daemon runs with these settings, and which ones differ."""
    click.echo("")
    for line in daemon_lines(answer):
        click.echo(printable(line))
    rows = [(name, a or "-", b or "-") for name, a, b in _differences(answer.running, settings)]
    if rows:
        show_table(("KEY", "RUNNING", "FILE"), rows)


def show_banner(
    changed: Changed,
    answer: Answer,
    findings: Iterable[Finding] = (),
    *,
    put_back: bool = False,
    as_json: bool,
) -> None:
    """Print what became of a change; `findings` are those of the quick checks before direct mode.

    `put_back`: the daemon could not run with it, and the file has its old text again.
    """
    begins_direct = changed.began_direct and not put_back
    risks = list(warnings(changed.settings)) if begins_direct else []
    first = list(found_wrong(findings)) if begins_direct else []
    left = [] if put_back else [*_left_behind(changed)]
    if as_json:
        for each in changed.keys:
            show_json(
                {
                    "file": changed.file,
                    "key": each.name,
                    "from": _value(each.old),
                    "to": _value(each.new),
                    "variable": each.variable or None,
                    "written": changed.written and not put_back,
                    "put_back": put_back or None,
                    "daemon": answer.state,
                    "reasons": answer.reasons or None,
                    "warnings": [*left, *risks, *first] or None,
                }
            )
        return
    lines = [*_change_lines(changed), *daemon_lines(answer)]
    if put_back:
        lines.append("the file has its old text again")
    if left:
        lines += ["", *left]
    if begins_direct:
        lines += ["", "Direct mode sends straight to the recipients' own servers:"]
        lines += [f"{_DASH}{each}" for each in (*risks, *first)]
    _print_framed(_title(changed, answer, put_back=put_back), [printable(line) for line in lines])


def _left_behind(changed: Changed) -> Iterator[str]:
    for each in changed.keys:
        if each.name == "store.url" and each.old != each.new:
            yield left_behind(str(_value(each.old)))


def _title(changed: Changed, answer: Answer, *, put_back: bool) -> str:
    settings = "Setting" if len(changed.keys) == 1 else "Settings"
    if put_back:
        return f"{settings} not updated"
    if all(each.old == each.new for each in changed.keys) and not changed.written:
        return "Nothing to update"
    return (
        f"{settings} that would be updated"
        if answer.state is State.NOT_ASKED
        else f"{settings} updated"
    )


def _unreachable(error: DaemonUnreachable) -> Answer:
    """No daemon, or one that we may not ask: the error of the system tells which."""
    absent = isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError)
    return Answer(state=State.STOPPED if absent else State.UNKNOWN, reasons=(str(error),))


def _differences(
    running: Mapping[str, str], settings: Settings
) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield keys with the value that counts and the one in the file; none if the daemon told nothing."""
    written = dict(settings.values) if running else {}
    for name in dict.fromkeys((*written, *running)):
        if running.get(name) != written.get(name):
            yield name, running.get(name), written.get(name)


def _change_lines(changed: Changed) -> Iterator[str]:
    for each in changed.keys:
        if each.old == each.new:
            yield f"{each.name}: {each.new or 'not set'}, as before"
        else:
            yield f"{each.name}: {each.old or 'not set'} -> {each.new or 'not set'}"
        if each.variable:
            yield f"  {each.variable} of the environment counts, whatever the file says"
    yield f"file: {changed.file}"


def daemon_lines(answer: Answer) -> Iterator[str]:
    """Say whether the daemon runs with the file, and why not."""
    match answer.state:
        case State.CURRENT:
            yield "daemon: runs with it now"
        case State.OLDER if answer.variables:
            yield f"daemon: runs with other settings, read from {answer.file} and its environment"
            yield f"  its environment has {', '.join(answer.variables)}, and this one has not"
        case State.OLDER:
            yield f"daemon: runs with other settings, read from {answer.file}; {_REMEDY}"
        case State.REFUSED:
            yield "daemon: keeps its old settings, because"
            yield from (f"  {reason}" for reason in answer.reasons)
        case State.STOPPED:
            yield f"daemon: does not run ({'; '.join(answer.reasons)})"
        case State.NOT_ASKED:
            yield "nothing was written; the daemon has the last word on ports and files"
        case State.UNKNOWN:
            yield f"daemon: cannot be asked ({'; '.join(answer.reasons)}); {_REMEDY}"
        case other:
            assert_never(other)


def _value(text: str | None) -> object:
    return None if text is None else json.loads(text)


def _print_framed(title: str, lines: Iterable[str]) -> None:
    if not sys.stdout.isatty():
        click.echo(title)
        for line in lines:
            click.echo(f"  {line}" if line else "")
        return
    from rich.console import Console, Group  # noqa: PLC0415
    from rich.panel import Panel  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    parts: list[Text | Table] = []
    for line in lines:
        if line.startswith(_DASH):
            item = Table.grid(padding=(0, 1))  # so that its further lines are indented
            item.add_row("-", Text(line.removeprefix(_DASH)))
            parts.append(item)
        else:
            parts.append(Text(line))
    frame = Panel(Group(*parts), title=title, title_align="left", expand=False)
    Console(highlight=False).print(frame)

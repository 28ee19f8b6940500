"""`relayd classify`: how delivery would classify an SMTP reply.

Calls the very function that the daemon calls, with the same rules; needs no daemon.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from relayd.cli.context import json_option, load_rules, settings_option
from relayd.cli.inputs import STANDARD, read_inputs, say_unreadable
from relayd.cli.output import paint, show_json
from relayd.mail.outcome import Classification
from relayd.policy.replies.classify import classify_fields
from relayd.policy.replies.ruleset import Rules

_NOT_NEGATIVE = re.compile(r"\s*[23][0-9]{2}(?![0-9])")


class BadInput(click.ClickException):
    """A line of the input is no JSON object."""

    exit_code = os.EX_DATAERR


@click.command()
@click.argument(
    "replies",
    metavar="[REPLY | FILE...]",
    nargs=-1,
    type=click.Path(allow_dash=True, readable=False),
)
@click.option(
    "--jsonl",
    is_flag=True,
    help="Read JSON objects, one per line, from each FILE or standard input.",
)
@click.option(
    "--stage", help="What the reply answers: connect, ehlo, mail, rcpt, data, dot or another"
)
@click.option("--explain", is_flag=True, help="Name the rule, and say what to do about it.")
@json_option
@settings_option()
def classify(
    *, replies: tuple[str, ...], jsonl: bool, stage: str | None, explain: bool, as_json: bool
) -> None:
    """Say what an SMTP reply means: why it is negative.

    Also says whether it ends the message, and whether it proves that the address is invalid.

    REPLY is the reply as the server gave it: relayd classify '550 5.1.1 no such user'

    With `--jsonl` each line of a FILE is a JSON object, or a reply. FILE may be - for standard input, or a folder for
    all files below it; these need no `--jsonl`.
    """
    if jsonl or any(each == STANDARD or Path(each).is_dir() for each in replies):
        _classify_files(replies or (STANDARD,), stage, explain=explain)
        return
    if len(replies) != 1:
        raise click.UsageError("Give either one REPLY, or --jsonl and each FILE.")
    [reply] = replies
    if _NOT_NEGATIVE.match(reply):
        raise click.UsageError(
            "A reply of 2xx or 3xx is not negative: there is nothing to classify."
        )
    judged = classify_fields(None, None, reply, stage, load_rules())
    fields = _fields(judged, explain=explain)
    if as_json:
        show_json(fields)
        return
    for name, value in fields.items():
        click.echo(paint(f"{name:<13} {_word(value)}"))


def _classify_files(names: Sequence[str], stage: str | None, *, explain: bool) -> None:
    rules = load_rules()
    if list(names) == [STANDARD]:  # line by line, for a program that waits for each answer
        _classify_lines(STANDARD, sys.stdin.buffer, stage, rules, explain=explain)
        return
    status = os.EX_OK
    for each in read_inputs(names):
        if each.trouble:
            say_unreadable(each)
            status = os.EX_NOINPUT
        else:
            _classify_lines(each.name, each.octets.splitlines(), stage, rules, explain=explain)
    click.get_current_context().exit(status)


def _classify_lines(
    name: str, lines: Iterable[bytes], stage: str | None, rules: Rules, *, explain: bool
) -> None:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not line.lstrip().startswith(b"{"):
            record = {"id": f"{name}:{number}", "text": line.decode("utf-8", "replace").strip()}
        else:
            record = _record(line, number)
        judged = classify_fields(
            record.get("code"),
            record.get("enhanced"),
            record.get("text"),
            record.get("stage") or stage,
            rules,
        )
        show_json({"id": record.get("id"), **_fields(judged, explain=explain)})


def _record(line: bytes, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"line {number} of the input is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise BadInput(f"line {number} of the input is not a JSON object")
    return record


def _fields(judged: Classification, *, explain: bool) -> dict[str, object]:
    fields: dict[str, object] = {
        "category": judged.category,
        "permanent": judged.permanent,
        "suppress": judged.suppress,
        "bounce_class": judged.bounce_class,
    }
    if explain:
        fields["rule"] = judged.rule or "none"
        fields["remedy"] = judged.remedy or "none"
    return fields


def _word(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)

"""`relayd dkim rotate`: sign with new keys, the first ones too, once every name server has their records.

The steps, each safe to die after: look at the name servers; note until when the old records have to stay; change the
settings and have the daemon run with them. What the daemon refuses is put back, and the notes go.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from relayd.cli.config.dkim_dns import compared, in_words, keys_or_error, status_of
from relayd.cli.context import (
    NoSuch,
    json_option,
    load_settings,
    now,
    settings_file,
    settings_option,
)
from relayd.cli.filters import DomainType
from relayd.cli.output import show_json
from relayd.explain.pointer import pointer
from relayd.mail.words import format_instant
from relayd.policy.dkim_rotation import KeyKind, stays_until
from relayd.policy.doctor.dkim_keys import Replaced
from relayd.policy.doctor.finding import Finding

if TYPE_CHECKING:  # pydantic, cryptography
    from relayd.config.change import Edit
    from relayd.doctor.dkim_keys import KeyFile
    from relayd.settings import Settings

Pair = tuple["KeyFile | None", "KeyFile"]  # the old one, if there is one of its kind; the new one
Seen = tuple[str, Finding]  # the name server, and what it says of a record


@click.command()
@click.argument("domain", type=DomainType())
@json_option
@settings_option()
@click.pass_context
def rotate(ctx: click.Context, /, *, domain: str, as_json: bool) -> None:
    """Have mail of DOMAIN signed with the keys that `relayd dkim keygen` made last, in the place of those before.

    It goes on only when every name server of the zone has the new records; until then it changes nothing and exits
    with 1. Afterwards it says until when the records of the old keys have to stay.
    """
    settings = load_settings()
    pairs = _pairs(keys_or_error(settings, domain), domain)
    seen = asyncio.run(_look(settings, [new for _, new in pairs]))
    if status := status_of([finding for _, finding in seen]):
        for server, finding in seen:
            if as_json:
                show_json({"server": server, "name": finding.subject} | compared(finding))
            else:
                click.echo(f"{server}: {finding.subject}: {in_words(finding)}")
        click.echo(
            f"relayd: nothing is changed: not every name server has what `relayd dkim dns {domain}` prints"
            f"{pointer(status)}",
            err=True,
        )
        ctx.exit(status)
    _replace(ctx, settings, pairs, as_json=as_json)


def _pairs(keys: "Sequence[KeyFile]", domain: str) -> list[Pair]:
    """Return which key takes the place of which: the newest of each kind. Raises NoSuch."""
    pairs: list[Pair] = []
    for kind in KeyKind:
        ours = [key for key in keys if key.kind is kind]
        old = [key for key in ours if key.place is not None]
        new = [key for key in ours if key.place is None]
        if new:
            oldest = min(old, key=lambda key: key.made_at, default=None)
            pairs.append((oldest, max(new, key=lambda key: (key.made_at, key.selector))))
    if not pairs:
        raise NoSuch(
            f"there is no new key for {domain} beside {settings_file()}:"
            f" `relayd dkim keygen {domain}` makes them"
        )
    return pairs


async def _look(settings: "Settings", keys: "Sequence[KeyFile]") -> Sequence[Seen]:
    """Return what each name server of the zone says of each new key."""
    return [seen for key in keys for seen in await _look_at(settings, key)]


async def _look_at(settings: "Settings", key: "KeyFile") -> Sequence[Seen]:
    from relayd.mail.dns import DnsFailure  # noqa: PLC0415
    from relayd.net.dns.zone_servers import ask_servers  # noqa: PLC0415
    from relayd.policy.doctor.dkim import OwnKey, judge_dkim  # noqa: PLC0415
    from relayd.worker.system import SystemClock  # noqa: PLC0415

    own = OwnKey(kind=key.kind, public=key.key.published(), beside_rsa=True)
    answers = await ask_servers(key.published.name, settings.dns, SystemClock())
    if isinstance(answers, DnsFailure):
        return [("-", judge_dkim(key.selector, key.domain, answers))]
    return [
        (each.server, judge_dkim(key.selector, key.domain, each.answer, own=own))
        for each in answers
    ]


def _edits(pairs: Sequence[Pair], tables: int) -> "Iterator[Edit]":
    """Yield what changes in the settings, which have so many tables of keys."""
    for old, new in pairs:
        if old is None:
            place, tables = tables, tables + 1
            yield ("dkim", place, "domain"), new.domain
        else:
            assert old.place is not None, "it signs"
            place = old.place
        yield ("dkim", place, "selector"), new.selector
        yield ("dkim", place, "key_file"), new.path.name


def _replace(
    ctx: click.Context, settings: "Settings", pairs: Sequence[Pair], *, as_json: bool
) -> None:
    """Change the settings, put them back if the daemon refuses, and tell what became of it."""
    from relayd.cli.config.banner import State, ask_to_reload, show_banner  # noqa: PLC0415
    from relayd.config.change import changing  # noqa: PLC0415
    from relayd.config.dkim_files import drop_note, folder_of, note_replaced  # noqa: PLC0415

    folder = folder_of(settings.file)
    until = stays_until(now(), settings.retry.give_up_after)
    notes = [
        Replaced(domain=old.domain, selector=old.selector, stays_until=until)
        for old, _ in pairs
        if old is not None
    ]
    for each in notes:
        note_replaced(folder, each)
    done = False
    try:
        with changing(settings_file(), list(_edits(pairs, len(settings.dkim)))) as changed:
            answer = ask_to_reload(changed.settings, changed.control_socket)
            if put_back := changed.written and answer.state is State.REFUSED:
                changed.put_back()
            done = not put_back
    finally:
        if not done:
            for each in notes:
                drop_note(folder, each)
    show_banner(changed, answer, put_back=put_back, as_json=as_json)
    if done:
        for old, new in pairs:
            _tell(old, new, format_instant(until), as_json=as_json)
    ctx.exit(answer.exit_status)


def _tell(old: "KeyFile | None", new: "KeyFile", until: str, *, as_json: bool) -> None:
    if as_json:
        replaced = old and {
            "replaces": old.selector,
            "old_name": old.published.name,
            "stays_until": until,
        }
        name = new.published.name
        show_json(
            {"domain": new.domain, "selector": new.selector, "name": name, **(replaced or {})}
        )
    elif old is not None:
        click.echo(f"{old.published.name} has to stay in the DNS until {until}; then take it out")

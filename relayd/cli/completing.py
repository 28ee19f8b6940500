"""What a shell completes besides options and files: commands, settings keys, queue ids, pauses, users of the console.

Owns that completing is quick, quiet and never in the way: what cannot be read completes to nothing, a
store that does not answer is not waited for, and no word reaches the terminal in the middle of a line.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from relayd.ports.view import QueueView

T = TypeVar("T")
Items = list[CompletionItem[str]]
_NEWEST = 200  # recipients whose queue ids are offered
_PATIENCE = 1.0  # seconds


def complete_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return queue ids of the newest messages; for a verb of `relayd queue`, of those that wait."""
    given = ctx.params.get(param.name or "") or ()
    return [each for each in ids(ctx, incomplete) if each.value not in map(_id_text, given)]


def ids(ctx: click.Context, incomplete: str) -> Items:
    """The same where no parameter is being completed."""
    unfinished = ctx.parent is not None and ctx.parent.info_name == "queue"

    def read(view: "QueueView") -> Mapping[str, str]:
        from relayd.mail.ids import format_id  # noqa: PLC0415
        from relayd.ports.view import Query  # noqa: PLC0415

        rows = view.find(Query(unfinished=unfinished), limit=_NEWEST)
        return {format_id(row.message_id): f"{row.address} {row.status}" for row in rows}

    return _items(_of_store(ctx, read), incomplete.upper())


def complete_explained(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Return the words that `relayd explain` knows."""
    from relayd.errors import RelaydError  # noqa: PLC0415
    from relayd.explain.pages import entries  # noqa: PLC0415

    with suppress(RelaydError):
        return _items({each.name: each.kind for each in entries()}, incomplete)
    return []


def complete_pauses(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the numbers of pause rules, and `all`."""
    given = ctx.params.get(param.name or "") or ()

    def read(view: "QueueView") -> Mapping[str, str]:
        from relayd.answers.pauses import sides_in_words  # noqa: PLC0415
        from relayd.cli.context import now  # noqa: PLC0415

        rules = [rule for rule in view.pause_rules() if not rule.is_over(now())]
        return {str(rule.number): f"{sides_in_words(rule)} of {rule.named}" for rule in rules}

    found = dict(_of_store(ctx, read))
    if found and not given:
        found["all"] = "every pause"
    return [each for each in _items(found, incomplete) if each.value not in given]


def complete_sites(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Return the sites that are not simply free."""
    return sites_with_mode(ctx, incomplete)


def sites_with_mode(ctx: click.Context, incomplete: str) -> Items:
    """The same where no parameter is being completed."""

    def read(view: "QueueView") -> Mapping[str, str]:
        return {each.key.site: each.state.mode.value for each in view.sites.sites()}

    return _items(_of_store(ctx, read), incomplete)


def complete_tls_days(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Return the days that TLS sessions are counted of."""

    def read(view: "QueueView") -> Mapping[str, str]:
        return {each.day.isoformat(): "" for each in view.trust.tls_counts()}

    return _items(_of_store(ctx, read), incomplete)


def complete_people(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Return the names of people who may use the console."""

    def read(view: "QueueView") -> Mapping[str, str]:
        return {each.name: each.role.value for each in view.people.accounts()}

    return _items(_of_store(ctx, read), incomplete)


def complete_api_keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Return the names of API keys."""

    def read(view: "QueueView") -> Mapping[str, str]:
        keys = view.people.keys()
        return {each.name: ", ".join(sorted(each.scopes)) for each in keys}

    return _items(_of_store(ctx, read), incomplete)


def complete_webhooks(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Return the numbers of webhooks."""

    def read(view: "QueueView") -> Mapping[str, str]:
        return {str(each.id): each.wanted.url for each in view.outbox.endpoints()}

    return _items(_of_store(ctx, read), incomplete)


def complete_keys(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> Items:
    """Return the settings keys, dotted, and the tables that they are in; of names those in the file."""
    from relayd.config.model import DEFAULTS  # noqa: PLC0415 -- brings pydantic

    def read() -> list[str]:
        from relayd.cli.context import named_settings_file_of  # noqa: PLC0415
        from relayd.config.load import read as read_file  # noqa: PLC0415
        from relayd.config.peek import DEFAULT_SETTINGS  # noqa: PLC0415
        from relayd.config.values import names_in  # noqa: PLC0415

        data = read_file(named_settings_file_of(ctx) or DEFAULT_SETTINGS)[1]
        return [name for name in names_in(data) if '"' not in name]  # which a shell would take away

    written = _in_time(read, list[str]())
    names = dict.fromkeys([*DEFAULTS, *written])
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_commands(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return the commands below those that are given."""
    command: click.Command | None = ctx.find_root().command
    for word in ctx.params.get(param.name or "") or ():
        command = command.get_command(ctx, word) if isinstance(command, click.Group) else None
    if not isinstance(command, click.Group):
        return []
    below = {name: command.get_command(ctx, name) for name in command.list_commands(ctx)}
    told = {name: one.get_short_help_str() for name, one in below.items() if one and not one.hidden}
    return _items(told, incomplete)


def _items(told: Mapping[str, str], start: str) -> Items:
    from relayd.cli.output import printable  # noqa: PLC0415

    return [
        CompletionItem(name, help=printable(says))
        for name, says in told.items()
        if name.startswith(start)
    ]


def _id_text(given: object) -> str:
    """Return a queue id that was read from the line, as it is offered."""
    from relayd.mail.ids import format_id  # noqa: PLC0415

    return format_id(given) if isinstance(given, int) else str(given)


def _of_store(
    ctx: click.Context, read: Callable[["QueueView"], Mapping[str, str]]
) -> Mapping[str, str]:
    """Return what `read` finds in the store of the settings; nothing if that fails or takes too long."""

    def find() -> Mapping[str, str]:
        from relayd.cli.context import named_settings_file_of  # noqa: PLC0415
        from relayd.config.peek import find_store  # noqa: PLC0415
        from relayd.store import open_view  # noqa: PLC0415

        url = find_store(named_settings_file_of(ctx))
        if url is None:
            return {}
        with closing(open_view(url)) as view:
            return read(view)

    return _in_time(find, {})


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

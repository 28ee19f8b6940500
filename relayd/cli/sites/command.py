"""`relayd sites`: how fast each receiver is given mail directly, and why. For one site: `show`; `free` forgets it.

The list is read from the store; changes go through the daemon's control socket.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from relayd.answers.sites import FIELDS, fallback_fields, fields, instant_of, not_free, until_of
from relayd.cli.ages import Times, times_for
from relayd.cli.asked_daemon import daemon_socket
from relayd.cli.completing import complete_sites, sites_with_mode
from relayd.cli.context import NoSuch, json_option, now, open_view, settings_option
from relayd.cli.filters import TEXT
from relayd.cli.group import Group, options_given
from relayd.cli.output import Form, printable, say_empty, show_fields, show_json, show_table
from relayd.cli.row_options import takes_row_options
from relayd.cli.table import Column, TableOptions
from relayd.cli.table_options import takes_table_options
from relayd.ports.sites import Fallback, KnownSite

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COLUMNS = (
    Column(title="SITE", least=12),
    Column(title="FROM", goes=3, least=9),
    Column(title="MODE", whole=True),
    Column(title="SINCE", whole=True, goes=4),
    Column(title="UNTIL", whole=True),
    Column(title="A-MINUTE", whole=True, right=True, goes=2),
    Column(title="REPLY", goes=1, least=12),
)


class _SitesGroup(Group):
    """Takes a SITE for `show SITE`."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        found = super().shell_complete(ctx, incomplete)
        return found if incomplete.startswith("-") else [*found, *sites_with_mode(ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_SitesGroup, invoke_without_command=True)
@takes_row_options
@takes_table_options(_COLUMNS)
@settings_option()
@click.pass_context
def sites(ctx: click.Context, *, form: Form, table: TableOptions) -> int:
    """Show the receivers that are not given all mail at once: how, until when, and their words.

    A site is what a receiver counts as one: a provider, or mail hosts with one parent name. One that
    is not listed is free. `relayd sites SITE` shows one, and the domains whose mail goes another way.
    """
    if ctx.invoked_subcommand is not None:
        if not {"--json", "--utc"}.issuperset(options_given(ctx)):
            raise click.UsageError("A site needs no option but --json and --utc.")
        return 1
    with open_view() as view:
        found = not_free(view.sites.sites(), now())
    if form is Form.TABLE:
        times = times_for(table)
        show_table(_COLUMNS, (_cells(each, times) for each in found), table=table)
    else:
        show_fields((fields(each, now()) for each in found), FIELDS, form)
    if not found:
        say_empty("every site is free")
    return len(found)


@sites.command()
@click.argument("site", type=TEXT, shell_complete=complete_sites)
@json_option
@settings_option()
def show(*, site: str, as_json: bool) -> None:
    """Show one site: how it is treated by each address of ours, and whose mail goes another way."""
    at = now()
    with open_view() as view:
        known = [each for each in not_free(view.sites.sites(), at) if each.key.site == site]
        diverted = [
            each
            for each in view.sites.fallbacks()
            if each.site == site and each.until > at.timestamp()
        ]
    if as_json:
        rows = [dict(fields(each, at)) for each in known]
        show_json({"site": site, "sources": rows, "fallbacks": [*map(fallback_fields, diverted)]})
        return
    for line in _in_words(site, known, diverted, at):
        click.echo(printable(line))


@sites.command()
@click.argument("site", type=TEXT, shell_complete=complete_sites)
@json_option
@settings_option()
def free(*, site: str, as_json: bool) -> None:
    """Forget what a site said of us, so that it is given mail as one that is new.

    Its mail that went by the smarthost meanwhile goes directly again.
    """
    from relayd.control import client  # noqa: PLC0415 -- the list needs none of it

    freed = client.free_site(daemon_socket(), site)
    if not freed.sites and not freed.domains:
        raise NoSuch(f"nothing is known of a site {site} (see relayd sites)")
    if as_json:
        show_json({"site": site, "sources": [*freed.sites], "domains": [*freed.domains]})
        return
    for each in freed.sites:
        source = f" from {each['local_ip']}" if each.get("local_ip") else ""
        click.echo(printable(f"freed {site}{source}, which was {each.get('mode')}"))
    for domain in freed.domains:
        click.echo(printable(f"mail to {domain} goes directly again"))


def _cells(known: KnownSite, times: Times) -> Sequence[str]:
    told = fields(known, now())
    rate = told["messages_per_minute"]
    return (
        known.key.site,
        known.key.source or "any",
        str(told["mode"]),
        times.past(instant_of(known.state.since)),
        times.coming(until_of(known, now())),
        "" if rate is None else f"{rate:g}",
        known.state.reply,
    )


def _in_words(
    site: str, known: Sequence[KnownSite], diverted: Sequence[Fallback], at: datetime
) -> Iterator[str]:
    """Give a line for each address of ours, and for each domain whose mail goes another way."""
    yield site
    if not known:
        yield "  free: nothing that it said speaks against more mail"
    for each in known:
        told = fields(each, at)
        words = [str(told["mode"])]
        if told["messages_per_minute"] is not None:
            words.append(f"at most {told['messages_per_minute']} messages a minute")
        if told["until"]:
            words.append(f"nothing before {told['until']}")
        yield f"  from {each.key.source or 'any address of ours'}: {', '.join(words)}"
        if each.state.reply:
            yield f"    it said: {each.state.reply}"
    for fallback in diverted:
        until = fallback_fields(fallback)["until"]
        yield f"  mail to {fallback.domain} goes by the smarthost until {until}: {fallback.reply}"

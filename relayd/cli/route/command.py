"""`relayd route`: where mail to an address would go, and why.

Asks the functions and the resolver that delivery asks, and the queue about the destination.
Connects to no mail server and needs no daemon. `fields` finds, `words` puts it into words.
"""

import os
from collections.abc import Sequence

import click

from relayd.cli.context import json_option, load_settings, settings_option
from relayd.cli.filters import ADDRESS, TEXT, WholeAddress
from relayd.cli.output import show_json
from relayd.cli.route.fields import explain
from relayd.cli.route.words import in_words
from relayd.mail.address import Address, PathError, parse_address
from relayd.policy.delivery.route import RouteFacts
from relayd.policy.intake.aliases import Aliases
from relayd.worker.names import aliases_here

_EXIT_STATUS = {
    "deliverable": os.EX_OK,
    "bounced": 1,
    "deferred": os.EX_TEMPFAIL,
    "held": os.EX_TEMPFAIL,
}
_SENDER = WholeAddress("Name one sender: --sender A", may_be_null=True)
_WORST_FIRST = (1, os.EX_TEMPFAIL, os.EX_OK)


@click.command()
@click.argument("address", type=ADDRESS)
@click.option("--sender", type=_SENDER, help="For mail of this reverse-path; '<>' is the null one.")
@click.option("--user", type=TEXT, help="For mail of a client that logged in under this name.")
@click.option("--listener", type=TEXT, help="For mail that this address of the settings took.")
@click.option("--test", "is_test", is_flag=True, help="For a test mail (X-Relayd-Test: yes).")
@json_option
@settings_option()
@click.pass_context
def route(
    ctx: click.Context,
    *,
    address: str,
    sender: str | None,
    user: str | None,
    listener: str | None,
    is_test: bool,
    as_json: bool,
) -> None:
    """Explain where mail to ADDRESS would go, and why it goes there or waits.

    Makes the look-ups of a delivery, but connects to no mail server. The exit status is 0 if
    nothing that was found prevents delivery, 1 if the mail would bounce, and 75 if it would wait: the
    DNS gives no answer, a rule holds it, or it is paused. Of the addresses of an alias, such as root, each is
    explained, and the worst counts.
    """
    settings = load_settings()
    known = [each.address for each in settings.listeners]
    if listener is not None and listener not in known:
        raise click.UsageError(f"{listener!r} is no listener of the settings: {', '.join(known)}")
    facts = RouteFacts(sender=sender, user=user, listener=listener or "", is_test=is_test)
    found = aliases_here(settings)
    wanted, alias = _wanted(address, found)
    statuses = set()
    for target in wanted:
        way, fields = explain(target, settings, facts, alias=alias)
        statuses.add(_EXIT_STATUS[str(fields["verdict"])])
        if as_json:
            show_json(fields)
        else:
            for line in in_words(fields, way):
                click.echo(line)
    ctx.exit(next(each for each in _WORST_FIRST if each in statuses))


def _wanted(text: str, aliases: Aliases | None) -> tuple[Sequence[Address], str | None]:
    """Return the addresses that get mail to `text`, and the alias that says so. Raises UsageError."""
    try:
        address = parse_address(
            text if "@" in text or aliases is None else f"{text}@{aliases.fqdn}"
        )
    except PathError as wrong:
        raise click.UsageError(f"{text!r} is no address: {wrong}") from None
    targets = () if aliases is None else aliases.targets(address)
    if aliases is not None and targets:
        return targets, aliases.entry_of(address)
    if "@" not in text:
        raise click.UsageError(f"{text!r} is no address, and no name in [aliases]")
    return [address], None

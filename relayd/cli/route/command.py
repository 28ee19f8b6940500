"""`relayd route`: where mail to an address would go, and why.

Asks the functions and the resolver that delivery asks, and the queue about the destination.
Connects to no mail server and needs no daemon. `fields` finds, `words` puts it into words.
"""

import os

import click

from relayd.cli.context import json_option, load_settings, settings_option
from relayd.cli.filters import ADDRESS
from relayd.cli.output import show_json
from relayd.cli.route.fields import explain
from relayd.cli.route.words import in_words
from relayd.mail.address import PathError, parse_address

_EXIT_STATUS = {
    "deliverable": os.EX_OK,
    "bounced": 1,
    "deferred": os.EX_TEMPFAIL,
    "held": os.EX_TEMPFAIL,
}


@click.command()
@click.argument("address", type=ADDRESS)
@click.option("--test", "is_test", is_flag=True, help="For a test mail (X-Relayd-Test: yes).")
@json_option
@settings_option()
@click.pass_context
def route(ctx: click.Context, *, address: str, is_test: bool, as_json: bool) -> None:
    """Explain where mail to ADDRESS would go, and why it goes there or waits.

    Makes the look-ups of a delivery, but connects to no mail server. The exit status is 0 if
    nothing that was found prevents delivery, 1 if the mail would bounce, and 75 if it would wait: the
    DNS gives no answer, or a rule holds it.
    """
    try:
        wanted = parse_address(address)
    except PathError as wrong:
        raise click.UsageError(f"{address!r} is no address: {wrong}") from None
    settings = load_settings()
    way, fields = explain(wanted, settings, is_test=is_test)
    if as_json:
        show_json(fields)
    else:
        for line in in_words(fields, way):
            click.echo(line)
    ctx.exit(_EXIT_STATUS[str(fields["verdict"])])

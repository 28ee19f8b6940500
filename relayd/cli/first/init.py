"""`relayd init`: three questions, and a relay that works."""

import click

from relayd.cli.context import settings_file, settings_option


@click.command()
@click.option("--fqdn", metavar="NAME", help="The name of this machine in the DNS.")
@click.option("--smarthost", metavar="HOST[:PORT]", help="The server that sends our mail on.")
@click.option(
    "--direct", is_flag=True, help="No smarthost: mail goes to the recipients' own servers."
)
@click.option("--username", metavar="NAME", help="Log in to the smarthost under this name.")
@click.option(
    "--password-file", metavar="FILE", help="A file with the password; - for standard input."
)
@click.option("--untested", is_flag=True, help="Do not ask the smarthost, nor the DNS.")
@click.option("--unit", is_flag=True, help="Install the unit of systemd, and start it.")
@click.option("--test-mail", "to", metavar="ADDRESS", help="Send a test mail there in the end.")
@click.option("--force", is_flag=True, help="Replace settings; the old ones are kept as *.old.")
@settings_option()
@click.pass_context
def init(
    ctx: click.Context,
    /,
    *,
    untested: bool,
    unit: bool,
    to: str | None,
    force: bool,
    **told: str | None,
) -> None:
    """Write the first settings: asks for a name, where mail goes, and a login, and tries them.

    Without a terminal the options have to say it. Nothing is written before the smarthost was
    reached with TLS and took the login. Settings that are there stay, unless --force is given.
    """
    from relayd.cli.first.asking import Told  # noqa: PLC0415 -- brings pydantic, as does the next
    from relayd.cli.first.beginning import Beginning, begin  # noqa: PLC0415

    wanted = Beginning(path=settings_file(), untested=untested, unit=unit, to=to, force=force)
    ctx.exit(begin(Told(**told), wanted))  # type: ignore[arg-type]  # the options above

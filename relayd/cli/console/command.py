"""`relayd console`: the process that shows pages, and the group of commands about who may use them."""

import click

from relayd.cli.console.audit import audit
from relayd.cli.console.deliveries import deliveries, replay, send_test
from relayd.cli.console.key import key
from relayd.cli.console.sessions import sessions
from relayd.cli.console.user import user
from relayd.cli.console.webhook import webhook
from relayd.cli.context import settings_option
from relayd.cli.group import Group


@click.group(cls=Group, invoke_without_command=True)
@settings_option()
@click.pass_context
def console(ctx: click.Context) -> None:
    """Show pages to browsers, in the foreground; and manage who may use the console and its API.

    The pages tell what became of mail and what waits, and have the daemon act on it. While the daemon is stopped,
    they still show what the queue has. SIGTERM ends them. The first account is made by root:
    `relayd console user add NAME --role admin`.
    """
    if ctx.invoked_subcommand is None:
        from relayd.cli.console import serving  # noqa: PLC0415

        serving.run()


console.add_command(user)
console.add_command(key)
console.add_command(sessions)
console.add_command(audit)
console.add_command(webhook)
for each in (send_test, replay, deliveries):
    webhook.add_command(each)

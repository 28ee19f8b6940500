"""`relayd dkim keygen|dns|rotate`: make the keys of DKIM, see that the DNS has them, replace them."""

import click

from relayd.cli.config.dkim_dns import dns
from relayd.cli.config.dkim_keygen import keygen
from relayd.cli.config.dkim_rotate import rotate
from relayd.cli.context import settings_option
from relayd.cli.group import Group


@click.group(cls=Group)
@settings_option()
def dkim() -> None:
    """Make the keys that mail is signed with, compare them with the DNS, replace them."""


dkim.add_command(keygen)
dkim.add_command(dns)
dkim.add_command(rotate)

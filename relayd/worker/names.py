"""The names of this machine, and where their mail goes: for what comes in, for reports, and for `relayd route`."""

from socket import gethostname

from relayd.policy.intake.aliases import Aliases, aliases_of
from relayd.settings import Settings


def aliases_here(settings: Settings) -> Aliases | None:
    """Return the aliases of this machine; None: there are none."""
    return aliases_of(
        settings.aliases,
        fqdn=settings.fqdn,
        host_name=gethostname(),
        verp_domain=settings.bounces.verp_domain,
    )

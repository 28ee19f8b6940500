"""Whether DNSSEC can be believed with these settings, told before anything is asked."""

from relayd.net.dns.lookup import trusts
from relayd.net.dns.system import system_nameservers
from relayd.policy.tls.ladder import TlsMode
from relayd.settings import Settings


def why_no_dane(settings: Settings) -> str | None:
    """Return why DANE is off though nobody switched it off; None: it is on, or not wanted."""
    direct = settings.direct
    if not direct.dane or direct.tls is TlsMode.OFF or not settings.routes.may_be_direct:
        return None
    asked = settings.dns.nameservers or system_nameservers()
    others = [each.host for each in asked if not trusts(each.host, settings.dns.trusted)]
    if asked and not others:
        return None
    remedy = "run one that checks it on this machine, or name it in dns.trusted"
    if len(others) == len(asked):
        listed = ", ".join(others) or "none"
        return f"DANE is off: no name server is trusted with DNSSEC (asked: {listed}); {remedy}"
    return (
        f"DANE is off whenever {' or '.join(others)} answers, which is not trusted with DNSSEC:"
        " ask trusted name servers alone"
    )

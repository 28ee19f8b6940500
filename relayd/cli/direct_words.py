"""What somebody should know who turns direct mode on, in words."""

from collections.abc import Iterator

from relayd.config import units
from relayd.settings import Settings


def warnings(settings: Settings) -> Iterator[str]:
    """Give a sentence for each risk, as these settings have it."""
    yield "it is slower than the smarthost: every recipient's own servers are looked up and asked"
    yield (
        "the reputation of your address is at risk: what you send is judged, and a bad name"
        " outlives the mail"
    )
    yield f"{_soft_bounces(settings)}; a hard one never"
    if settings.bounces.verp_domain:
        yield (
            "a proxy in front of a mail server may accept what is bounced later: such bounces"
            f" come back to {settings.bounces.verp_domain} and are counted"
        )
    else:
        yield (
            "a proxy in front of a mail server may hide errors until later: without"
            " bounces.verp_domain you will not hear of them"
        )
    yield "test mail still goes by the smarthost, and so does what [routes] sends there"


def preflight(settings: Settings) -> Iterator[str]:
    """Give a line for each thing to look at first: here the quick part of `relayd doctor` goes."""
    yield (
        f"run `relayd doctor`: does {settings.fqdn} lead to this machine and back, do SPF, DKIM and"
        " DMARC name it, is it on a blocklist, is port 25 open outward?"
    )


def _soft_bounces(settings: Settings) -> str:
    waits = [units.format_duration(each) for each in settings.retry.soft_bounce]
    match waits:
        case []:
            return "a soft bounce is never tried again"
        case [wait]:
            return f"a soft bounce is tried once more, after {wait}"
        case _:
            return f"a soft bounce is tried {len(waits)} times more, after {' and '.join(waits)}"

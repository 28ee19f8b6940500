"""What somebody should know who turns direct mode on, or changes the queue, in words."""

from collections.abc import Iterable, Iterator

from relayd.mail.words import format_duration
from relayd.policy.doctor.finding import Finding, Level
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
    yield (
        "test mail still goes by the smarthost, and so does what [routes], [logins], [senders] or a"
        " listener sends there"
    )


def left_behind(url: str) -> str:
    """Say what another `store.url` means for the queue at `url`."""
    return (
        f"what is in {url} stays there: waiting mail, history, pauses and suppressions. Nobody delivers"
        " it until that queue is served again; `relayd move` takes it along"
    )


def found_wrong(findings: Iterable[Finding]) -> Iterator[str]:
    """Give a line for each finding of the quick look that wants something done, and what is left."""
    for each in findings:
        if each.level in (Level.WARN, Level.FAIL):
            yield f"{each.level}, {each.check}: {each.reason}; {each.remedy}".removesuffix("; ")
    yield (
        "run `relayd doctor` for the rest: do SPF, DKIM and DMARC name this machine, is it on a"
        " blocklist, is port 25 open outward?"
    )


def _soft_bounces(settings: Settings) -> str:
    waits = [format_duration(each) for each in settings.retry.soft_bounce]
    match waits:
        case []:
            return "a soft bounce is never tried again"
        case [wait]:
            return f"a soft bounce is tried once more, after {wait}"
        case _:
            return f"a soft bounce is tried {len(waits)} times more, after {' and '.join(waits)}"

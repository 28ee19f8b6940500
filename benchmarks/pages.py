"""What of the console is asked for on a history of `benchmarks.history`: every page, and filters alone and in pairs."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from urllib.parse import urlencode

NOBODY = "nobody-has-this.test"

# Values of each filter of Messages: of much mail, of little, of none.
FILTERS: Mapping[str, Sequence[str]] = {
    "recipient": ("alerts@big.test", f"x@{NOBODY}"),
    "domain": ("big.test", "d77.test", NOBODY),
    "sender": ("app@app.test", "shop@app.test", "user77@staff.test", f"x@{NOBODY}"),
    "message_id": ("<77@app.test>",),
    "tag": ("newsletter", "batch 30", NOBODY),
    "status": ("queued", "deferred", "held", "relayed", "sent", "bounced", "dropped"),
    "bounce_class": ("hard", "block", "soft"),
    "category": ("bad_mailbox", "virus", "greylist", "expired"),
    "user": ("shop", "user77", NOBODY),
    "client": (
        "127.0.0.1",
        "10.1.7.9",
        "10.1.7.0/24",
        "10.1.0.0/16",
        "10.0.0.0/8",
        "2001:db8::/32",
        "203.0.113.0/24",
    ),
    "destination": ("smarthost", "trade.test", "10.0.0.5", NOBODY),
    "possible_duplicate": ("1",),
    "unfinished": ("1",),
    "since": ("1h", "24h", "7d", "30d", "90d"),
    "until": ("60d",),
}
_LISTED = ("bounced", "all", "suppressed")
_SPANS = ("24h", "7d", "30d", "90d")
_KEYS = ("smarthost", "mx:trade.test", "mx:s7.test", "host:10.0.0.5:25", f"mx:{NOBODY}", "hold")
_AUDIT: Mapping[str, Sequence[str]] = {
    "by": ("user 7", NOBODY),
    "action": ("hold", NOBODY),
    "target": ("target 77", NOBODY),
    "since": ("24h", "30d"),
    "until": ("30d",),
}


def every_question(place: str, webhook: int) -> Iterator[tuple[str, str]]:
    """Yield the name of a page, and a path of it. `place`: where a later page of Messages begins."""
    for span in ("24h", "7d", "90d"):
        yield "/", f"/?since={span}"
    yield from _of_messages(place)
    yield from _of_addresses()
    yield "/destinations", "/destinations"
    for key in _KEYS:
        yield "/destinations/KEY", f"/destinations/{key}"
    for by in ("category", "domain", "sender"):
        for span in _SPANS:
            yield f"/bounces by {by}", f"/bounces?by={by}&since={span}"
    for count in range(3):
        for given in _chosen(_AUDIT, count):
            yield "/audit", f"/audit?{urlencode(given)}"
            yield "/audit, later", f"/audit?{urlencode({**given, 'before': '50000'})}"
    for shown in ("", "failed", "waiting"):
        yield "/webhooks/ID", f"/webhooks/{webhook}?show={shown}"
        yield "/webhooks/ID, later", f"/webhooks/{webhook}?show={shown}&before=1000000"
    for page in ("webhooks", "users", "keys", "doctor", "test-mail", "settings"):
        yield f"/{page}", f"/{page}"


def _of_messages(place: str) -> Iterator[tuple[str, str]]:
    for count, name in enumerate(("", ", one filter", ", two filters")):
        for given in _chosen(FILTERS, count):
            yield f"/messages{name}", f"/messages?{urlencode(given)}"
            later = {**given, "before": place}
            yield f"/messages{name}, later", f"/messages?{urlencode(later)}"
    for text in ("", "app@app.test", f"x@{NOBODY}", "big.test", "<77@app.test>"):
        yield "/messages, search", f"/messages?{urlencode({'q': text})}"


def _of_addresses() -> Iterator[tuple[str, str]]:
    for shown in _LISTED:
        for text in ("", "big.test", "d77.test", NOBODY, "alerts@big.test", f"x@{NOBODY}"):
            for limit in ("50", "500"):
                asked = {"q": text, "show": shown, "limit": limit}
                yield f"/addresses, {limit}", f"/addresses?{urlencode(asked)}"
    for address in ("alerts@big.test", "alerts@d77.test", f"x@{NOBODY}"):
        yield "/addresses/A", f"/addresses/{address}"


def _chosen(filters: Mapping[str, Sequence[str]], count: int) -> Iterator[dict[str, str]]:
    """Yield a value for each of so many filters, in all ways."""
    values = [(name, value) for name, of_name in filters.items() for value in of_name]
    for given in combinations(values, count):
        if len(dict(given)) == count:
            yield dict(given)

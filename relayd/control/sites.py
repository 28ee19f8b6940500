"""The verb `free_site` in the messages of the control socket.

    {"verb": "free_site", "site": "google"}

It answers with `sites`: what was known of the site until then, by each address of ours.
"""

from collections.abc import Sequence
from datetime import datetime

from relayd.answers.sites import fields
from relayd.control.protocol import BadMessage, Message
from relayd.ports.sites import KnownSite

_LONGEST = 1000  # characters; no site has so long a name


def free_to_json(site: str) -> Message:
    return {"verb": "free_site", "site": site}


def free_from_json(message: Message) -> str:
    """Read a `free_site` request: the site. Raises BadMessage."""
    if unknown := message.keys() - {"verb", "site"}:
        raise BadMessage(f"unknown key {min(unknown)!r}")
    site = message.get("site")
    if not isinstance(site, str) or not 0 < len(site) <= _LONGEST:
        raise BadMessage("'site' is not the name of a site")
    return site


def freed_to_json(known: Sequence[KnownSite], now: datetime) -> Message:
    return {"ok": True, "sites": [dict(fields(each, now)) for each in known]}


def freed_from_json(message: Message) -> list[dict[str, object]]:
    """Read the answer. Raises BadMessage."""
    sites = message.get("sites")
    if not isinstance(sites, list) or not all(isinstance(each, dict) for each in sites):
        raise BadMessage("no list of sites")
    return sites

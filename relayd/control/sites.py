"""The verb `free_site` in the messages of the control socket.

    {"verb": "free_site", "site": "google"}

It answers with `sites`: what was known of the site until then, by each address of ours; and with `domains`: those whose mail
went another way because of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Freed:
    """What is forgotten."""

    sites: Sequence[Mapping[str, object]]  # as `relayd.answers.sites.fields`
    domains: Sequence[str]  # whose mail goes directly again


def freed_to_json(known: Sequence[KnownSite], domains: Sequence[str], now: datetime) -> Message:
    sites = [dict(fields(each, now)) for each in known]
    return {"ok": True, "sites": sites, "domains": [*domains]}


def freed_from_json(message: Message) -> Freed:
    """Read the answer. Raises BadMessage."""
    sites, domains = message.get("sites"), message.get("domains")
    if not isinstance(sites, list) or not all(isinstance(each, dict) for each in sites):
        raise BadMessage("no list of sites")
    if not isinstance(domains, list) or not all(isinstance(each, str) for each in domains):
        raise BadMessage("no list of domains")
    return Freed(sites, domains)

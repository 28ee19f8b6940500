"""The content checker: what its settings mean to each other, and as one value."""

import itertools
from datetime import timedelta
from ipaddress import ip_address

from relayd.config import units
from relayd.config.mistakes import Report
from relayd.config.model import Content
from relayd.policy.delivery.address_filter import is_listed
from relayd.settings import CheckerKind, ContentRules, ContentSettings, HostPort, WhenDown

LONGEST_TIMEOUT = timedelta(minutes=4)  # a session is given five
_ACTIONS = ("tag", "hold", "refuse")  # each for messages that are worse


def check_content(content: Content, report: Report) -> None:
    """Note what no key shows by itself."""
    if content.rspamd and content.spamd:
        report.add(("content", "spamd"), "not beside content.rspamd: one checker is asked")
    if report.is_sound(("content", "allow_networks")):
        for name in CheckerKind:
            endpoint = _endpoint(content, name)
            if endpoint is not None and not _may_see_mail(endpoint, content):
                report.add(
                    ("content", name.value),
                    "not on this machine: write its network into content.allow_networks,"
                    " for mail goes there in clear text",
                )
    if content.timeout > LONGEST_TIMEOUT:
        report.add(("content", "timeout"), "expected at most 4m: the client waits for its reply")
    if report.is_sound(*(("content", name) for name in (*_ACTIONS, "rspamd", "spamd"))):
        _check_actions(content, report)


def _endpoint(content: Content, kind: CheckerKind) -> HostPort | None:
    if kind is CheckerKind.RSPAMD:
        return units.http_server(content.rspamd) if content.rspamd else None
    return units.next_hop(content.spamd) if content.spamd else None


def _may_see_mail(endpoint: HostPort, content: Content) -> bool:
    """Judge an address; what a name leads to is judged when it is connected to."""
    if units.is_loopback(endpoint.host):
        return True
    try:
        return is_listed(ip_address(endpoint.host), content.allow_networks)
    except ValueError:
        return bool(content.allow_networks)


def _check_actions(content: Content, report: Report) -> None:
    scores = [(name, getattr(content, name)) for name in _ACTIONS]
    scores = [(name, score) for name, score in scores if score != "off"]
    if scores and not content.rspamd and not content.spamd:
        report.add(("content", scores[0][0]), "needs content.rspamd or content.spamd")
    for (lesser, low), (name, high) in itertools.pairwise(scores):
        if high <= low:
            report.add(("content", name), f"expected more than content.{lesser}, which is {low:g}")
    if content.when_down is not WhenDown.ACCEPT and not scores:
        report.add(
            ("content", "when_down"), "needs content.tag, hold or refuse: else no mail is checked"
        )


def content_settings(content: Content) -> ContentSettings | None:
    """Return the settings of the checker, if there is one."""
    kind = CheckerKind.RSPAMD if content.rspamd else CheckerKind.SPAMD
    endpoint = _endpoint(content, kind)
    if endpoint is None:
        return None
    return ContentSettings(
        kind=kind,
        endpoint=endpoint,
        allow_networks=tuple(content.allow_networks),
        timeout=content.timeout,
        rules=ContentRules(
            tag=_threshold(content.tag),
            hold=_threshold(content.hold),
            refuse=_threshold(content.refuse),
            when_down=content.when_down,
            size_limit=content.size_limit,
        ),
    )


def _threshold(score: float | str) -> float | None:
    return None if isinstance(score, str) else score

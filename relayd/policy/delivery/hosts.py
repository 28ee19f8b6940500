"""Decide what follows when no host of a destination could be used.

Owns which of the failures the recipients are judged by, and whether the destination is left alone for
a while. Leaves to `relayd.policy.delivery.verdict` what becomes of a recipient.

A host that deals with nobody (`at_door`) says something of itself. One that let us in, and failed
then, says more of the message: the others may have better luck, and the destination goes on.

Sources: RFC 5321 §5.1 (all hosts are tried); RFC 7504 (521 and 556: no mail here).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from relayd.policy.delivery.route import HostPort
from relayd.policy.delivery.verdict import NO_MAIL_HERE


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedHost:
    """What is known of a host that could not be used."""

    host: HostPort
    at_door: bool  # it takes nothing from us; False: what we brought may be to blame
    is_direct: bool  # a mail host of the domain; False: one that the settings name
    code: int | None = None  # of the reply that ended the session
    login_refused: bool = False
    lacks: bool = False  # it is up, and does not offer what the message needs
    wants_login: bool = False  # at MAIL, where another one before it has put the mail off
    is_proof: bool = False  # the DNS proves that there is nowhere to deliver to


@dataclass(frozen=True, slots=True, kw_only=True)
class NoHostDecision:
    """What follows."""

    deciding: int  # index of the failure that the recipients are judged by
    closes: bool  # the destination is left alone: waiting may help, and nobody need be spared
    login_refused: bool  # why, if it is our login
    all_hosts_refuse: bool  # each says that it takes no mail at all
    other_host_may_take_it: bool  # the deciding one lacks something that another one may have


def decide_no_host(
    failed: Sequence[FailedHost], *, all_asked: bool, has_others: bool
) -> NoHostDecision:
    """Judge an attempt in which no host could be used; `failed` is not empty, the latest is last.

    `all_asked`: there is no host besides these. `has_others`: the destination has other connections
    open, so that a server that turns one away (421) only has one too many of ours.
    """
    is_down = all(each.at_door for each in failed)
    all_hosts_refuse = all_asked and all(
        each.is_direct and each.code in NO_MAIL_HERE for each in failed
    )
    is_over_quota = has_others and turned_away(failed)
    deciding = _deciding(failed, is_down=is_down)
    return NoHostDecision(
        deciding=deciding,
        closes=is_down and not (failed[-1].is_proof or all_hosts_refuse or is_over_quota),
        login_refused=is_down and any(each.login_refused for each in failed),
        all_hosts_refuse=all_hosts_refuse,
        other_host_may_take_it=failed[deciding].lacks and not (all_asked and _all_lack(failed)),
    )


def turned_away(failed: Sequence[FailedHost]) -> bool:
    """Tell whether all of them are up, and only have too many clients (421, RFC 5321 §3.8)."""
    return all(each.code == 421 for each in failed)


def _deciding(failed: Sequence[FailedHost], *, is_down: bool) -> int:
    """Return who decides: the last that refused our login, or that let us in; else the last.

    Of those that let us in, not one that wants a login: that says nothing of this mail (S-53).
    """
    decides = [
        each.login_refused if is_down else not (each.at_door or each.wants_login) for each in failed
    ]
    return max((index for index, it_does in enumerate(decides) if it_does), default=len(failed) - 1)


def _all_lack(failed: Sequence[FailedHost]) -> bool:
    """Tell whether each host lacks it, whichever of its addresses said so."""
    lacking = {each.host for each in failed if each.lacks}
    return all(each.host in lacking for each in failed)

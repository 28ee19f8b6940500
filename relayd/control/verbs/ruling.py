"""Verbs that decide about mail to come: suppressed addresses, what is paused, sites that said something of us."""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from relayd.answers.pauses import fields
from relayd.control.pauses import pauses_to_json, resume_from_json, rules_from_json
from relayd.control.protocol import Message
from relayd.control.sites import free_from_json, freed_to_json
from relayd.control.suppress import suppress_from_json, unsuppress_from_json
from relayd.control.verbs.verb import Asked, Verb
from relayd.mail.pause import PauseRule
from relayd.policy.console.access import Rule
from relayd.policy.console.roles import Scope

_log = structlog.get_logger(__name__)


async def suppress(asked: Asked) -> Message:
    wanted = suppress_from_json(asked.request)
    new = await asked.context.store.suppress(wanted, by=asked.by)
    if any(new):
        first = next(each.address for each, is_new in zip(wanted, new, strict=True) if is_new)
        _log.info("suppressed", rcpt=first, addresses=sum(new), by=asked.by)
    return {"ok": True, "suppressed": list(new)}


async def unsuppress(asked: Asked) -> Message:
    address = unsuppress_from_json(asked.request)
    changed = await asked.context.store.unsuppress(address)
    if changed:
        _log.info("unsuppressed", rcpt=address, by=asked.by)
    return {"ok": True, "unsuppressed": changed}


async def pause(asked: Asked) -> Message:
    wanted = rules_from_json(asked.request, by=asked.by, at=asked.context.now())
    rules = await asked.context.store.pause(wanted)
    return _changed("paused", rules, asked)


async def resume(asked: Asked) -> Message:
    wanted = resume_from_json(asked.request)
    rules = await asked.context.store.unpause(wanted.rules, wanted.sides)
    return _changed("resumed", rules, asked)


async def free_site(asked: Asked) -> Message:
    """Forget a site; its mail that goes another way because of it goes directly again."""
    site, sites = free_from_json(asked.request), asked.context.store.sites
    freed = await sites.free_site(site)
    now, domains = asked.context.now(), []
    for each in (await sites.site_states()).fallbacks:
        if each.site == site and each.until > now.timestamp():
            await sites.note_fallback(replace(each, until=0.0))
            domains.append(each.domain)
    for known in freed:
        _log.info("site_free", site=site, local_ip=known.key.source or None, by=asked.by)
    asked.context.on_change()
    return freed_to_json(freed, domains, now)


def _changed(event: str, rules: Sequence[PauseRule], asked: Asked) -> Message:
    asked.context.on_pauses()
    for rule in rules:
        told = {**fields(rule), "by": asked.by}
        _log.warning(event, **told)
    return pauses_to_json(rules)


_OPERATES = Rule(scope=Scope.OPERATE)

VERBS = (
    Verb(name="suppress", handle=suppress, is_change=True, rule=_OPERATES, is_noted=True),
    Verb(name="unsuppress", handle=unsuppress, is_change=True, rule=_OPERATES, is_noted=True),
    Verb(name="pause", handle=pause, is_change=True, rule=_OPERATES, is_noted=True),
    Verb(name="free_site", handle=free_site, is_change=True, rule=_OPERATES, is_noted=True),
    Verb(name="resume", handle=resume, is_change=True, rule=_OPERATES, is_noted=True),
)

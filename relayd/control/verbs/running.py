"""Verbs about the daemon that runs: what it is, counts and does, its settings and its store."""

from functools import partial

import structlog

import relayd
from relayd.control.compact import compacted_to_json
from relayd.control.context import Lines
from relayd.control.protocol import (
    DOCTOR_CHECKS,
    BadMessage,
    Message,
    read_text,
    refuse_unknown,
    samples_to_json,
)
from relayd.control.set_keys import deeds_of_set, refused_deed, set_from_json
from relayd.control.verbs.verb import Asked, Verb
from relayd.errors import RelaydError
from relayd.policy.console.access import Rule
from relayd.policy.console.roles import Scope
from relayd.trace.wanted import wanted_from_json

_log = structlog.get_logger(__name__)


async def ping(asked: Asked) -> Message:  # noqa: ARG001 -- as all handlers
    return {"ok": True}


async def status(asked: Asked) -> Message:
    return {"ok": True, "status": dict(asked.context.info())}


async def metrics(asked: Asked) -> Message:
    return samples_to_json(asked.context.samples())


async def settings(asked: Asked) -> Message:
    found = asked.context.settings
    return {
        "ok": True,
        "file": found.file,
        "version": relayd.__version__,
        "settings": dict(found.values),
        "variables": sorted(set(found.variables.values())),
    }


async def reload(asked: Asked) -> Message:
    _log.info("reload_asked", by=asked.by)
    return await asked.context.reload()


async def set_keys(asked: Asked) -> Message:
    wanted = set_from_json(asked.request)
    people = asked.context.store.people
    for deed in deeds_of_set(wanted):
        await people.note(deed, author=asked.author)
        _log.warning("setting_asked", key=deed.target, change=deed.detail, by=asked.by)
    try:
        answer = await asked.context.set_keys(wanted)
    except RelaydError as error:
        answer = {"ok": False, "error": str(error)}
    if answer.get("ok") is not True:
        refused = refused_deed(wanted, str(answer.get("error", "")))
        await people.note(refused, author=asked.author)
        _log.warning("setting_refused", key=refused.target, reason=refused.detail, by=asked.by)
    return answer


async def doctor(asked: Asked) -> Message:
    refuse_unknown(asked.request, {"verb", "checks"})
    checks = read_text("checks", asked.request.get("checks"), str)
    if checks not in DOCTOR_CHECKS:
        raise BadMessage(f"'checks' is none of {', '.join(DOCTOR_CHECKS)}")
    asked.context.doctor(checks, asked.by)
    _log.info("doctor_asked", checks=checks, by=asked.by)
    return {"ok": True}


async def trace(asked: Asked) -> Lines:
    request, wanted = asked.request, wanted_from_json(asked.request)
    if wanted.content:
        asked.require_reader()
    names = {key: request[key] for key in request.keys() - {"verb"}}
    return asked.context.follow(wanted, partial(_log.info, "trace_begun", by=asked.by, **names))


async def compact(asked: Asked) -> Message:
    context = asked.context
    return compacted_to_json(await context.store.compact(context.oldest_kept()))


_SEEN = Rule(scope=Scope.READ, console=True)
_ADMIN = Rule(scope=Scope.ADMIN)

VERBS = (
    Verb(name="ping", handle=ping, is_change=False, rule=_SEEN),
    Verb(name="status", handle=status, is_change=False, rule=_SEEN),
    Verb(name="metrics", handle=metrics, is_change=False, rule=_SEEN),
    Verb(
        name="settings",
        handle=settings,
        is_change=False,
        rule=Rule(scope=Scope.ADMIN, console=True),
    ),
    Verb(name="reload", handle=reload, is_change=False, rule=_ADMIN, is_noted=True),
    Verb(name="set", handle=set_keys, is_change=True, rule=Rule(scope=Scope.ADMIN, group=False)),
    Verb(name="doctor", handle=doctor, is_change=True, rule=_ADMIN, is_noted=True),
    Verb(
        name="trace",
        handle=trace,
        is_change=False,
        rule=Rule(scope=Scope.OPERATE),
        is_noted=True,
    ),
    Verb(name="compact", handle=compact, is_change=True, rule=_ADMIN, is_noted=True),
)

"""Settings: the few keys that the console may change, and all others to be read.

A change has two steps: what it would do, with the warnings of `relayd config set` and a quick look at our name in
the DNS, then Confirm. The daemon carries it out, or keeps what it has and says why.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from starlette.exceptions import HTTPException
from starlette.responses import Response

from relayd.answers.warnings import found_wrong, warnings
from relayd.config.console_change import foresee
from relayd.config.values import RULES, default_of
from relayd.console.asked import Asked
from relayd.console.changed import forget, remember
from relayd.console.pages.entrance import own_path
from relayd.control import client
from relayd.control.set_keys import KeyChanges, Value, set_to_json
from relayd.doctor.context import CheckRequest, context_of
from relayd.doctor.names import check_names
from relayd.errors import DaemonUnreachable, RelaydError, StoreError
from relayd.policy.doctor.finding import Finding
from relayd.settings import Settings

_LOOK_WITHIN = 5.0  # seconds
_SWITCHES = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clock:
    now: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic


async def show(asked: Asked) -> Response:
    return await _page(asked)


async def look(asked: Asked) -> Response:
    """Show what a change would do; nothing is changed."""
    wanted = _wanted(asked)
    if not wanted:
        return await _page(asked, told="Nothing to update: these values count already.")
    file = asked.console.settings.file
    try:
        before = await asyncio.to_thread(asked.console.settings_now.read)
        after = await asyncio.to_thread(foresee, file, wanted)
    except RelaydError as refused:
        return await _page(asked, refused=refused)
    begins = after.routes.use_remote_smtp and not before.routes.use_remote_smtp
    findings, in_time = await _quick_look(asked, after)
    return asked.page(
        "settings_confirm.html",
        wanted=wanted,
        warnings=list(warnings(after)) if begins else [],
        found=list(found_wrong(findings)) if after.routes.use_remote_smtp and in_time else [],
        in_time=in_time,
    )


async def confirm(asked: Asked) -> Response:
    """Have the daemon run with it, and show on every page that it does."""
    wanted = _wanted(asked)
    if not wanted:
        return asked.see("/settings")
    request = set_to_json(wanted)
    ask = partial(client.ask, request=request, timeout=client.RELOAD_TIMEOUT)
    try:
        await asked.change(ask)
    except (DaemonUnreachable, StoreError):
        raise
    except RelaydError as refused:
        return await _page(asked, refused=refused)
    with suppress(
        RelaydError
    ):  # it has begun, and the head of the page is no reason to say otherwise
        await asked.console.naming.renew()
    answer = asked.see("/settings")
    remember(answer, asked.request, wanted)
    return answer


async def dismiss(asked: Asked) -> Response:
    """Take the banner away."""
    answer = asked.see(own_path(asked.text("back")))
    forget(answer)
    return answer


async def _page(asked: Asked, *, told: str = "", refused: RelaydError | None = None) -> Response:
    file = asked.console.settings.file
    settings = await asyncio.to_thread(asked.console.settings_now.read)
    values = dict(settings.values)
    return asked.page(
        "settings.html",
        status=200 if refused is None else 409,
        told=told,
        reasons=str(refused).splitlines() if refused else [],
        may_change=settings.console.may_change,
        seen={name: json.loads(values[name]) for name in ("use_remote_smtp", "fqdn")},
        rows=_rows(settings),
        file=file,
    )


def _rows(settings: Settings) -> Sequence[tuple[str, str, str, str]]:
    """Return name, value, default and source of every key."""
    return [
        (name, text, default_of(name) or "", settings.sources.get(name, "default"))
        for name, text in settings.values
        if not name.startswith(RULES)
    ]


def _wanted(asked: Asked) -> KeyChanges:
    """Return which keys of the form have another value than was seen. Raises HTTPException."""
    found: dict[str, tuple[Value, Value]] = {}
    if "to_use_remote_smtp" in asked.form:
        name = "use_remote_smtp"
        found[name] = _switch(asked, f"to_{name}"), _switch(asked, f"was_{name}")
    if "to_fqdn" in asked.form:
        found["fqdn"] = asked.needed("to_fqdn", "the FQDN"), asked.text("was_fqdn")
    return {name: (to, was) for name, (to, was) in found.items() if to != was}


def _switch(asked: Asked, name: str) -> bool:
    if (word := asked.text(name)) not in _SWITCHES:
        raise HTTPException(400, "use_remote_smtp is true or false")
    return _SWITCHES[word]


async def _quick_look(asked: Asked, settings: Settings) -> tuple[Sequence[Finding], bool]:
    """Return what the DNS says of our name, and whether it did in time."""
    if not settings.routes.use_remote_smtp:
        return (), True
    context = context_of(
        settings, CheckRequest(direct=True, quick=True), _Clock(now=asked.console.now)
    )
    try:
        async with asyncio.timeout(_LOOK_WITHIN):
            return await check_names(context), True
    except TimeoutError:
        return (), False

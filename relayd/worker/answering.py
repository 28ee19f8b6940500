"""What a worker answers while it works: the control socket, and who scrapes its counters."""

import os
import random  # noqa: TID251 -- rests of webhook endpoints are spread
import time
from contextlib import closing
from functools import partial

from relayd.answers.switches import Switches
from relayd.control.context import ControlContext
from relayd.control.log_ins import LogIns
from relayd.control.server import serve_control
from relayd.doctor.saved import saved_path
from relayd.metrics.scrape import Scrape
from relayd.net.oidc import provider_of
from relayd.policy.delivery.route import only_smarthosts
from relayd.policy.pausing import Pausing
from relayd.ports.wakeups import Wakeups
from relayd.settings import Settings
from relayd.store import open_view
from relayd.store.url import is_file, name_of
from relayd.worker import doctor
from relayd.worker.alerts import tells_disabled
from relayd.worker.following import Following
from relayd.worker.housekeeping import oldest_kept
from relayd.worker.inherited import Inherited
from relayd.worker.outward import Outward
from relayd.worker.parts import Parts
from relayd.worker.requeueing import sends_again
from relayd.worker.set_keys import set_keys
from relayd.worker.supervision import Supervision
from relayd.worker.system import SystemClock


async def answer(
    settings: Settings,
    inherited: Inherited,
    parts: Parts,
    outward: Outward,
    supervision: Supervision,
    wakeups: Wakeups,
    following: Following,
) -> None:
    """Serve the control socket."""

    def changed() -> None:
        outward.scheduler.wake()
        wakeups.give()

    def pauses_changed() -> None:
        note_pauses(inherited.pausing)
        outward.scheduler.wake()
        wakeups.give_pauses()

    with closing(LogIns(inherited.console_guesses, parts.clock.monotonic)) as log_ins:
        await serve_control(
            inherited.control,
            ControlContext(
                store=parts.store,
                on_change=changed,
                on_pauses=pauses_changed,
                now=parts.clock.now,
                record=parts.events.acts,
                report=outward.report_given_up,
                send_again=sends_again(parts, settings.routes),
                info=lambda: {"worker": inherited.name, "pid": os.getpid()},
                oldest_kept=oldest_kept(settings.store.history, parts.clock),
                settings=settings,
                reload=supervision.reload,
                set_keys=partial(set_keys, settings.file, reload=supervision.reload),
                told=parts.events.told,
                tell_disabled=tells_disabled(settings, parts),
                jitter=random.random,
                follow=following.follow,
                doctor=partial(doctor.begin, settings),
                log_ins=log_ins,
                samples=inherited.counters.samples,
                identity_provider=provider_of(settings.console.oidc, parts.clock),
            ),
        )


def note_pauses(stamp: "memoryview[int]") -> None:
    """Have every worker of this machine read the pause rules again."""
    # Any number that no worker has seen: two of them may change rules at once.
    stamp[0] = time.monotonic_ns()


def scrape(settings: Settings, inherited: Inherited, pausing: Pausing) -> Scrape:
    url, redirect = settings.store.url, settings.routes.redirect_to
    return Scrape(
        inherited.counters,
        open_view=lambda: open_view(url),
        doctor=saved_path(settings),
        clock=SystemClock(),
        switches=Switches(
            soft_bounce=settings.soft_bounce, redirect="" if redirect is None else str(redirect)
        ),
        pausing=pausing,
        only_ways=only_smarthosts(settings.routes),
        shared_queue="" if is_file(url) else name_of(url),
    )

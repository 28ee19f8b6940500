"""Verbs that change recipients, and those that read or reuse what they were sent."""

from relayd.control.acts import act_from_json, acted_to_json, batch_of, foreseen_to_json
from relayd.control.content import GONE, Parts, content_from_json
from relayd.control.context import Lines
from relayd.control.protocol import BadMessage, Message
from relayd.control.requeue import requeue_from_json, requeued_to_json
from relayd.control.verbs.verb import Asked, Verb
from relayd.policy.console.access import Rule
from relayd.policy.console.roles import Scope
from relayd.policy.delivery.retry import last_retry
from relayd.ports.queue import Acted
from relayd.ports.requeue import Requeue


async def act(asked: Asked) -> Message:
    wanted, context = act_from_json(asked.request), asked.context
    batch = batch_of(dry_run=wanted.dry_run, limit=wanted.limit, before=wanted.before)
    if wanted.dry_run:
        last = last_retry(context.settings.retry)
        return foreseen_to_json(
            await context.store.foresee(
                asked.narrowed(wanted.query), wanted.action, last=last, batch=batch
            )
        )
    acted = await context.store.act(
        asked.narrowed(wanted.query),
        wanted.action,
        by=asked.by,
        reason=wanted.reason,
        report=context.report,
        batch=batch,
    )
    if acted.events:
        context.record(acted)
        context.on_change()
    return acted_to_json(acted)


async def requeue(asked: Asked) -> Message:
    wanted, context = requeue_from_json(asked.request), asked.context
    if context.send_again is None:
        raise BadMessage("this daemon requeues nothing")
    requeued = await context.store.requeue(
        asked.narrowed(wanted.query),
        Requeue(
            by=asked.by,
            reason=wanted.reason,
            send_again=context.send_again,
            again=wanted.again,
            spares_suppressed=context.settings.bounces.refuse_suppressed,
        ),
        batch=batch_of(dry_run=wanted.dry_run, limit=wanted.limit, before=wanted.before),
        dry_run=wanted.dry_run,
    )
    if requeued.events:
        context.record(Acted(events=requeued.events, reports=requeued.messages))
        context.on_change()
    return requeued_to_json(requeued)


async def read(asked: Asked) -> Message | Lines:
    """Give content, once it is on record who reads it."""
    wanted, context = content_from_json(asked.request), asked.context
    asked.require_reader(own=True)
    content = await context.store.read(
        wanted.message_id, by=asked.by, reason=wanted.reason, of=asked.only
    )
    if content is None:
        return GONE
    context.record(Acted(events=content.events))
    return Parts(content.content)


_OPERATES = Rule(scope=Scope.OPERATE, own=True)

VERBS = (
    Verb(name="act", handle=act, is_change=True, rule=_OPERATES, is_noted=True),
    Verb(name="requeue", handle=requeue, is_change=True, rule=_OPERATES, is_noted=True),
    Verb(  # a change, as it leaves an event
        name="content",
        handle=read,
        is_change=True,
        rule=Rule(scope=Scope.CONTENT, own=True),
        is_noted=True,
    ),
)

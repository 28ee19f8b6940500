"""The verbs of the control socket: a module by subject, and the one table of them all.

Owns what a verb does once its request is here, and that it is refused to whom it is not for. Leaves
connections and limits to `relayd.control.server`, and the form of requests and answers to the modules of
`relayd.control` that the client has too.
"""

from collections.abc import Mapping

from relayd.control.behalf import without_behalf
from relayd.control.context import ControlContext, Lines
from relayd.control.deeds import deed_of
from relayd.control.identity import identify
from relayd.control.peer import Peer
from relayd.control.protocol import BadMessage, Message
from relayd.control.verbs import acting, oidc, people, ruling, running, webhooks
from relayd.control.verbs.verb import Asked, Forbidden, Verb
from relayd.policy.console.access import refusal

VERBS = {
    verb.name: verb
    for verb in (
        *acting.VERBS,
        *ruling.VERBS,
        *running.VERBS,
        *people.VERBS,
        *oidc.VERBS,
        *webhooks.VERBS,
    )
}


async def admit(
    message: Mapping[str, object], peer: Peer, context: ControlContext
) -> tuple[Verb, Asked]:
    """Return what a message asks for, once it is known that it may. Raises BadMessage, Forbidden, StoreError."""
    request, behalf = without_behalf(message)
    verb = verb_of(request)
    identity = None
    if behalf is not None:
        identity = await identify(behalf, context.store.people, context.now())
        if identity is None:
            raise Forbidden("the session or the API key is not valid, or no longer: log in again")
    held = None
    if identity is not None:
        held = identity.own_scopes if verb.rule.own else identity.scopes
    if (why := refusal(verb.rule, peer.caller, held)) is not None:
        raise Forbidden(why)
    return verb, Asked(request=request, peer=peer, identity=identity, context=context)


async def answer(verb: Verb, asked: Asked) -> Message | Lines:
    """Answer a request that was admitted; what an account or a key changes is in the audit before."""
    if verb.is_noted and asked.identity is not None and asked.request.get("dry_run") is not True:
        await asked.context.store.people.note(deed_of(asked.request), author=asked.author)
    return await verb.handle(asked)


def verb_of(request: Message) -> Verb:
    """Return what a request asks for. Raises BadMessage if there is no such verb."""
    name = request.get("verb")
    if not isinstance(name, str) or name not in VERBS:
        raise BadMessage(f"unknown verb {name!r}")
    return VERBS[name]

"""The verbs of the control socket: a module by subject, and the one table of them all.

Owns what a verb does once its request is here. Leaves connections and limits to `relayd.control.server`,
and the form of requests and answers to the modules of `relayd.control` that the client has too.
"""

from relayd.control.protocol import BadMessage, Message
from relayd.control.verbs import acting, ruling, running
from relayd.control.verbs.verb import Verb

VERBS = {verb.name: verb for verb in (*acting.VERBS, *ruling.VERBS, *running.VERBS)}


def verb_of(request: Message) -> Verb:
    """Return what a request asks for. Raises BadMessage if there is no such verb."""
    name = request.get("verb")
    if not isinstance(name, str) or name not in VERBS:
        raise BadMessage(f"unknown verb {name!r}")
    return VERBS[name]

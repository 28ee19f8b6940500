"""Verbs about webhooks: whom to tell what, and the deliveries, which the console carries out."""

from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address

import structlog

from relayd.control.protocol import Message
from relayd.control.verbs.verb import Asked, Verb
from relayd.control.webhooks import (
    about_from_json,
    change_from_json,
    claim_from_json,
    claimed_to_json,
    put_from_json,
    replay_from_json,
    replayed_to_json,
    settle_from_json,
)
from relayd.errors import WrongField
from relayd.policy.console.access import Rule
from relayd.policy.console.roles import Scope
from relayd.policy.console.webhook_secret import secret_of
from relayd.policy.console.webhook_url import read_url
from relayd.policy.delivery.address_filter import AddressVerdict, in_words, vet_address
from relayd.ports.outbox import EndpointId, Outgoing

_LEASE_FOR = timedelta(seconds=60)  # a try takes 10 s at most
_ADMIN = Rule(scope=Scope.ADMIN, group=False)
_CONSOLE = Rule(scope=None, group=False, console=True, account=False)

_log = structlog.get_logger(__name__)


async def put(asked: Asked) -> Message:
    wanted, endpoint = put_from_json(asked.request)
    _check_url(wanted.url, asked)
    outbox = asked.context.store.outbox
    known = await outbox.put_endpoint(wanted, endpoint, author=asked.author)
    if known is None:
        return {"ok": True, "done": False}
    if endpoint is not None:
        _log.info("webhook_changed", webhook=known, by=asked.by)
        return {"ok": True, "done": True, "endpoint": known}
    _log.info("webhook_added", webhook=known, by=asked.by)
    secret = secret_of(known, 1, key=await asked.context.store.secret())
    return {"ok": True, "done": True, "endpoint": known, "secret": secret}


async def change(asked: Asked) -> Message:
    wanted, endpoint = change_from_json(asked.request)
    if wanted.url is not None:
        _check_url(wanted.url, asked)
    outbox = asked.context.store.outbox
    done = await outbox.change_endpoint(endpoint, wanted, author=asked.author)
    if done:
        _log.info("webhook_changed", webhook=endpoint, by=asked.by)
    return {"ok": True, "done": done}


def _check_url(text: str, asked: Asked) -> None:
    """Refuse a URL that is never asked. Who a name leads to is judged when it is."""
    rules = asked.context.settings.webhooks
    try:
        url = read_url(text, rules.url_rules)
    except ValueError as exc:
        raise WrongField("url", f"the URL {exc}") from exc
    if isinstance(url.host, IPv4Address | IPv6Address):
        verdict = vet_address(url.host, allowed=rules.allow_networks)
        if verdict is not AddressVerdict.USABLE:
            words = f"the URL has the address {in_words(url.host)}, which is {verdict}"
            raise WrongField("url", f"{words}: webhooks.allow_networks makes exceptions")


async def drop(asked: Asked) -> Message:
    endpoint = about_from_json(asked.request)
    done = await asked.context.store.outbox.drop_endpoint(endpoint, author=asked.author)
    if done:
        _log.info("webhook_removed", webhook=endpoint, by=asked.by)
    return {"ok": True, "done": done}


async def rotate(asked: Asked) -> Message:
    endpoint, store = about_from_json(asked.request), asked.context.store
    generation = await store.outbox.rotate(endpoint, author=asked.author)
    if generation is None:
        return {"ok": True, "done": False}
    _log.info("webhook_rotated", webhook=endpoint, by=asked.by)
    secret = secret_of(endpoint, generation, key=await store.secret())
    return {"ok": True, "done": True, "secret": secret}


async def send_test(asked: Asked) -> Message:
    endpoint = about_from_json(asked.request)
    number = await asked.context.store.outbox.send_test(endpoint, author=asked.author)
    if number is None:
        return {"ok": True, "done": False}
    return {"ok": True, "done": True, "delivery": number}


async def replay(asked: Asked) -> Message:
    wanted = replay_from_json(asked.request)
    replayed = await asked.context.store.outbox.replay(wanted, author=asked.author)
    return replayed_to_json(replayed)


async def claim(asked: Asked) -> Message:
    store = asked.context.store
    limit = claim_from_json(asked.request)
    claimed = await store.outbox.claim_deliveries(limit, lease_for=_LEASE_FOR)
    if not claimed:
        return claimed_to_json((), lambda _: ())
    key = await store.secret()

    def secrets_of(each: Outgoing) -> list[str]:
        return [secret_of(each.endpoint, number, key=key) for number in each.generations]

    return claimed_to_json(claimed, secrets_of)


async def settle(asked: Asked) -> Message:
    results = settle_from_json(asked.request)
    settled = await asked.context.store.outbox.settle_deliveries(
        results, jitter=asked.context.jitter(), tell=asked.context.tell_disabled
    )
    asked.context.told(settled)
    if any(each.mail is not None for each in settled):
        asked.context.on_change()
    for each in settled:
        if each.disabled:
            _disabled(each.endpoint, each.disabled)
    return {"ok": True, "settled": len(settled)}


def _disabled(endpoint: EndpointId, reason: str) -> None:
    _log.warning("webhook_disabled", webhook=endpoint, reason=reason, fault="peer")


VERBS = (
    Verb(name="endpoint.put", handle=put, is_change=True, rule=_ADMIN),
    Verb(name="endpoint.change", handle=change, is_change=True, rule=_ADMIN),
    Verb(name="endpoint.drop", handle=drop, is_change=True, rule=_ADMIN),
    Verb(name="endpoint.rotate", handle=rotate, is_change=True, rule=_ADMIN),
    Verb(name="endpoint.test", handle=send_test, is_change=True, rule=_ADMIN),
    Verb(name="deliveries.replay", handle=replay, is_change=True, rule=_ADMIN),
    Verb(name="deliveries.claim", handle=claim, is_change=True, rule=_CONSOLE),
    Verb(name="deliveries.settle", handle=settle, is_change=True, rule=_CONSOLE),
)

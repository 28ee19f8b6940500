"""The same varied history in every store, and questions about it: each filter, and every two of them."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from ipaddress import ip_network
from itertools import combinations
from typing import Any, TypeVar

from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import Outcome, Relayed, Sent
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Query, Status
from tests.support.builders import (
    a_bounce,
    a_deferral,
    a_message,
    a_recipient,
    a_settlement,
)
from tests.support.clock import START
from tests.support.stores import Box
from tests.support.workers import registered

T = TypeVar("T")

_SENDERS = ("app@app.test", "App@App.test", "shop@app.test", "")
_ADDRESSES = ("a@big.test", "A@Big.test", "b@big.test", "c@small.test", "d@big.test.test")
_CLIENTS = ("127.0.0.1", "192.0.2.7", "192.0.3.9", "::ffff:192.0.2.8", "2001:db8::7", "")
_DESTINATIONS = ("smarthost", "smarthost", "mx:big.test", "host:Relay.test:26", "host:[::1]:25")
_OUTCOMES: tuple[Outcome | None, ...] = (
    Relayed(),
    Sent(),
    a_bounce(),
    a_bounce(BounceClass.BLOCK, category=Category.POLICY),
    a_bounce(BounceClass.BLOCK, category=Category.INACTIVE_MAILBOX),
    a_deferral(),
    a_deferral(category=Category.GREYLIST),
    a_deferral(possible_duplicate=True),
    None,
)
_ACTIONS = (None, None, None, Action.HOLD, Action.DROP, Action.BOUNCE)


async def fill(box: Box, *, messages: int) -> None:
    """Put messages into the store, a minute apart, and let something become of each recipient."""
    worker: WorkerNumber = await registered(box.store, "worker")
    for number in range(messages):
        message = a_message(
            *(
                a_recipient(
                    _pick(_ADDRESSES, number, each),
                    destination=_pick(_DESTINATIONS, number, each, "destination"),
                )
                for each in range(_pick((1, 1, 2, 4), number))
            ),
            at=box.clock.now(),
            count=number,
            reverse_path=_pick(_SENDERS, number),
            message_id_header=f"<{number // 2}@app.test>",
            tag=_pick(("news", "News", "batch", None), number, "tag"),
            client_ip=_pick(_CLIENTS, number, "client"),
            auth_user=_pick(("shop", "Shop", "app", None, None), number, "user"),
        )
        works = await box.put(message, worker=worker, leased=True)
        if _pick((True, False), number, "late"):
            box.advance(400)
        for work in works:
            settled = [
                a_settlement(message.id, one.number, outcome, at=box.clock.now())
                for one in work.recipients
                if (outcome := _pick(_OUTCOMES, number, one.number, "outcome")) is not None
            ]
            await box.store.settle(work.lease, settled)
        if (action := _pick(_ACTIONS, number, "action")) is not None:
            await box.store.act(Query(message_id=message.id), action, by="ann", reason="")
        box.advance(60)


def _pick(choices: Sequence[T], *key: object) -> T:
    """Choose what looks like chance and is the same each time."""
    return choices[zlib.crc32(repr(key).encode()) % len(choices)]


FILTERS: Mapping[str, Mapping[str, Any]] = {
    "recipient": {"recipient": ("A@big.test",)},
    "recipient of nobody": {"recipient": ("x@big.test",)},
    "domain": {"domain": ("BIG.test",)},
    "small domain": {"domain": ("small.test",)},
    "sender": {"sender": ("app@APP.test",)},
    "null sender": {"sender": ("",)},
    "header": {"message_id_header": ("7@app.test",)},
    "tag": {"tag": ("NEWS",)},
    "tag of nothing": {"tag": ("x",)},
    **{status.value: {"status": (status,)} for status in Status},
    "hard": {"bounce_class": (BounceClass.HARD,)},
    "block": {"bounce_class": (BounceClass.BLOCK,)},
    "soft": {"bounce_class": (BounceClass.SOFT,)},
    "policy": {"category": (Category.POLICY,)},
    "greylist": {"category": (Category.GREYLIST,)},
    "virus": {"category": (Category.VIRUS,)},
    "user": {"user": ("SHOP",)},
    "client": {"client": (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))},
    "destination": {"destination": ("relay.TEST",)},
    "mx": {"destination": ("big.test", "::1")},
    "duplicate": {"possible_duplicate": True},
    "changed": {"changed_since": START + timedelta(minutes=90)},
    "unfinished": {"unfinished": True},
    "since": {"since": START + timedelta(minutes=20)},
    "until": {"until": START + timedelta(minutes=40)},
}


# Filters with more than one value, and what they are asked together with.
SEVERAL: Mapping[str, Mapping[str, Any]] = {
    "two recipients": {"recipient": ("a@big.test", "c@small.test", "C@small.test")},
    "two domains": {"domain": ("big.test", "BIG.test", "big.test.test")},
    "two senders": {"sender": ("shop@app.test", "")},
    "two headers": {"message_id_header": ("7@app.test", "<9@app.test>", "9@APP.test")},
    "two tags": {"tag": ("news", "NEWS", "batch")},
    "two statuses": {"status": (Status.RELAYED, Status.BOUNCED)},
    "two classes": {"bounce_class": (BounceClass.HARD, BounceClass.SOFT)},
    "two categories": {"category": (Category.POLICY, Category.GREYLIST)},
}
_BESIDE = ("tag", "domain", "null sender", "bounced", "unfinished", "since")


def questions(most: int) -> Iterator[tuple[str, Query]]:
    """Return the question without a filter, and those with one and more, each with a name."""
    alone = [names for count in range(most + 1) for names in combinations(FILTERS, count)]
    several = [(name, *beside) for name in SEVERAL for beside in [(), *zip(_BESIDE, strict=True)]]
    for names in [*alone, *(names for names in several if len(names) <= most)]:
        given = [{**FILTERS, **SEVERAL}[name] for name in names]
        fields = [key for each in given for key in each]
        if len(set(fields)) == len(fields):
            yield " and ".join(names), Query(**{k: v for each in given for k, v in each.items()})

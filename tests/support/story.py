"""A day of mail in a queue, busier at noon than at night, and what people did meanwhile: for pictures.

`write_history` makes the same story each time; it ends now.
"""

import math
import random  # noqa: TID251 -- a story that is the same each time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from relayd.console.server import wall_clock
from relayd.mail.operator import Action
from relayd.mail.outcome import Outcome, Sent
from relayd.mail.suppression import ToSuppress
from relayd.mail.words import BounceClass, Category, JsonValue, format_instant
from relayd.policy.console.roles import Role, Scope
from relayd.ports.outbox import TOLD, DeliveryResult, EndpointId, Heard, Subscription
from relayd.ports.people import Author, Deed
from relayd.ports.queue import QueueStore, Settlement, Work
from relayd.ports.view import Query
from relayd.store import open_store
from tests.support.builders import a_bounce, a_deferral, a_message, a_recipient, a_settlement
from tests.support.clock import FakeClock
from tests.support.people import a_key, an_account
from tests.support.workers import registered

_MAILS = 900
_DAY = timedelta(hours=24)
_LATE = timedelta(hours=1)  # what is refused for now in this time still waits
_SHOP, _NEWS, _BILLS = "shop@app.example", "news@app.example", "invoices@app.example"
FULL = "452 4.2.2 <{rcpt}> The recipient's inbox is full, please try again later"
GREY = "451 4.7.1 Greylisted, see https://greylist.example/help, try again in 5 minutes"
GONE = "550 5.1.1 <{rcpt}>: Recipient address rejected: User unknown in virtual mailbox table"
SPAM = "554 5.7.1 Message refused: it looks like bulk mail. Reference 8C1F-77"
_LISTED = "554 5.7.1 Service unavailable; client host [203.0.113.7] blocked using a DNS blocklist"
_FIRST = (
    "anna",
    "ben",
    "carla",
    "dario",
    "eva",
    "finn",
    "grete",
    "hugo",
    "ines",
    "jonas",
    "karla",
    "lena",
    "mira",
    "nils",
    "olga",
    "paul",
)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a mail, and how often that is so."""

    weight: int
    domain: str
    reply: str = "250 2.0.0 OK queued as 4Xk2Tq1pXz"
    kind: BounceClass | None = None  # how it bounces
    category: Category = Category.BAD_MAILBOX
    who: str = ""  # the local part, if it is always the same


_FATES = (
    Fate(46, "customer.example"),
    Fate(24, "mail.example"),
    Fate(18, "club.example"),
    Fate(9, "partner.example"),
    Fate(3, "mail.example", FULL, who="full"),
    Fate(2, "partner.example", GREY),
    Fate(3, "customer.example", GONE, BounceClass.HARD, who="gone"),
    Fate(2, "mail.example", GONE, BounceClass.HARD),
    Fate(2, "club.example", SPAM, BounceClass.BLOCK, Category.SPAM_CONTENT),
    Fate(1, "partner.example", _LISTED, BounceClass.BLOCK, Category.REPUTATION),
    Fate(1, "mail.example", FULL, BounceClass.SOFT, Category.MAILBOX_FULL, who="full"),
)


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail of the story."""

    fate: Fate
    sender: str
    rcpt: str
    tag: str

    @property
    def reply(self) -> str:
        return self.fate.reply.format(rcpt=self.rcpt)


def mails(chance: random.Random, number: int) -> Iterator[Mail]:
    """Yield so many mails, of all fates."""
    for fate in chance.choices(_FATES, [each.weight for each in _FATES], k=number):
        sender, tag = chance.choice(((_SHOP, "order"), (_BILLS, "invoice"), (_NEWS, "newsletter")))
        if fate.category is Category.SPAM_CONTENT:
            sender, tag = _NEWS, "newsletter"
        yield Mail(fate, sender, f"{fate.who or chance.choice(_FIRST)}@{fate.domain}", tag)


async def write_history(queue: Path) -> None:
    """Fill a new queue."""
    now = wall_clock()
    clock = FakeClock(now - _DAY)
    store = open_store(f"sqlite:{queue}", clock=clock, slots={}, keeps_bounced=True)
    chance = random.Random(1)
    acts = _acts(store)
    every = _MAILS // len(acts)
    moments = _moments(chance, now)
    for count, (at, mail) in enumerate(zip(moments, mails(chance, len(moments)), strict=True)):
        clock.advance(at - clock.now())
        await _deliver(store, mail, count=count, at=at, ends=now, retry_in=chance.randint(2, 50))
        if count % every == every - 1 and acts:
            await acts.pop(0)()
    await store.close()


def _moments(chance: random.Random, now: datetime) -> list[datetime]:
    """When each mail comes: more in the middle of the day, the last a few minutes ago."""
    found: list[datetime] = []
    while len(found) < _MAILS:
        at = now - chance.uniform(300 / 86400, 0.999) * _DAY
        if chance.random() < 0.2 + 0.8 * math.exp(-(((at.hour - 13) / 4.5) ** 2)):
            found.append(at)
    return sorted(found)


async def _deliver(
    store: QueueStore, mail: Mail, *, count: int, at: datetime, ends: datetime, retry_in: int
) -> None:
    """Receive one mail, and settle what is due: it, and what was refused for now before."""
    worker = await registered(store, "worker")
    message = a_message(
        a_recipient(mail.rcpt, destination=f"mx:{mail.fate.domain}"),
        at=at,
        count=count,
        reverse_path=mail.sender,
        tag=mail.tag,
        message_id_header=f"<{count:05}.{mail.tag}@app.example>",
        client_ip="10.1.2.3",
        auth_user=mail.sender.partition("@")[0],
    )
    await store.enqueue(message, worker=worker, lease_for=None)
    waits = ends - at < _LATE
    retry = ends + timedelta(minutes=retry_in) if waits else at + timedelta(minutes=5)
    for work in await store.claim(worker, limit=9, lease_for=timedelta(minutes=5)):
        is_new = work.message.id == message.id
        settled = _settled(work, mail if is_new else None, at + timedelta(seconds=1), retry)
        await store.settle(work.lease, [settled])


def _settled(work: Work, mail: Mail | None, at: datetime, retry: datetime) -> Settlement:
    """What became of the one recipient; None: it is taken at last."""
    [one] = work.recipients
    host = "mx." + one.address.partition("@")[2]
    reply = _FATES[0].reply if mail is None else mail.reply
    outcome: Outcome = Sent()
    if mail is not None and mail.fate.kind is not None:
        status = reply.split()[1]
        outcome = a_bounce(mail.fate.kind, category=mail.fate.category, status=status)
    elif reply.startswith("4"):
        outcome = a_deferral(retry, reason="refused for now")
    said: dict[str, JsonValue] = {
        "attempt": one.attempt,
        "route": "direct",
        "remote_host": host,
        "remote_ip": "192.0.2.25",
        "remote_port": 25,
        "tls": "TLSv1.3 TLS_AES_256_GCM_SHA384 verified",
        "stage": "rcpt" if reply.startswith(("4", "550")) else "dot",
        "reply": reply,
        "delay_transaction": 0.31,
    }
    if reply.startswith("4"):
        said["next_attempt_at"] = format_instant(retry)
    settlement = a_settlement(
        work.message.id,
        one.number,
        outcome,
        at=at,
        code=int(reply[:3]),
        enhanced=reply.split()[1],
        reply=reply,
        remote_host=host,
    )
    events = tuple(replace(each, detail={**each.detail, **said}) for each in settlement.events)
    return replace(settlement, events=events)


def _acts(store: QueueStore) -> list[Callable[[], Awaitable[object]]]:
    """What people do in the day, in this order."""
    root = Author(by="root")
    anna = Author(by="anna (console)", client="10.1.0.17")
    ben = Author(by="ben (console)", client="10.1.0.23")
    people = store.people
    hook = Subscription(url="https://app.example/hooks/mail", kinds=TOLD)
    other = Subscription(url="https://crm.example/relayd", kinds=TOLD[-3:], tags=("newsletter",))

    async def suppress() -> None:
        wanted = [ToSuppress(address="olga@club.example", reason="asked for it by phone")]
        await store.suppress(wanted, by=ben.by)
        await people.note(Deed("suppress", "olga@club.example", wanted[0].reason), author=ben)

    async def hold() -> None:
        held = Query(sender=(_NEWS,), unfinished=True)
        await store.act(held, Action.HOLD, by=ben.by, reason="prices are wrong")
        await people.note(Deed("hold", f"sender={_NEWS}", "prices are wrong"), author=ben)

    return [
        lambda: people.add_account(an_account("anna", Role.ADMIN), author=root),
        lambda: people.add_account(an_account("ben", Role.OPERATOR), author=anna),
        lambda: people.add_account(an_account("support", Role.VIEWER), author=anna),
        lambda: people.add_key(
            a_key("shop", scopes=frozenset({Scope.SUBMIT, Scope.READ}), senders=(_SHOP,)),
            author=anna,
        ),
        lambda: people.add_key(
            a_key("dashboard", 1, scopes=frozenset({Scope.READ}), networks=("10.1.0.0/16",)),
            author=anna,
        ),
        lambda: store.outbox.put_endpoint(hook, author=anna),
        lambda: store.outbox.put_endpoint(other, author=anna),
        suppress,
        lambda: people.note(Deed("set", "use_remote_smtp", "false → true"), author=anna),
        lambda: _answer(store, limit=400),
        hold,
        lambda: _answer(store, limit=400),
    ]


async def _answer(store: QueueStore, *, limit: int) -> None:
    """The first receiver takes what it is told, the second is down."""
    for _ in range(limit // 8):
        claimed = await store.outbox.claim_deliveries(9, lease_for=timedelta(minutes=1))
        if not claimed:
            return
        results = [
            DeliveryResult(
                endpoint=each.endpoint,
                number=each.number,
                claim=each.claim,
                heard=Heard(
                    status=200 if each.endpoint == EndpointId(1) else 503,
                    took=timedelta(milliseconds=84),
                ),
            )
            for each in claimed
        ]
        await store.outbox.settle_deliveries(results, jitter=0.0)

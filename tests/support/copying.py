"""A store with something of everything, and all that its view answers."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId, WorkerNumber
from relayd.mail.once import Once
from relayd.mail.operator import Action
from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.mail.suppression import ToSuppress
from relayd.mail.tally import Dimension
from relayd.policy.accounts.limits import AccountLimits
from relayd.policy.pace import Saw, Seen
from relayd.policy.tls.sts import StsEntry, StsMode, StsPolicy
from relayd.ports.outbox import TOLD, DeliveryQuery, EndpointId, Subscription
from relayd.ports.people import AuditQuery
from relayd.ports.sites import Fallback, SiteKey
from relayd.ports.tally import TallyQuery
from relayd.ports.view import Query, QueueView
from relayd.ports.waiting import By
from tests.support.builders import a_message
from tests.support.clock import START
from tests.support.every_event import write_every_event
from tests.support.histories import fill, questions
from tests.support.people import ROOT, a_key, a_session, an_account, token_hash
from tests.support.post import ListSink
from tests.support.stores import Box
from tests.support.tls_counts import a_tls_session
from tests.support.workers import registered

LARGE = 700 * 1024  # octets: more than two parts of content
"""Of the message to `large@x.test`."""
STS = StsEntry(
    domain="a.test",
    policy=StsPolicy(mode=StsMode.ENFORCE, hosts=("mx.a.test",), max_age=timedelta(days=7), id="1"),
    fetched_at=START,
    used_at=START,
)
_KEY = b"k" * 32
_MANY = 10_000


async def fill_all(box: Box) -> None:
    """Let something of everything happen. At the end no worker has anything in hand."""
    await _people(box)
    await write_every_event(box.store, box.view, box.clock, ListSink())
    box.advance(60)
    await fill(box, messages=40)
    worker = await registered(box.store, "worker")
    large = a_message("large@x.test", at=box.clock.now())
    await _put(box, worker, replace(large, content=_large(box)))
    once = Once(key=_KEY, body=b"b" * 32, answers={"once@x.test": "250 2.1.5 OK"})
    await _put(box, worker, replace(a_message("once@x.test", at=box.clock.now()), once=once))
    await box.store.suppress(
        [ToSuppress(address=f"{name}@gone.test", reason="they said so") for name in "ab"], by="ann"
    )
    await box.store.unsuppress("b@gone.test")
    await box.store.act(Query(recipient=("large@x.test",)), Action.HOLD, by="ann", reason="")
    await _next_hops(box)
    for _ in range(3):
        await box.store.tally_up(7)
    await box.store.secret()
    await _pause(box, worker)
    last = await registered(box.store, "last", boot="later")
    [work] = await box.claim(last, limit=1)
    until = box.clock.now() + timedelta(hours=1)
    await box.store.release(work.lease, paused_until=until, why="it is away")


async def _people(box: Box) -> None:
    people = box.store.people
    await people.add_account(an_account("ann"), author=ROOT)
    await people.open_session(a_session(account="ann"), author=ROOT)
    await people.add_key(a_key(senders=("a@x.test",)), author=ROOT)
    await _endpoint(box, "https://app.test/")
    await box.store.outbox.drop_endpoint(await _endpoint(box, "https://b.test/"), author=ROOT)


async def _endpoint(box: Box, url: str) -> EndpointId:
    wanted = Subscription(url=url, kinds=TOLD, senders=("@app.test",))
    added = await box.store.outbox.put_endpoint(wanted, author=ROOT)
    assert added is not None
    await box.store.outbox.send_test(added, author=ROOT)
    return added


async def _next_hops(box: Box) -> None:
    now = box.clock.now().timestamp()
    await box.store.sites.note_site(SiteKey("google"), Seen(saw=Saw.SLOW, reply="421", went=30.0))
    await box.store.sites.note_fallback(
        Fallback(domain="a.test", site="google", until=now + 3600, reply="550 no")
    )
    await box.store.permits.book("smarthost", AccountLimits(per_day=30), 2)
    await box.store.permits.too_fast("smarthost")
    await box.store.trust.keep_sts_policy(STS)
    await box.store.trust.add_tls_results({a_tls_session(): 2})


async def _pause(box: Box, worker: WorkerNumber) -> None:
    """Let a rule hold a recipient, and a destination be left alone."""
    rule = PauseRule(
        named=Named(Scope.TAG, "paused"),
        sides=frozenset(Side),
        since=START,
        until=None,
        by="ann",
        reason="because",
    )
    await box.store.pause([rule])
    await _put(box, worker, a_message("paused@x.test", at=box.clock.now(), tag="paused"))
    await box.claim(worker)


async def _put(box: Box, worker: WorkerNumber, message: NewMessage) -> None:
    await box.put(message, worker=worker)


def _large(box: Box) -> Content:
    spool = box.store.spool()
    spool.write(b"octets\r\n" * (LARGE // 8))
    return spool.finish(b"Subject: large\r\n\r\n")


async def answers(view: QueueView) -> Mapping[str, Any]:
    """Return all that a view tells, by the name of the question."""
    rows = view.find(Query(), limit=_MANY)
    messages = sorted({row.message_id for row in rows})
    addresses = sorted({row.address for row in rows} | {"a@gone.test", "b@gone.test"})
    asked: dict[str, Any] = {
        f"find {name}": view.find(query, limit=_MANY) for name, query in questions(1)
    }
    asked |= {f"history {each}": view.history(each) for each in messages}
    asked |= {f"content {each}": _octets(view, each) for each in messages}
    asked |= {f"is suppressed {each}": await _is_suppressed(view, each) for each in addresses}
    asked |= {
        f"came back {row.message_id} {row.recipient}": view.came_back(row.message_id, row.recipient)
        for row in rows
    }
    asked |= {f"waiting {by}": _waiting(view, by) for by in By}
    asked |= {f"tally {by}": _tally(view, by) for by in (None, *Dimension)}
    asked |= {
        "addresses": view.addresses(Query(), limit=_MANY),
        "suppressions": view.suppressions(limit=_MANY),
        "first message": view.first_message(_KEY),
        "counts": view.counts(),
        "backlog": view.backlog(START + timedelta(days=1), most=_MANY),
        "paused destinations": view.paused_destinations(START, limit=_MANY),
        "pause rules": view.pause_rules(),
        "latest": view.latest(_MANY),
        "events": view.events(after=0, limit=_MANY),
        "last event": view.last_event(),
        "secret": view.store_secret(),
        "accounts": view.people.accounts(),
        "keys": view.people.keys(),
        "session": view.people.session(token_hash()),
        "audit": view.people.audit(AuditQuery(), limit=_MANY),
        "endpoints": view.outbox.endpoints(),
        "deliveries": [
            view.outbox.deliveries(DeliveryQuery(endpoint=each.id, limit=_MANY))
            for each in view.outbox.endpoints()
        ],
        "paces": view.permits.paces(),
        "sites": view.sites.sites(),
        "fallbacks": view.sites.fallbacks(),
        "sts": view.trust.kept_sts_policy("a.test"),
        "tls": view.trust.tls_counts(),
    }
    return asked


def _octets(view: QueueView, message_id: MessageId) -> bytes | None:
    content = view.content_of(message_id)
    return None if content is None else bytes(content[:])


async def _is_suppressed(view: QueueView, address: str) -> bool:
    told = view.is_suppressed(address)
    return told if isinstance(told, bool) else await told


def _waiting(view: QueueView, by: By) -> Any:
    """A group is called as any of its mails has it."""
    groups = view.waiting(Query(), by).groups
    return sorted((replace(each, value=each.value.lower()) for each in groups), key=repr)


def _tally(view: QueueView, by: Dimension | None) -> Any:
    answer = view.tally(TallyQuery(by=by))
    rows = sorted((replace(each, value=each.value.lower()) for each in answer.rows), key=repr)
    return replace(answer, rows=rows)

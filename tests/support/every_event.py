"""One event of each kind, in a store and in an event sink, as a worker records them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from relayd.deliverer.settlements import unreported, with_report
from relayd.mail.attempt import AttemptFacts, Peer, RouteKind, TlsFacts
from relayd.mail.envelope import ContentCheck, NewMessage, NewRecipient
from relayd.mail.event import Event, attempt_detail, kind_of
from relayd.mail.operator import Action
from relayd.mail.outcome import Bounced, Deferred, NotTried, Outcome, Relayed, Sent
from relayd.mail.parameters import RcptParameters
from relayd.mail.reply import Reply, Stage
from relayd.mail.tls_result import TlsPolicy, TlsProof, TlsResult, TlsResultType
from relayd.mail.words import Category
from relayd.policy import verp
from relayd.policy.delivery.plan import ReturnPaths
from relayd.policy.delivery.route import RouteRules
from relayd.policy.inbound_bounce import BouncedRecipient, Kind, ParsedBounce
from relayd.ports.outward import EventSink
from relayd.ports.queue import QueueStore, Settlement, Work
from relayd.ports.view import Query, QueueView
from relayd.worker.late import LateBounces
from tests.support.builders import a_bounce, a_deferral, a_message, a_recipient
from tests.support.clock import START, FakeClock
from tests.support.requeueing import a_requeue
from tests.support.workers import registered

_PATHS = ReturnPaths(domain="bounces.relay.test", key=b"k" * 32)
_REPLY = Reply(250, "2.0.0", ("2.0.0 ok",))
_PEER = Peer(
    route=RouteKind.SMARTHOST,
    host="mx.test",
    ip="192.0.2.1",
    port=25,
    local_ip="192.0.2.9",
    helo="relay.test",
    tls=TlsFacts(version="TLSv1.3", cipher="TLS_AES", verified=False, problem="expired"),
    tls_result=TlsResult(
        policy=TlsPolicy.MTA_STS_TESTING,
        proof=TlsProof.ENCRYPTED,
        result=TlsResultType.CERTIFICATE_EXPIRED,
    ),
)
_FACTS = AttemptFacts(
    peer=_PEER,
    stage=Stage.DOT,
    reply=_REPLY,
    breakdown=None,
    dot_sent=True,
    started_at=START,
    connect_for=timedelta(seconds=0.25),
    transaction_for=timedelta(seconds=1.5),
)
_OUTCOMES: Sequence[tuple[Outcome, Reply | None]] = (
    (Relayed(), _REPLY),
    (Sent(), _REPLY),
    (a_deferral(possible_duplicate=True), Reply(452, "4.2.2", ("4.2.2 full",))),
    (a_bounce(), Reply(550, "5.1.1", ("5.1.1 no such user",))),
    (NotTried(reason="login refused"), None),
)
_CHECKS = (
    ContentCheck(score=4.5, reason="a symbol"),
    ContentCheck(score=None, reason="too large"),
    ContentCheck(score=9.5, reason="spam", holds=True),
)
_FAILED = BouncedRecipient(
    address="late0@x.test",
    original=None,
    action="failed",
    status="5.1.1",
    code=550,
    diagnostic="550 5.1.1 no such user",
    category=Category.BAD_MAILBOX,
    suppress=True,
    bounce_class=a_bounce().bounce_class,
)
_RETURNED = (
    ParsedBounce(kind=Kind.BOUNCE, recipients=(_FAILED,)),
    ParsedBounce(kind=Kind.BOUNCE, recipients=(_FAILED,)),  # about another recipient
    ParsedBounce(kind=Kind.DELIVERED),
    ParsedBounce(kind=Kind.ARF),
)


async def write_every_event(
    store: QueueStore, view: QueueView, clock: FakeClock, sink: EventSink
) -> None:
    """Have each kind of event happen to somebody, and a client refused."""
    for check in _CHECKS:
        await _receive(store, sink, replace(_new("checked@x.test"), content_check=check))
    alias = replace(
        a_recipient("you@x.test", chosen_by='[routes] "x.test"'),
        parameters=RcptParameters(orcpt="rfc822;root@relay.test"),
    )
    await _receive(store, sink, replace(_new(alias), dkim="d=app.test s=r2026a"))
    await _attempts(store, sink)
    await _returns(store, view, clock, sink)
    for action in (Action.HOLD, Action.RELEASE, Action.EXPEDITE, Action.DROP):
        if action is Action.HOLD:
            await _receive(store, sink, _new("acted@x.test"))
        await _act(store, sink, action, "acted@x.test")
    await _act(store, sink, Action.EXPEDITE, "tried2@x.test")  # it is deferred
    await _act(store, sink, Action.BOUNCE, "tried2@x.test")
    await _requeue(store, sink, clock, "tried3@x.test")
    await _read(store, sink, _new("read@x.test"))
    sink.refused(
        clock.now(),
        {
            "from": "app@app.test",
            "rcpt": "gone@x.test",
            "client_ip": "192.0.2.7",
            "helo": "app.test",
            "code": 550,
            "enhanced": "5.1.1",
            "reply": "550 5.1.1 no",
            "fault": "policy",
        },
    )


def _new(*recipients: NewRecipient | str) -> NewMessage:
    return a_message(*recipients, message_id_header="<1@app.test>", tag="news", auth_user="shop")


async def _receive(store: QueueStore, sink: EventSink, message: NewMessage) -> None:
    worker = await registered(store, "worker")
    await store.enqueue(message, worker=worker, lease_for=None)
    sink.received(message)


async def _attempts(store: QueueStore, sink: EventSink) -> None:
    message = _new(*(f"tried{number}@x.test" for number in range(len(_OUTCOMES))))
    await _receive(store, sink, message)
    outcomes = {f"tried{number}@x.test": each for number, each in enumerate(_OUTCOMES)}
    await _settle(store, sink, message, outcomes)


async def _settle(
    store: QueueStore,
    sink: EventSink,
    message: NewMessage,
    outcomes: dict[str, tuple[Outcome, Reply | None]],
) -> None:
    worker = await registered(store, "worker")
    for work in await store.claim(worker, limit=100, lease_for=timedelta(minutes=5)):
        settlements = []
        for one in work.recipients:
            if work.message.id == message.id:
                outcome, reply = outcomes[one.address]
                settlements.append(_settlement(work, one.number, outcome, reply))
        await store.settle(work.lease, settlements)
        addresses = {one.number: one.address for one in work.recipients}
        for settlement in settlements:
            for event in settlement.events:
                sink.record(event, work.message, addresses[event.recipient])


def _settlement(work: Work, number: int, outcome: Outcome, reply: Reply | None) -> Settlement:
    peer = replace(_PEER, route=RouteKind.DIRECT) if isinstance(outcome, Sent) else _PEER
    facts = replace(_FACTS, peer=peer, reply=reply)
    detail = attempt_detail(
        facts,
        outcome,
        attempt=1,
        queued_for=timedelta(seconds=3),
        redirected_to="qa@x.test" if isinstance(outcome, Sent) else None,
        rewritten=("sender a@x.test to b@x.test",) if isinstance(outcome, Sent) else (),
    )
    event = Event(
        kind=kind_of(outcome),
        at=START,
        message_id=work.message.id,
        recipient=number,
        detail=detail,
    )
    known = isinstance(outcome, Bounced | Deferred | Relayed | Sent) and reply is not None
    settlement = Settlement(
        message_id=work.message.id,
        recipient=number,
        outcome=outcome,
        events=(event,),
        code=reply.code if known and reply else None,
        enhanced=reply.enhanced if known and reply else None,
        reply=str(reply) if known and reply else None,
        remote_host="mx.test",
    )
    if not isinstance(outcome, Bounced):
        return settlement
    return unreported(with_report(settlement, work.message.id))  # never both


async def _returns(store: QueueStore, view: QueueView, clock: FakeClock, sink: EventSink) -> None:
    """Mail comes back to the VERP address of each of some relayed recipients."""
    message = _new(*(f"late{number}@x.test" for number in range(len(_RETURNED))))
    await _receive(store, sink, message)
    relayed = {f"late{number}@x.test": (Relayed(), _REPLY) for number in range(len(_RETURNED))}
    await _settle(store, sink, message, {**relayed})
    for number, parsed in enumerate(_RETURNED):

        async def read(_: bytes, parsed: ParsedBounce = parsed) -> ParsedBounce:
            return parsed

        late = LateBounces(paths=_PATHS, view=view, parse=read, routes=RouteRules(), clock=clock)
        address = verp.encode(message.id, number, key=_PATHS.key, domain=_PATHS.domain)
        returned = await late.read(
            replace(a_message(str(address)), reverse_path=None, received_at=clock.now())
        )
        notice = await store.note_late(returned.path, returned.notice, returned.copy)
        sink.received(returned.copy)
        assert notice is not None
        sink.acted(notice.event)


async def _requeue(store: QueueStore, sink: EventSink, clock: FakeClock, address: str) -> None:
    """Bounced mail is sent again, where its content is kept."""
    requeued = await store.requeue(Query(recipient=(address,)), a_requeue(clock))
    for message in requeued.messages:
        sink.received(message)
    for event in requeued.events:
        sink.acted(event)


async def _read(store: QueueStore, sink: EventSink, message: NewMessage) -> None:
    """Somebody reads the content of a message."""
    await _receive(store, sink, message)
    read = await store.read(message.id, by="ann", reason="because")
    assert read is not None
    for event in read.events:
        sink.acted(event)


async def _act(store: QueueStore, sink: EventSink, action: Action, address: str) -> None:
    acted = await store.act(Query(recipient=(address,)), action, by="ann", reason="because")
    assert acted.events
    for event in acted.events:
        sink.acted(event)

"""What every store must do: the questions."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import pytest

from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId, WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import Outcome, Relayed, Sent
from relayd.mail.parameters import RcptParameters
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import NumberedEvent, Query, RecipientRow, Status
from tests.support.builders import (
    a_bounce,
    a_deferral,
    a_facts,
    a_message,
    a_recipient,
    a_settlement,
    settlements_of,
)
from tests.support.clock import START
from tests.support.stores import ALL, Box


async def a_varied_queue(box: Box, worker: WorkerNumber) -> list[NewMessage]:
    """Six messages, a minute apart, one in each state that takes work to reach."""
    outcomes: list[Outcome | Action | None] = [
        Relayed(),
        a_bounce(),
        a_bounce(BounceClass.BLOCK, category=Category.SPAM_CONTENT),
        a_deferral(),
        Action.HOLD,
        None,
    ]
    messages = []
    for number, outcome in enumerate(outcomes):
        message = a_message(
            f"User{number}@Dest{number % 2}.test",
            at=box.clock.now(),
            reverse_path="" if number == 5 else f"app{number}@app.test",
            message_id_header=f"<{number}.X@app.test>",
            tag=f"Batch {number // 3}",
            client_ip="192.0.2.4" if number == 4 else "127.0.0.1",
            auth_user="shop" if number == 2 else None,
        )
        (work,) = await box.put(message, worker=worker, leased=True)
        match outcome:
            case Action():
                await box.store.act(Query(message_id=message.id), outcome, by="ann", reason="")
            case None:
                pass
            case _:
                await box.store.settle(work.lease, settlements_of(work, outcome))
        messages.append(message)
        box.advance(60)
    return messages


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param(Query(), [5, 4, 3, 2, 1, 0], id="everything"),
        pytest.param(Query(recipient=("user1@dest1.TEST",)), [1], id="recipient"),
        pytest.param(Query(recipient=("user1@dest0.test",)), [], id="recipient elsewhere"),
        pytest.param(Query(domain=("dest0.test",)), [4, 2, 0], id="domain"),
        pytest.param(Query(domain=("dest0",)), [], id="part of a domain"),
        pytest.param(Query(domain=("est0.test",)), [], id="end of a domain"),
        pytest.param(Query(sender=("APP2@app.test",)), [2], id="sender"),
        pytest.param(Query(sender=("",)), [5], id="null reverse-path"),
        pytest.param(Query(message_id_header=("<3.X@app.test>",)), [3], id="header in brackets"),
        pytest.param(Query(message_id_header=("3.x@APP.test",)), [3], id="header without"),
        pytest.param(Query(tag=("batch 1",)), [5, 4, 3], id="tag"),
        pytest.param(Query(tag=("batch",)), [], id="part of a tag"),
        pytest.param(Query(tag=("batch _",)), [], id="no wildcard"),
        pytest.param(Query(status=(Status.QUEUED,)), [5], id="queued"),
        pytest.param(Query(status=(Status.DEFERRED,)), [3], id="deferred"),
        pytest.param(Query(status=(Status.HELD,)), [4], id="held"),
        pytest.param(Query(status=(Status.RELAYED,)), [0], id="relayed"),
        pytest.param(Query(status=(Status.SENT,)), [], id="sent"),
        pytest.param(Query(status=(Status.BOUNCED,)), [2, 1], id="bounced"),
        pytest.param(Query(status=(Status.DROPPED,)), [], id="dropped"),
        pytest.param(Query(bounce_class=(BounceClass.HARD,)), [1], id="hard"),
        pytest.param(Query(bounce_class=(BounceClass.BLOCK,)), [2], id="block"),
        pytest.param(Query(category=(Category.MAILBOX_FULL,)), [3], id="category"),
        pytest.param(Query(category=(Category.SPAM_CONTENT,)), [2], id="category of a bounce"),
        pytest.param(Query(since=START + timedelta(minutes=3)), [5, 4, 3], id="since"),
        pytest.param(Query(until=START + timedelta(minutes=3)), [2, 1, 0], id="until"),
        pytest.param(Query(sender=("app1@app.test", "", "APP1@app.test")), [5, 1], id="senders"),
        pytest.param(Query(tag=("batch 0", "none")), [2, 1, 0], id="one tag of two"),
        pytest.param(Query(domain=("dest0.test", "dest1.test")), [5, 4, 3, 2, 1, 0], id="domains"),
        pytest.param(
            Query(status=(Status.HELD, Status.BOUNCED), domain=("dest0.test", "x.test")),
            [4, 2],
            id="statuses of domains",
        ),
        pytest.param(Query(user=("SHOP", "none")), [2], id="user"),
        pytest.param(Query(client=(ip_network("192.0.2.0/24"),)), [4], id="network"),
        pytest.param(Query(client=(ip_network("192.0.2.4/32"),)), [4], id="address of a client"),
        pytest.param(Query(client=(ip_network("192.0.2.0/30"),)), [], id="smaller network"),
        pytest.param(Query(destination=("SMARTHOST",)), [5, 4, 3, 2, 1, 0], id="destination"),
        pytest.param(Query(destination=("dest0.test",)), [], id="destination of nothing"),
        pytest.param(Query(possible_duplicate=True), [4], id="possible duplicate"),
        pytest.param(Query(changed_since=START + timedelta(minutes=4)), [5, 4], id="changed"),
        pytest.param(Query(unfinished=True), [5, 4, 3], id="unfinished"),
        pytest.param(Query(unfinished=True, status=(Status.BOUNCED,)), [], id="contradiction"),
        pytest.param(
            Query(domain=("dest1.test",), tag=("batch 0",), status=(Status.BOUNCED,)),
            [1],
            id="all of it",
        ),
    ],
)
async def test_find_means_all_that_is_given(
    box: Box, worker: WorkerNumber, query: Query, found: list[int]
) -> None:
    """Newest first; text whole and without case."""
    messages = await a_varied_queue(box, worker)
    assert [row.message_id for row in box.rows(query)] == [messages[one].id for one in found]


async def test_what_changed_since_is_found_however_old_it_is(
    box: Box, worker: WorkerNumber
) -> None:
    """Something becomes of the first message after days; the others are as they were."""
    messages = await a_varied_queue(box, worker)
    box.advance(3 * 86400)
    since = box.clock.now()
    await box.store.act(Query(message_id=messages[4].id), Action.RELEASE, by="ann", reason="")
    late = a_message(at=box.clock.now())
    await box.put(late, worker=worker)
    found = [late.id, messages[4].id]
    asked = Query(changed_since=since)
    assert [row.message_id for row in box.rows(asked)] == found
    paged = box.view.find(asked, limit=ALL, before=(late.id, 0))
    assert [row.message_id for row in paged] == found[1:]
    assert box.rows(Query(changed_since=since, until=since, status=(Status.RELAYED,))) == []
    [row] = box.rows(Query(changed_since=since, until=since))
    assert row.message_id == messages[4].id


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (("mx.test",), ["mx:mx.test"]),
        (("MX:mx.test",), ["mx:mx.test"]),
        (("relay.test",), ["host:Relay.test:26"]),
        (("relay.test:26", "x.test"), ["host:Relay.test:26"]),
        (("relay.test:25",), []),
        (("::1",), ["host:[::1]:25"]),
        (("relay.test", "mx.test"), ["host:Relay.test:26", "mx:mx.test"]),
    ],
)
async def test_a_destination_goes_by_its_key_its_host_and_its_domain(
    box: Box, worker: WorkerNumber, names: tuple[str, ...], keys: list[str]
) -> None:
    for key in ("mx:mx.test", "host:Relay.test:26", "host:[::1]:25", "smarthost"):
        await box.put(a_message(a_recipient(destination=key)), worker=worker)
    assert sorted(row.destination for row in box.rows(Query(destination=names))) == keys


async def test_find_by_queue_id(box: Box, worker: WorkerNumber) -> None:
    messages = await a_varied_queue(box, worker)
    (row,) = box.rows(Query(message_id=messages[3].id))
    assert row.message_id == messages[3].id
    assert box.rows(Query(message_id=a_message(at=box.clock.now()).id)) == []


async def test_a_row_tells_everything(box: Box, worker: WorkerNumber) -> None:
    message = a_message(
        a_recipient("A.User@Example.com", destination="one.test"),
        at=box.clock.now(),
        reverse_path="App@app.test",
        message_id_header="<1@app.test>",
        tag="Invoice",
        client_ip="192.0.2.7",
        auth_user="shop",
    )
    await box.put(message, worker=worker)
    assert box.row(message) == RecipientRow(
        message_id=message.id,
        recipient=0,
        received_at=message.received_at,
        reverse_path="App@app.test",
        address="A.User@Example.com",
        status=Status.QUEUED,
        destination="one.test",
        size=len(message.content),
        message_id_header="<1@app.test>",
        tag="Invoice",
        client_ip="192.0.2.7",
        auth_user="shop",
        attempts=0,
        next_attempt_at=message.received_at,
        leased=False,
        possible_duplicate=False,
        code=None,
        enhanced=None,
        reply=None,
        reason=None,
        category=None,
        bounce_class=None,
        suppress=False,
        remote_host=None,
        updated_at=message.received_at,
        paused_until=None,
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
@pytest.mark.parametrize(
    "query",
    [
        Query(),
        Query(domain=("example.com",)),
        Query(sender=("app@app.test",), status=(Status.QUEUED,)),
        Query(unfinished=True),
        Query(tag=("news",), domain=("example.com",)),
    ],
)
async def test_pages_leave_no_gap(box: Box, worker: WorkerNumber, size: int, query: Query) -> None:
    """Pages of any size put together are the whole, also inside one message, also while mail comes."""
    for _ in range(3):
        message = a_message(
            "a@example.com", "b@example.com", "c@example.com", at=box.clock.now(), tag="news"
        )
        await box.put(message, worker=worker)
        box.advance(1)
    whole = box.rows(query)
    assert len(whole) == 9
    paged: list[RecipientRow] = []
    before: tuple[MessageId, int] | None = None
    while page := box.view.find(query, limit=size, before=before):
        assert len(page) <= size
        paged += page
        before = page[-1].message_id, page[-1].recipient
        await box.put(a_message(at=box.clock.now()), worker=worker)
        box.advance(1)
    assert paged == whole


@pytest.mark.parametrize("size", [1, 2, 9, 100])
async def test_bounded_pages_say_where_to_go_on(box: Box, worker: WorkerNumber, size: int) -> None:
    """Put together they are the whole; the last one says that nothing follows."""
    for _ in range(3):
        await box.put(
            a_message("a@example.com", "b@example.com", "c@other.test", at=box.clock.now()),
            worker=worker,
        )
        box.advance(1)
    for query, count in ((Query(), 9), (Query(domain=("example.com",)), 6), (Query(tag=("x",)), 0)):
        found: list[RecipientRow] = []
        place: tuple[MessageId, int] | None = None
        while (page := box.view.page(query, limit=size, before=place)).next is not None:
            assert len(page.rows) <= size
            found += page.rows
            place = page.next
        assert [*found, *page.rows] == box.rows(query)
        assert len(box.rows(query)) == count


@pytest.mark.parametrize("size", [1, 2, 3, 9, 100])
@pytest.mark.parametrize("query", [Query(), Query(domain=("example.com",))])
async def test_each_page_leads_back_to_the_one_before(
    box: Box, worker: WorkerNumber, size: int, query: Query
) -> None:
    """Back from any page the rows are those that come next, nothing left out and nothing twice; then the first."""
    for _ in range(3):
        await box.put(
            a_message("a@example.com", "b@other.test", "c@example.com", at=box.clock.now()),
            worker=worker,
        )
        box.advance(1)
    whole = list(box.rows(query))
    page = box.view.page(query, limit=size)
    assert page.prev is None
    seen = list(page.rows)
    while page.next is not None:
        last = page.next
        page = box.view.page(query, limit=size, before=last)
        seen += page.rows
        back = box.view.page(query, limit=size, back_from=page.prev)
        assert [*back.rows] == seen[: -len(page.rows) or None][-size:]
        assert back.next == page.prev
    assert seen == whole
    rest: list[RecipientRow] = []
    place = page.prev
    while place is not None:
        back = box.view.page(query, limit=size, back_from=place)
        rest = [*back.rows, *rest]
        place = back.prev
    assert [*rest, *page.rows] == whole
    for number, row in enumerate(whole):
        back_from = row.message_id, row.recipient
        found = box.view.find(query, limit=size, back_from=back_from)
        assert [*found] == whole[: number + 1][-size:]


async def test_history_starts_with_the_reception(box: Box, worker: WorkerNumber) -> None:
    """One entry per recipient, from whom and how large; then everything that was committed, in order."""
    message = a_message(
        "a@example.com",
        "b@example.com",
        at=box.clock.now(),
        client_ip="192.0.2.7",
        auth_user="shop",
    )
    (work,) = await box.put(message, worker=worker, leased=True)
    box.advance(3)
    now = box.clock.now()
    deferral = a_settlement(message.id, 1, a_deferral(now), at=now)
    await box.store.settle(work.lease, [a_settlement(message.id, 0, at=now), deferral])
    await box.store.act(Query(recipient=("b@example.com",)), Action.DROP, by="ann", reason="spam")
    history = box.view.history(message.id)
    assert [(entry.kind, entry.recipient) for entry in history] == [
        ("received", 0),
        ("received", 1),
        ("relayed", 0),
        ("deferred", 1),
        ("dropped", 1),
    ]
    for entry in history[:2]:
        assert entry.at == message.received_at
        assert entry.detail["client_ip"] == "192.0.2.7"
        assert entry.detail["helo"] == "app.test"
        assert entry.detail["auth_user"] == "shop"
    assert history[3].at == now
    assert history[3].detail == deferral.events[0].detail


async def test_a_report_of_ours_is_received_too(box: Box, worker: WorkerNumber) -> None:
    """Whatever comes into the queue has one `received` for each recipient, in the same commit."""
    (work,) = await box.put(a_message(), worker=worker, leased=True)
    report = a_message("app@app.test", reverse_path="", at=box.clock.now())
    await box.store.settle(work.lease, [a_settlement(work.message.id, 0, a_bounce())], [report])
    assert [entry.kind for entry in box.view.history(report.id)] == ["received"]


async def test_a_report_may_have_to_wait(box: Box, worker: WorkerNumber) -> None:
    """The client may have heard it by then; the message that it waits for is known as one."""
    awaited = replace(a_message(), is_awaited=True)
    (work,) = await box.put(awaited, worker=worker, leased=True)
    assert work.message.is_awaited
    due = box.clock.now() + timedelta(minutes=5)
    report = replace(a_message("app@app.test", reverse_path="", at=box.clock.now()), not_before=due)
    await box.store.settle(work.lease, [a_settlement(awaited.id, 0, a_bounce())], [report])
    [row] = box.view.find(Query(message_id=report.id), limit=1)
    assert (row.status, row.next_attempt_at) == (Status.QUEUED, due)
    box.clock.advance(timedelta(minutes=5) - timedelta(seconds=1))
    assert not await box.claim(worker)
    box.clock.advance(timedelta(seconds=1))
    [claimed] = await box.claim(worker)
    assert (claimed.message.id, claimed.message.is_awaited) == (report.id, False)


async def test_an_awaited_message_is_known_as_one(box: Box, worker: WorkerNumber) -> None:
    """By whichever worker makes the attempt."""
    awaited = replace(a_message(), is_awaited=True)
    await box.put(awaited, worker=worker)
    [work] = await box.claim(worker)
    assert work.message.is_awaited


async def test_history_without_auth_has_no_user(box: Box, worker: WorkerNumber) -> None:
    message = a_message()
    await box.put(message, worker=worker)
    assert box.view.history(message.id)[0].detail.get("auth_user") is None


async def test_history_of_an_unknown_message_is_empty(box: Box) -> None:
    assert box.view.history(a_message().id) == []


async def test_counts_are_of_unfinished_mail(box: Box, worker: WorkerNumber) -> None:
    await a_varied_queue(box, worker)
    await box.put(a_message(a_recipient(destination="one.test")), worker=worker)
    counts = box.view.counts()
    by_status = {status: number for status, number in counts.by_status.items() if number}
    assert by_status == {Status.QUEUED: 2, Status.DEFERRED: 1, Status.HELD: 1}
    assert counts.by_destination == {"smarthost": 3, "one.test": 1}


async def test_counts_tell_since_when_a_destination_waits(box: Box, worker: WorkerNumber) -> None:
    """Finished mail does not count, however old, nor does held mail: somebody means it to lie there."""
    held = a_message("held@x.test", at=box.clock.now())
    await box.put(held, worker=worker)
    await box.store.act(Query(message_id=held.id), Action.HOLD, by="ann", reason="")
    messages = await a_varied_queue(box, worker)
    own = a_message(a_recipient(destination="one.test"), at=box.clock.now())
    await box.put(own, worker=worker)
    assert box.view.counts().oldest == {
        "smarthost": messages[3].received_at,
        "one.test": own.received_at,
    }


async def test_counts_tell_until_when_a_destination_is_paused(
    box: Box, worker: WorkerNumber
) -> None:
    """Only of those where something waits."""
    until = box.clock.now() + timedelta(minutes=5)
    finished = a_message(a_recipient(destination="one.test"))
    (work,) = await box.put(finished, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work, Sent()))
    await box.store.release(work.lease, paused_until=until)
    (work,) = await box.put(a_message(), worker=worker, leased=True)
    await box.store.release(work.lease, paused_until=until, why="login refused: 535")
    assert box.view.counts().paused_until == {"smarthost": until}
    assert box.view.counts().paused_for == {"smarthost": "login refused: 535"}
    [paused] = box.view.paused_destinations(box.clock.now(), limit=9)
    assert paused.is_login_refused
    await box.store.act(Query(status=(Status.QUEUED,)), Action.EXPEDITE, by="ann", reason="")
    assert box.view.counts().paused_until == {}


async def test_the_latest_events_are_told_with_whom_they_are_about(
    box: Box, worker: WorkerNumber
) -> None:
    """Newest first, of all messages; a reception is no event of the history."""
    messages = await a_varied_queue(box, worker)
    latest = box.view.latest(ALL)
    assert [(one.kind, one.message_id) for one in latest] == [
        ("held", messages[4].id),
        ("deferred", messages[3].id),
        ("bounced", messages[2].id),
        ("bounced", messages[1].id),
        ("relayed", messages[0].id),
    ]
    deferred = latest[1]
    assert (deferred.address, deferred.destination) == ("User3@Dest1.test", "smarthost")
    assert deferred.at == box.view.history(messages[3].id)[-1].at
    assert deferred.detail == box.view.history(messages[3].id)[-1].detail
    assert list(box.view.latest(2)) == list(latest[:2])


async def test_an_empty_history_has_no_latest_events(box: Box) -> None:
    assert not box.view.latest(10)
    assert not box.view.events(after=0, limit=10)
    assert box.view.last_event() == 0


async def test_events_are_told_in_their_order_page_by_page(box: Box, worker: WorkerNumber) -> None:
    """All that `latest` has, each once; what comes later has a greater number."""
    await a_varied_queue(box, worker)
    found: list[NumberedEvent] = []
    after = 0
    while page := box.view.events(after=after, limit=2):
        found += page
        after = page[-1].number
    told = [(one.kind, one.message_id, one.address, one.at, one.detail) for one in found]
    assert told == [
        (one.kind, one.message_id, one.address, one.at, one.detail)
        for one in reversed(box.view.latest(ALL))
    ]
    [deferred] = [one for one in found if one.kind == "deferred"]
    [row] = box.view.find(Query(message_id=deferred.message_id), limit=9)
    assert (deferred.reverse_path, deferred.tag, deferred.size) == (
        row.reverse_path,
        row.tag,
        row.size,
    )
    assert (deferred.message_id_header, deferred.auth_user) == (
        row.message_id_header,
        row.auth_user,
    )
    last = box.view.last_event()
    assert last >= found[-1].number
    assert not box.view.events(after=last, limit=9)
    await box.store.act(Query(status=(Status.HELD,)), Action.RELEASE, by="ann", reason="")
    [released] = box.view.events(after=last, limit=9)
    assert released.kind == "released"
    assert released.number > found[-1].number


async def test_counts_of_an_empty_queue(box: Box) -> None:
    assert not any(box.view.counts().by_status.values())
    assert not box.view.counts().by_destination
    assert not box.view.counts().oldest


async def settled(
    box: Box, worker: WorkerNumber, address: str, outcome: Outcome | None
) -> NewMessage:
    message = a_message(address, at=box.clock.now())
    (work,) = await box.put(message, worker=worker, leased=True)
    if outcome is not None:
        await box.store.settle(work.lease, settlements_of(work, outcome))
    box.advance(60)
    return message


async def test_addresses_sum_up_all_messages(box: Box, worker: WorkerNumber) -> None:
    """One row per address, the most recently used first; any bounce may ask to suppress it."""
    await settled(box, worker, "a@example.com", a_bounce())
    await settled(box, worker, "a@example.com", a_bounce(BounceClass.SOFT))
    await settled(box, worker, "b@example.com", a_bounce(BounceClass.BLOCK))
    await settled(box, worker, "A@Example.com", Sent())
    await settled(box, worker, "c@example.com", None)
    rows = box.view.addresses(Query(), limit=ALL)
    assert box.view.recent_addresses(Query(), limit=ALL) == (rows, None)
    told = [
        (one.address.lower(), one.messages, one.hard_bounces, one.other_bounces, one.suppress)
        for one in rows
    ]
    assert told == [
        ("c@example.com", 1, 0, 0, False),
        ("a@example.com", 3, 1, 1, True),
        ("b@example.com", 1, 0, 1, False),
    ]
    assert [row.last_status for row in rows] == [Status.QUEUED, Status.SENT, Status.BOUNCED]
    assert rows[1].last_at == START + timedelta(minutes=3)
    assert rows[1].last_reply == "2.0.0 ok"
    assert [row.address for row in box.view.addresses(Query(), limit=1)] == ["c@example.com"]


async def test_addresses_are_chosen_by_the_query(box: Box, worker: WorkerNumber) -> None:
    """The query says which addresses; their numbers are over all messages."""
    await settled(box, worker, "a@example.com", a_bounce())
    await settled(box, worker, "a@example.com", Sent())
    await settled(box, worker, "b@other.test", Sent())
    bounced = box.view.addresses(Query(status=(Status.BOUNCED,)), limit=ALL)
    assert [(one.address, one.messages, one.last_status) for one in bounced] == [
        ("a@example.com", 2, Status.SENT)
    ]
    other = box.view.addresses(Query(domain=("OTHER.test",)), limit=ALL)
    assert [one.address for one in other] == ["b@other.test"]
    assert box.view.addresses(Query(recipient=("x@example.com",)), limit=ALL) == []


async def test_addresses_come_in_the_order_of_what_matches(box: Box, worker: WorkerNumber) -> None:
    """Who bounced last is first, whoever got mail since."""
    await settled(box, worker, "a@example.com", a_bounce())
    await settled(box, worker, "b@example.com", a_bounce())
    await settled(box, worker, "a@example.com", Sent())
    for limit in (1, 2, ALL):
        bounced = box.view.addresses(Query(status=(Status.BOUNCED,)), limit=limit)
        assert [one.address for one in bounced] == ["b@example.com", "a@example.com"][:limit]
    everybody = box.view.addresses(Query(), limit=ALL)
    assert [one.address for one in everybody] == ["a@example.com", "b@example.com"]


async def test_a_subject_that_was_kept_is_told(box: Box, worker: WorkerNumber) -> None:
    for subject in (None, "Grüße"):
        await box.put(a_message(facts=replace(a_facts(), subject=subject)), worker=worker)
    assert [row.subject for row in box.rows()] == ["Grüße", None]


async def test_who_was_written_to_is_told(box: Box, worker: WorkerNumber) -> None:
    """In the row as ORCPT has it; in the history where it is another address."""
    orcpt = "rfc822;root@relay.test"
    aliased = replace(a_recipient("you@x.test"), parameters=RcptParameters(orcpt=orcpt))
    same = replace(a_recipient("b@x.test"), parameters=RcptParameters(orcpt="rfc822;b@x.test"))
    message = a_message(aliased, "a@x.test", same)
    await box.store.enqueue(message, worker=worker, lease_for=None)
    rows = {row.recipient: row.orig_rcpt for row in box.view.find(Query(), limit=9)}
    assert rows == {0: orcpt, 1: None, 2: "rfc822;b@x.test"}
    told = [entry.detail.get("orig_rcpt") for entry in box.view.history(message.id)]
    assert told == [orcpt, None, None]


async def test_a_redirect_is_that_of_the_last_attempt(box: Box, worker: WorkerNumber) -> None:
    message = a_message("a@x.test")
    [work] = await box.put(message, worker=worker, leased=True)
    first = a_settlement(message.id, 0, a_deferral(box.clock.now()), at=box.clock.now())
    await box.store.settle(work.lease, [replace(first, redirected_to="qa@x.test")])
    assert box.view.find(Query(), limit=1)[0].redirected_to == "qa@x.test"
    [work] = await box.store.claim(worker, limit=1, lease_for=timedelta(minutes=1))
    await box.store.settle(work.lease, [a_settlement(message.id, 0, Relayed(), at=box.clock.now())])
    assert box.view.find(Query(), limit=1)[0].redirected_to is None


async def test_a_bounce_of_a_redirect_says_nothing_about_the_recipient(
    box: Box, worker: WorkerNumber
) -> None:
    """It is about another address, and real mail goes to this one later."""
    message = a_message("a@x.test", "b@x.test")
    [work] = await box.put(message, worker=worker, leased=True)
    bounced = [a_settlement(message.id, n, a_bounce(suppress=True), at=START) for n in (0, 1)]
    await box.store.settle(work.lease, [replace(bounced[0], redirected_to="qa@x.test"), bounced[1]])
    assert not await box.is_suppressed("a@x.test")
    assert await box.is_suppressed("b@x.test")


async def test_a_view_has_the_secret_that_a_worker_made(box: Box) -> None:
    secret = await box.store.secret()
    assert box.view.store_secret() == secret

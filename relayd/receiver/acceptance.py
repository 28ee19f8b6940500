"""A complete message: is it taken, what is put in front of it, and what becomes of it next.

Pure but for the ids and destinations that `Intake` gives: `work` has it checked and stored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from relayd.mail.address import Address
from relayd.mail.envelope import Client, MessageFacts, NewMessage, NewRecipient
from relayd.mail.finish import finish_received
from relayd.mail.header import is_relayed, read_facts, trace_header
from relayd.mail.ids import format_id
from relayd.mail.parameters import RcptParameters
from relayd.mail.pause import Traits
from relayd.mail.reply import Reply
from relayd.mail.subject import subject_of
from relayd.mail.submission import missing_fields, without_bcc
from relayd.policy.delivery.route import RouteFacts
from relayd.policy.intake import access, admit, cut_through
from relayd.receiver.client import ClientState
from relayd.receiver.context import SessionContext
from relayd.receiver.effects import CheckContent
from relayd.receiver.reader import Fault, Received
from relayd.receiver.signing import prepared
from relayd.receiver.transaction import Transaction

_NO_REPORT = RcptParameters(notify="NEVER")
_BARE = Reply(550, "5.6.0", ("5.6.0 Message has a bare CR, bare LF or NUL",))
_LONG_LINE = Reply(550, "5.6.0", ("5.6.0 Message has a line over 1 MiB",))
NO_STORE = Reply(451, "4.3.0", ("4.3.0 Cannot store the message now, try again later",))
NO_READER = Reply(451, "4.3.0", ("4.3.0 Cannot read the report now, try again later",))
FAULTS: Mapping[Fault, Reply] = {
    Fault.TOO_BIG: admit.TOO_BIG,
    Fault.LINE_ENDINGS: _BARE,
    Fault.LONG_LINE: _LONG_LINE,
    Fault.LONG_HEADER: Reply(552, "5.3.4", ("5.3.4 Header section too big",)),
    Fault.NO_ROOM: admit.NO_ROOM,
    Fault.NO_SPOOL: NO_STORE,
}


def accept(
    context: SessionContext, client: ClientState, mail: Transaction, received: Received
) -> NewMessage | CheckContent | Reply:
    """Return a message to store, or to check first; or why it is refused, `received` as it was."""
    # What comes back to a VERP address is a report, by whatever client.
    is_report = context.intake.owns(mail.recipients[0][0])
    is_on_its_way = is_report or is_relayed(received.head)
    strips = admit.is_fixed_up(
        context.listener.strip_bcc, is_own_client=client.is_ours, is_relayed=is_on_its_way
    )
    stripped = without_bcc(received.head) if strips else received.head
    facts, head = read_facts(stripped)
    if received.rest is not None or stripped is not received.head:
        is_8bit = facts.is_8bit or received.rest_is_8bit
        facts = replace(facts, size=received.size, is_8bit=is_8bit)
    if context.keeps_subject:
        facts = replace(facts, subject=subject_of(head))
    refusal = admit.admit_message(facts)
    if refusal is None and not is_report:
        refusal = access.refusal_of_from(client.allowed_by(context.access), head)
    if refusal is not None and mail.first is None:
        return refusal
    facts = _as_it_may(facts, client, is_report=is_report)
    known = mail.facts_of(context, client.auth_user, facts)
    recipients = _recipients(context, mail, known, is_report=is_report)
    pausing = context.pausing
    if pausing.stamp[0] != pausing.seen:
        pausing.look_again()
    at = context.now()
    if pausing.intake and mail.first is None:
        seen = [_traits(each, client, mail, tag=facts.tag) for each in recipients]
        if (refusal := pausing.refusal(seen, at)) is not None:
            return refusal
    adds = admit.is_fixed_up(
        context.listener.add_headers, is_own_client=client.is_ours, is_relayed=is_on_its_way
    )
    message_id = context.intake.next_id(at)
    queue_id = format_id(message_id)
    trace = trace_header(
        helo=client.helo,
        client_ip=client.origin.ip,
        fqdn=context.fqdn,
        protocol=client.protocol(smtputf8=mail.parameters.smtputf8),
        queue_id=queue_id,
        # The trace of a report is for its sender to read, who need not know the token.
        recipient=None if is_report else mail.named_in_trace,
        at=at,
        hide_client=context.listener.hide_client,
    )
    own_id = f"<{queue_id}@{context.fqdn}>"
    added = missing_fields(head, message_id=own_id, at=at) if adds else b""
    facts, head = finish_received(head, facts, trace=trace, added=added)
    rest = received.rest
    content = head if rest is None else rest.finish(head)
    waits = context.listener.cut_through and not is_report and mail.parameters.once is None
    message = NewMessage(
        id=message_id,
        received_at=at,
        reverse_path=mail.reverse_path,
        parameters=mail.parameters,
        recipients=recipients,
        content=content,
        facts=facts,
        client=Client(
            ip=client.origin.ip,
            helo=client.helo,
            listener=context.listener.address,
            auth_user=client.auth_user,
            account=client.account_name,
        ),
        once=None
        if mail.parameters.once is None
        else replace(mail.parameters.once, answers=mail.told),
        is_awaited=bool(waits) and cut_through.may_wait(len(recipients), content, facts),
    )
    message = prepared(message, context, client, received, head=head, trace=len(trace))
    # A report often quotes spam; and what came before was judged then.
    if context.checker is None or is_report or mail.first is not None:
        return message
    return CheckContent(message, received)


def _as_it_may(facts: MessageFacts, client: ClientState, *, is_report: bool) -> MessageFacts:
    """Return the facts without what its client may not ask for."""
    if is_report or not client.may_relay:
        # It comes back, from anybody: that one chooses neither the way to the sender nor how it is counted.
        return replace(facts, tag=None, is_test=False, test_via="")
    if facts.test_via and not (client.is_here and client.auth_user is None):
        return replace(facts, test_via="")  # a login keeps to its smarthost, and so does a network
    return facts


def _traits(
    recipient: NewRecipient, client: ClientState, mail: Transaction, *, tag: str | None
) -> Traits:
    return Traits(
        sender=str(mail.reverse_path or ""),
        tag=tag,
        user=client.auth_user,
        domain=recipient.address.domain,
        destination=recipient.destination,
    )


def _recipients(
    context: SessionContext, mail: Transaction, known: RouteFacts, *, is_report: bool
) -> tuple[NewRecipient, ...]:
    """Return whom the message is for: those that RCPT named, and those who get a copy by the settings."""
    way_of = context.intake.way_of
    named = mail.recipients
    if context.senders.copies and not is_report:
        named = [*named, *_copies(context, mail)]
    recipients = [
        NewRecipient(
            address=path,
            destination=way.key,
            chosen_by=way.rule,
            parameters=parameters,
        )
        for path, parameters in named
        for way in (way_of(path, known),)
    ]
    return tuple(recipients)


def _copies(context: SessionContext, mail: Transaction) -> Iterator[tuple[Address, RcptParameters]]:
    """Yield who gets a copy besides. The sender, who does not know of it, gets no report about it."""
    there = {path.compared for path, _ in mail.recipients}
    for address in context.senders.copies_of(str(mail.reverse_path or "")):
        if address.compared not in there:
            yield address, _NO_REPORT

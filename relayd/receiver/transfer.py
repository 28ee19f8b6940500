"""MAIL, RCPT, DATA and RSET: a mail transaction, up to the end of its content.

Decisions are `relayd.policy.intake.admit`'s; what becomes of a complete message is `acceptance`'s affair.

Source: RFC 5321 §3.3, §4.1.1.2 to §4.1.1.5; RFC 6531.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from relayd.errors import StoreError
from relayd.mail.address import Address
from relayd.mail.lenient import meant_by
from relayd.mail.once import FirstMessage
from relayd.mail.parameters import MailParameters, RcptParameters
from relayd.mail.pause import Traits
from relayd.mail.reply import Reply, SyntaxRefused
from relayd.policy.intake import access, admit
from relayd.policy.intake.quota import is_quota
from relayd.policy.pausing import is_pause
from relayd.receiver import acceptance, console, login
from relayd.receiver.acceptance import NO_STORE
from relayd.receiver.commands import parse_mail, parse_rcpt, with_domain
from relayd.receiver.context import SessionContext
from relayd.receiver.dialogue import Dialogue
from relayd.receiver.effects import AskAbout, Effect
from relayd.receiver.reader import DataReader, Fault, Received
from relayd.receiver.states import Event, State
from relayd.receiver.transaction import NO_HISTORY, Transaction, taken_for
from relayd.settings import ListenerAuth

Parsed = TypeVar("Parsed")
_NO_ERRORS = (admit.SUPPRESSED, NO_HISTORY)  # of the client's: a list may meet many of these


def mail(dialogue: Dialogue, argument: bytes, following: State) -> None:
    context, client = dialogue.context, dialogue.client
    if context.users is None and client.listener.auth is ListenerAuth.OFF:
        takes_auth = False
    elif login.is_turned_away(dialogue):
        return
    else:
        takes_auth = login.is_offered(dialogue)
    try:
        path, parameters = _read(
            dialogue,
            argument,
            partial(
                parse_mail,
                extended=client.extended,
                takes_auth=takes_auth,
                takes_once=client.listener.is_console,
                has_tls=client.tls_version is not None,
            ),
        )
    except SyntaxRefused as refused:
        dialogue.refuse(refused.reply)
        return
    if parameters.once is not None:
        first = console.first_with(parameters.once, context.intake)
        if first is not None:
            _mail_again(dialogue, Transaction(path, parameters), first, following)
            return
    refusal = _refusal_of_sender(dialogue, path) or _refusal_of_message(context, path, parameters)
    pausing = context.pausing
    if pausing.stamp[0] != pausing.seen:
        pausing.look_again()
    if refusal is None and pausing.intake:
        seen = Traits(sender=str(path or ""), user=client.auth_user)
        refusal = pausing.refusal([seen], context.now())
    refusal = refusal or dialogue.quota_before()
    if refusal is not None:
        dialogue.refuse(refusal, sender=path, is_error=not _means_later(refusal))
        return
    client.mail = Transaction(path, parameters)
    dialogue.state = following
    dialogue.owed.append(b"250 2.1.0 OK\r\n")


def _read(dialogue: Dialogue, argument: bytes, parse: Callable[[bytes], Parsed]) -> Parsed:
    """Read an argument as it is; else what is meant by it, where the listener is lenient. Raises SyntaxRefused."""
    kinds = dialogue.client.listener.lenient
    try:
        return parse(argument)
    except SyntaxRefused:
        meant = meant_by(argument, kinds, fqdn=dialogue.context.fqdn) if kinds else None
        if meant is None:
            raise
    parsed = parse(meant.argument)
    dialogue.serve_leniently(meant.needed)
    return parsed


def _refusal_of_sender(dialogue: Dialogue, path: Address | None) -> Reply | None:
    """Judge whether the client may use a reverse-path."""
    client = dialogue.client
    if client.account is not None and not client.account.may_send_as(path):
        return admit.NOT_YOUR_SENDER
    return access.refusal_of_sender(client.allowed_by(dialogue.context.access), path)


def _refusal_of_message(
    context: SessionContext, path: Address | None, parameters: MailParameters
) -> Reply | None:
    """Judge whether a message may begin; not while its end could not be stored."""
    try:
        has_room = context.intake.has_room()
    except StoreError:
        return NO_STORE
    return admit.admit_sender(
        path,
        smtputf8=parameters.smtputf8,
        declared_size=parameters.size or 0,
        limits=context.limits,
        has_room=has_room,
    )


def _mail_again(
    dialogue: Dialogue, mail: Transaction, first: FirstMessage | Reply, following: State
) -> None:
    """A message came with the same key before: if it is this one, nothing speaks against it any more."""
    assert mail.parameters.once is not None
    if isinstance(first, Reply):
        dialogue.refuse(first, sender=mail.reverse_path)
    elif first.body != mail.parameters.once.body:
        dialogue.fail(console.OTHER_MESSAGE)
    else:
        mail.first = first
        dialogue.client.mail = mail
        dialogue.state = following
        dialogue.owed.append(b"250 2.1.0 OK\r\n")


def rcpt(dialogue: Dialogue, argument: bytes, following: State) -> AskAbout | None:
    client = dialogue.client
    transaction = client.mail
    assert transaction is not None
    try:
        path, parameters = _read(
            dialogue,
            argument,
            partial(parse_rcpt, extended=client.extended, smtputf8=transaction.parameters.smtputf8),
        )
    except SyntaxRefused as refused:
        if (whole := _named_here(dialogue, argument)) is not None:
            return rcpt(dialogue, whole, following)
        dialogue.refuse(refused.reply, sender=transaction.reverse_path)
        return None
    context = dialogue.context
    if transaction.first is None and (meant := _meant_by(dialogue, transaction, path)) is not None:
        wanted = taken_for(path, parameters, meant.targets)
        return _rcpt_of_others(dialogue, path, wanted, following, meant=meant)
    if transaction.is_there_for_alias(path, parameters):
        dialogue.owed.append(b"250 2.1.5 OK\r\n")
        return None
    refusal = transaction.refusal_of(path, context, may_relay=client.may_relay)
    if refusal is None and context.pausing.intake and transaction.first is None:
        refusal = transaction.pause_of(path, context, user=client.auth_user)
    if refusal is None:
        transaction.take(path, [(path, parameters)])
        dialogue.state = following
        dialogue.owed.append(b"250 2.1.5 OK\r\n")
    elif isinstance(refusal, Reply):
        _refuse_recipient(dialogue, path, refusal)
    else:
        dialogue.move(Event.QUESTION)
        return AskAbout(path, [(path, parameters)], refusal)
    return None


def _named_here(dialogue: Dialogue, argument: bytes) -> bytes | None:
    """Return `TO:<root>` with our domain, where a client of this machine means an alias by it."""
    aliases = dialogue.context.aliases
    if aliases is None or not dialogue.client.is_here:
        return None
    name, whole = with_domain(argument, aliases.fqdn)
    return whole if aliases.targets(Address(name, aliases.fqdn)) else None


@dataclass(frozen=True, slots=True)
class _Meant:
    """Whom an address stands for; nobody: it is a path of ours that leads nowhere."""

    targets: Sequence[Address]
    may_relay: bool
    refusal: Reply = admit.NO_RETURN_PATH  # where it stands for nobody


def _meant_by(dialogue: Dialogue, transaction: Transaction, path: Address) -> _Meant | None:
    """Return whom an alias or a path of forwarded mail stands for; None: `path` is neither.

    What comes back to forwarded mail may come from anybody, with the null reverse-path (RFC 5321 §4.5.5).
    """
    context, client = dialogue.context, dialogue.client
    if context.srs is not None and context.srs.owns(path):
        may_relay = client.may_relay or transaction.reverse_path is None
        target = context.srs.target_of(path, context.now()) if may_relay else None
        if target is None:
            return _Meant((), may_relay=True)
        if not client.may_relay and not context.may_come_back(target, client.origin.site):
            return _Meant((), may_relay=True, refusal=admit.RETURN_PATH_BUSY)
        return _Meant((target,), may_relay=True)
    if context.aliases and client.is_here and (targets := context.aliases.targets(path)):
        return _Meant(targets, client.may_relay)
    return None


def _rcpt_of_others(
    dialogue: Dialogue,
    path: Address,
    wanted: Sequence[tuple[Address, RcptParameters]],
    following: State,
    *,
    meant: _Meant,
) -> AskAbout | None:
    """Take all that `path` stands for, or nobody. Who has the message by another name has it once."""
    client = dialogue.client
    transaction = client.mail
    assert transaction is not None
    if not wanted:
        _refuse_recipient(dialogue, path, meant.refusal)
        return None
    there = {address.compared for address, _ in transaction.recipients}
    taken = [each for each in wanted if each[0].compared not in there]
    refusal = transaction.refusal_of_any(
        [address for address, _ in taken],
        dialogue.context,
        may_relay=meant.may_relay,
        user=client.auth_user,
    )
    if refusal is None:
        transaction.take(path, taken)
        dialogue.state = following
        dialogue.owed.append(b"250 2.1.5 OK\r\n")
    elif isinstance(refusal, Reply):
        _refuse_recipient(dialogue, path, refusal)
    else:
        dialogue.move(Event.QUESTION)
        return AskAbout(path, taken, refusal)
    return None


def recipient_judged(
    dialogue: Dialogue,
    path: Address,
    taken: Sequence[tuple[Address, RcptParameters]],
    refusal: Reply | None,
) -> None:
    """What spoke against a recipient is known by now; its client may be gone."""
    transaction = dialogue.client.mail
    assert transaction is not None
    if refusal is None:
        transaction.take(path, taken)
        dialogue.owed.append(b"250 2.1.5 OK\r\n")
    else:
        _refuse_recipient(dialogue, path, refusal)
    dialogue.move(
        Event.RECIPIENT_TAKEN if transaction.recipients else Event.FIRST_RECIPIENT_REFUSED
    )
    dialogue.tire()


def _refuse_recipient(dialogue: Dialogue, path: Address, refusal: Reply) -> None:
    mail = dialogue.client.mail
    assert mail is not None
    if mail.parameters.once is not None:
        mail.told[str(path)] = str(refusal)
    dialogue.refuse(
        refusal,
        sender=mail.reverse_path,
        recipient=path,
        is_error=refusal not in _NO_ERRORS and not is_pause(refusal),
    )


def refusal_of_data(dialogue: Dialogue, argument: bytes) -> bytes | None:
    del dialogue  # in whatever state
    return b"501 5.5.4 Syntax: DATA\r\n" if argument else None


def data(dialogue: Dialogue, argument: bytes, following: State) -> None:
    del argument  # there is none
    context, client = dialogue.context, dialogue.client
    assert client.mail is not None
    if not client.may_relay and not context.may_send(client.whose):
        dialogue.refuse(admit.TOO_MANY_MESSAGES, sender=client.mail.reverse_path)
        return
    dialogue.content = DataReader(
        size_limit=context.limits.message_size,
        line_endings=context.listener.line_endings,
        spool=context.intake.spool,
        ends_in_lf=dialogue.ends_in_lf,
        hashes_body=context.signer is not None,
    )
    dialogue.state = following
    dialogue.owed.append(
        b"354 End data with <LF>.<LF>\r\n"
        if dialogue.ends_in_lf
        else b"354 End data with <CR><LF>.<CR><LF>\r\n"
    )


def content_complete(dialogue: Dialogue) -> Effect | None:
    """The end of the content has come: take the message, or refuse it."""
    content, transaction = dialogue.content, dialogue.client.mail
    assert content is not None
    assert transaction is not None
    received = content.result()
    dialogue.content = dialogue.client.mail = None
    dialogue.junk = 0
    if isinstance(received, Received):
        found = acceptance.accept(dialogue.context, dialogue.client, transaction, received)
        if not isinstance(found, Reply) and transaction.first is None:
            found = dialogue.count() or found
        if not isinstance(found, Reply):
            dialogue.move(Event.MESSAGE_COMPLETE)
            return found
        received.discard()
    else:
        found = acceptance.FAULTS[received]
    dialogue.move(Event.CONTENT_REFUSED)
    dialogue.refuse(found, sender=transaction.reverse_path, is_error=not _means_later(found))
    if received in (Fault.TOO_BIG, Fault.LINE_ENDINGS):
        dialogue.close(b"")
    return None


def _means_later(refusal: Reply) -> bool:
    """Tell whether a refusal is no mistake of the client's."""
    return is_pause(refusal) or is_quota(refusal) or refusal is NO_STORE


def content_hopeless(dialogue: Dialogue) -> None:
    """The content is too large even to wait for its end."""
    transaction = dialogue.client.mail
    dialogue.refuse(admit.TOO_BIG, sender=None if transaction is None else transaction.reverse_path)
    dialogue.close(b"")


def rset(dialogue: Dialogue, argument: bytes, following: State) -> None:
    if argument:
        dialogue.fail(b"501 5.5.4 Syntax: RSET\r\n")
    else:
        dialogue.client.mail = None
        dialogue.state = following
        dialogue.owed.append(b"250 2.0.0 OK\r\n")

"""Who the client is: EHLO and HELO, STARTTLS, and XCLIENT by which a proxy says for whom it speaks.

Source: RFC 5321 §4.1.1.1; RFC 3207 §4.2; RFC 2034 §4.
"""

from relayd.mail.reply import SyntaxRefused
from relayd.policy.intake.origin import Origin
from relayd.receiver import console, login, xclient
from relayd.receiver.commands import parse_hello
from relayd.receiver.dialogue import Dialogue
from relayd.receiver.effects import Readmit, StartTls
from relayd.receiver.states import Event, State


def greeting(dialogue: Dialogue) -> bytes:
    return b"220 %b ESMTP relayd\r\n" % dialogue.context.fqdn.encode()


def ehlo(dialogue: Dialogue, argument: bytes, following: State) -> None:
    if not _is_named(dialogue, argument, b"501 Syntax: EHLO hostname\r\n"):
        return
    dialogue.client.extended, dialogue.state = True, following
    lines = [
        dialogue.context.fqdn.encode(),
        b"SIZE %d" % dialogue.context.limits.message_size,
        b"8BITMIME",
        b"SMTPUTF8",
        b"PIPELINING",
        b"ENHANCEDSTATUSCODES",
        b"DSN",
    ]
    if dialogue.client.can_start_tls:
        lines.append(b"STARTTLS")
    if dialogue.client.tls_version is not None:
        lines.append(b"REQUIRETLS")
    if dialogue.client.is_proxy:
        lines.append(xclient.OFFERED)
    if dialogue.client.listener.is_console:
        lines.append(console.OFFERED)
    if login.is_offered(dialogue):
        lines.append(login.OFFERED)
    last = lines.pop()
    dialogue.owed.append(b"".join([b"250-%b\r\n" % line for line in lines]) + b"250 %b\r\n" % last)


def helo(dialogue: Dialogue, argument: bytes, following: State) -> None:
    if _is_named(dialogue, argument, b"501 Syntax: HELO hostname\r\n"):
        dialogue.client.extended, dialogue.state = False, following
        dialogue.owed.append(b"250 %b\r\n" % dialogue.context.fqdn.encode())


def _is_named(dialogue: Dialogue, argument: bytes, refusal: bytes) -> bool:
    """Tell whether the name will do. No reply to a hello has an enhanced code (RFC 2034 §4)."""
    name = parse_hello(argument)
    if name is None:
        dialogue.fail(refusal)
        return False
    dialogue.junk += 1
    dialogue.client.helo, dialogue.client.mail = name, None
    return True


def refusal_of_starttls(dialogue: Dialogue, argument: bytes) -> bytes | None:
    """Say why this is not the place."""
    if argument:
        return b"501 5.5.4 Syntax: STARTTLS\r\n"
    if dialogue.client.tls_version is not None:
        return b"503 5.5.1 TLS is on already\r\n"
    return None if dialogue.client.can_start_tls else b"502 5.5.1 STARTTLS is not offered\r\n"


def starttls(dialogue: Dialogue, argument: bytes, following: State) -> StartTls:
    del argument  # there is none
    dialogue.junk += 1
    dialogue.owed.append(b"220 2.0.0 Ready to start TLS\r\n")
    dialogue.state = following
    return StartTls()


def refusal_of_xclient(dialogue: Dialogue, argument: bytes) -> bytes | None:
    del argument  # whatever it says
    return None if dialogue.client.is_proxy else b"550 5.7.1 Not for you to say\r\n"


def xclient_command(dialogue: Dialogue, argument: bytes, following: State) -> Readmit | None:
    try:
        claim = xclient.parse_xclient(argument)
    except SyntaxRefused as refused:
        dialogue.refuse(refused.reply)
        return None
    client = dialogue.client
    client.is_proxy = False  # from now on its client speaks
    client.forget()
    client.helo = claim.helo or ""  # then it says so itself
    client.auth_user = claim.login
    known = claim.address is not None
    client.origin = Origin(ip=claim.address or client.origin.ip, is_known=known)
    dialogue.state = following
    if claim.helo:
        dialogue.move(Event.HELO)
    dialogue.junk += 1
    return Readmit(greeting(dialogue))


def secured(dialogue: Dialogue) -> Readmit:
    """TLS has begun: who the client is has to be said anew."""
    dialogue.client.forget()
    dialogue.move(Event.SECURED)
    return Readmit(b"")

"""Logging in at a smarthost.

Owns the choice of mechanisms and the exchange. When a password may be sent at all is decided in
`session`. An exchange has as many rounds as its mechanism and no more: 334 for ever is an
error (A-51). No command of it is longer than a command may be.

Sources: RFC 4954 §4 (exchange), §6 (codes); RFC 4616 (PLAIN); RFC 7628 §3 (OAUTHBEARER).
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence

from aiosmtplib.auth import auth_login_encode, auth_plain_encode, auth_xoauth2_encode

from relayd.mail.reply import Reply, Stage
from relayd.net.smtp.protocol import RelayProtocol
from relayd.settings import AuthMechanism, Login

_LONGEST_COMMAND = 512  # octets with CR LF, RFC 5321 §4.5.3.1.4

_CHOICES: dict[AuthMechanism, Sequence[AuthMechanism]] = {
    AuthMechanism.AUTO: (AuthMechanism.PLAIN, AuthMechanism.LOGIN),
    # Microsoft has the first alone; who has both takes either.
    AuthMechanism.OAUTH2: (AuthMechanism.XOAUTH2, AuthMechanism.OAUTHBEARER),
}
_RESPONSES: dict[AuthMechanism, Callable[[Login], Sequence[bytes]]] = {
    AuthMechanism.PLAIN: lambda login: [auth_plain_encode(login.username, login.secret)],
    AuthMechanism.LOGIN: lambda login: auth_login_encode(login.username, login.secret),
    # The empty response asks for the code behind an error that came as a challenge.
    AuthMechanism.XOAUTH2: lambda login: [auth_xoauth2_encode(login.username, login.secret), b""],
    # There it is one octet, U+0001 (RFC 7628 §3.2.3).
    AuthMechanism.OAUTHBEARER: lambda login: [_oauthbearer(login), b64encode(b"\x01")],
}


def choose_mechanisms(wanted: AuthMechanism, offered: Sequence[str]) -> list[AuthMechanism]:
    """Those to try, in this order; empty if the server offers none of those wanted."""
    return [one for one in _CHOICES.get(wanted, (wanted,)) if one.value in offered]


async def log_in(
    protocol: RelayProtocol, login: Login, mechanisms: Iterable[AuthMechanism]
) -> Reply | None:
    """Log in by the first mechanism that the server knows, after all, and return the last reply.

    None if the session broke instead.
    """
    reply = None
    for mechanism in mechanisms:
        reply = await _exchange(protocol, lines_of(login, mechanism))
        if reply is None or not _is_unknown_mechanism(reply):
            break
    return reply


def lines_of(login: Login, mechanism: AuthMechanism) -> list[bytes]:
    """The AUTH command and the responses to its challenges, without CR LF.

    The first response goes with the command where the mechanism allows it and a command has room
    for it; else it waits for its challenge (RFC 4954 §4).
    """
    first, *more = _RESPONSES[mechanism](login)
    command = b"AUTH " + mechanism.value.upper().encode()
    whole = command + b" " + first
    if mechanism is AuthMechanism.LOGIN or len(whole) + 2 > _LONGEST_COMMAND:
        return [command, first, *more]
    return [whole, *more]


def _oauthbearer(login: Login) -> bytes:
    """The first response (RFC 7628 §3.1); `=` and `,` of a name are written otherwise (RFC 5801 §4)."""
    name = login.username.replace("=", "=3D").replace(",", "=2C")
    return b64encode(f"n,a={name},\x01auth=Bearer {login.secret}\x01\x01".encode())


async def _exchange(protocol: RelayProtocol, lines: Sequence[bytes]) -> Reply | None:
    for line in lines:
        protocol.expect(line + b"\r\n", (Stage.AUTH,))
        answer = await protocol.answers(1)
        if not answer:
            return None
        reply = answer[0]
        if reply.code != 334:
            return reply
    protocol.violate("one challenge too many in the login")
    return None


def _is_unknown_mechanism(reply: Reply) -> bool:
    """The server does not do what it offers, whatever the secret (RFC 4954 §4, §6)."""
    return reply.code == 504 or (reply.is_permanent and reply.enhanced in ("5.5.4", "5.7.4"))

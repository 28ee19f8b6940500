"""Logging in at a smarthost.

Owns the choice of a mechanism and the exchange. When a password may be sent at all is decided in
`smtp_session`. An exchange has as many rounds as its mechanism and no more: 334 for ever is an
error (A-51).

Sources: RFC 4954 §4 (exchange), §6 (codes); RFC 4616 (PLAIN).
"""

from collections.abc import Callable, Sequence

from aiosmtplib.auth import auth_login_encode, auth_plain_encode, auth_xoauth2_encode

from relayd.mail.reply import Reply, Stage
from relayd.net.smtp_protocol import RelayProtocol
from relayd.settings import AuthMechanism, Login

# Codes that say that the login itself is refused (S-53).
REFUSED_CODES = frozenset({530, 534, 535, 538})

_AUTOMATIC = (AuthMechanism.PLAIN, AuthMechanism.LOGIN)
_RESPONSES: dict[AuthMechanism, Callable[[Login], Sequence[bytes]]] = {
    AuthMechanism.PLAIN: lambda login: [auth_plain_encode(login.username, login.secret)],
    AuthMechanism.LOGIN: lambda login: auth_login_encode(login.username, login.secret),
    # The empty response asks for the code behind an error that came as a challenge.
    AuthMechanism.XOAUTH2: lambda login: [auth_xoauth2_encode(login.username, login.secret), b""],
}


def choose_mechanism(wanted: AuthMechanism, offered: Sequence[str]) -> AuthMechanism | None:
    """The mechanism to use; None if the server offers none of those wanted."""
    candidates = _AUTOMATIC if wanted is AuthMechanism.AUTO else (wanted,)
    return next((one for one in candidates if one.value in offered), None)


async def log_in(protocol: RelayProtocol, login: Login, mechanism: AuthMechanism) -> Reply | None:
    """Carry out the exchange and return the last reply; None if the session broke instead."""
    first, *more = _RESPONSES[mechanism](login)
    command = b"AUTH " + mechanism.value.upper().encode()
    if mechanism is AuthMechanism.LOGIN:
        more = [first, *more]  # LOGIN has no initial response
    else:
        command += b" " + first
    for line in (command, *more):
        protocol.expect(line + b"\r\n", (Stage.AUTH,))
        answer = await protocol.answers(1)
        if not answer:
            return None
        reply = answer[0]
        if reply.code != 334:
            return reply
    protocol.violate("one challenge too many in the login")
    return None

"""AUTH: the dialogue by which a client logs in, and what it may do then.

Owns the commands and challenges of PLAIN and LOGIN; `sasl` decodes them, `users` checks them.
A password is asked for only where nobody can listen: under TLS, or inside this machine.

Source: RFC 4954; RFC 4616; RFC 3207 §4.2 (forgetting).
"""

from collections.abc import Callable
from functools import partial

from relayd.mail.account import Account
from relayd.mail.address import Address
from relayd.mail.reply import Reply, SyntaxRefused
from relayd.policy import admit
from relayd.policy.origin import Origin
from relayd.receiver import sasl
from relayd.receiver.context import SessionContext
from relayd.receiver.identity import Identity
from relayd.receiver.users import TROUBLE
from relayd.receiver.wire import COMMAND_LIMIT
from relayd.settings import ListenerAuth

LINE_LIMIT = 12288  # octets of a line of AUTH with its CRLF, RFC 4954 §4
FAILURE_LIMIT = 3  # in a session
_OFFERED = b"AUTH PLAIN LOGIN"
_NEEDS_ENCRYPTION = Reply(538, "5.7.11", ("5.7.11 Encryption required to log in",))


class Login(Identity):
    """A client that may log in."""

    def __init__(self, context: SessionContext, origin: Origin) -> None:
        super().__init__(context, origin)
        self._account: Account | None = None  # that was logged in to here
        self._answer: Callable[[bytes], None] | None = None  # what takes the answer to a challenge
        self._failures = 0

    @property
    def line_limit(self) -> int:
        """Return 12288 inside the dialogue, and for the command that begins it."""
        is_auth = self._answer is not None or self._input[:5].upper() == b"AUTH "
        return LINE_LIMIT if is_auth else COMMAND_LIMIT

    # --- what it may do -----------------------------------------------------------------------

    def _may_relay(self) -> bool:
        if self._is_logged_in():
            return True
        auth = self._context.listener.auth
        return auth is not ListenerAuth.REQUIRED and super()._may_relay()

    def _is_logged_in(self) -> bool:
        """Tell whether the client has an account; a proxy's word counts where clients can log in."""
        return self._context.listener.auth is not ListenerAuth.OFF and self.auth_user is not None

    def _is_turned_away(self) -> bool:
        """Tell the client, where it is so, that it may send nothing now."""
        if self._is_outdated():
            self.close_with(b"421 4.7.0 Your account has changed, log in again\r\n")
            return True
        if self._context.listener.auth is not ListenerAuth.REQUIRED or self.auth_user is not None:
            return False
        needs_tls = self._offers_tls() and not self._is_private()
        self._refuse(admit.NEEDS_TLS if needs_tls else admit.NEEDS_LOGIN)
        return True

    def _refusal_of_sender(self, reverse_path: Address | None) -> Reply | None:
        account = self._account
        if account is None or account.may_send_as(reverse_path):
            return None
        return admit.NOT_YOUR_SENDER

    def _is_outdated(self) -> bool:
        """Tell whether the account that was logged in to has changed, or is gone."""
        account, users = self._account, self._context.users
        return account is not None and users is not None and users.find(account.name) != account

    def _forget(self) -> None:
        super()._forget()
        self.auth_user, self._account = None, None

    # --- where it may log in ------------------------------------------------------------------

    def _offers_auth(self) -> bool:
        return self._context.users is not None and self._is_private()

    def _is_private(self) -> bool:
        """Nobody can listen: the connection is encrypted, or does not leave this machine.

        Both its other end and the client that a proxy speaks for must be here.
        """
        if self.tls_version is not None:
            return True
        if not self.origin.is_here:
            return False
        peer = None if self._wire is None else self._wire.get_extra_info("peername")
        peer_ip = str(peer[0]) if isinstance(peer, tuple) else ""
        return admit.is_this_machine(peer_ip)

    def _further_offers(self) -> list[bytes]:
        offers = super()._further_offers()
        return [*offers, _OFFERED] if self._offers_auth() else offers

    # --- the dialogue -------------------------------------------------------------------------

    def say_auth(self, argument: bytes) -> None:
        self._junk += 1
        if (refusal := self._refusal_of_auth()) is not None:
            self._fail(refusal)
            return
        mechanism, _, initial = argument.strip(b" ").partition(b" ")
        if not mechanism:
            self._fail(b"501 5.5.4 Syntax: AUTH mechanism [initial-response]\r\n")
            return
        begin = {b"PLAIN": self._plain, b"LOGIN": self._login}.get(mechanism.upper())
        if begin is None:
            self._fail(b"504 5.5.4 Unrecognized authentication type\r\n")
            return
        try:
            begin(sasl.decode_initial(initial) if initial else None)
        except SyntaxRefused as refused:
            self._refuse(refused.reply)

    def _refusal_of_auth(self) -> bytes | None:
        """Say why this is not the time or the place."""
        if self._context.users is None:
            return b"502 5.5.1 AUTH is not offered\r\n"
        if not self.extended:
            return b"503 5.5.1 Send EHLO first\r\n"
        if self.auth_user is not None:
            return b"503 5.5.1 Already authenticated\r\n"
        if self._mail is not None:
            return b"503 5.5.1 Not inside a mail transaction\r\n"
        if self._is_private():
            return None
        is_required = self._context.listener.auth is ListenerAuth.REQUIRED
        needs_tls = is_required and self._offers_tls()
        return f"{admit.NEEDS_TLS if needs_tls else _NEEDS_ENCRYPTION}\r\n".encode()

    def take_answer(self, line: bytes) -> None:
        """Take the answer to a challenge; nothing may be sent behind it before its reply."""
        take, self._answer = self._answer, None
        assert take is not None
        if self._input:
            self.close_with(b"554 5.5.0 Answer pipelined before its turn\r\n")  # S-39
            return
        try:
            take(sasl.decode_response(line))
        except SyntaxRefused as refused:
            self._refuse(refused.reply)

    def _challenge(self, challenge: bytes, take: Callable[[bytes], None]) -> None:
        self._answer = take
        self.reply(b"334 %b\r\n" % challenge)

    def _plain(self, message: bytes | None) -> None:
        if message is None:
            self._challenge(b"", self._plain)
        else:
            self._try(sasl.parse_plain(message))

    def _login(self, name: bytes | None) -> None:
        if name is None:
            self._challenge(b"VXNlcm5hbWU6", self._login)  # Username:
        else:
            user = sasl.parse_text(name)
            self._challenge(b"UGFzc3dvcmQ6", partial(self._login_password, user))  # Password:

    def _login_password(self, user: str, password: bytes) -> None:
        self._try(sasl.Credentials(user=user, password=sasl.parse_text(password)))

    def _try(self, given: sasl.Credentials) -> None:
        self.hold()
        self._begin(self._check(given))

    async def _check(self, given: sasl.Credentials) -> None:
        users = self._context.users
        assert users is not None
        result = await users.check(given, self.origin)
        if isinstance(result, Account):
            self._account, self.auth_user = result, result.name
            self._is_still_admitted()
            self.reply(b"235 2.7.0 Authentication successful\r\n")
        else:
            self._failures += result is not TROUBLE
            self._refuse(result)
        if self._failures >= FAILURE_LIMIT:
            self.close_with(b"421 4.7.0 Too many failed logins\r\n")
        self.resume()

"""What a session knows of its client, and what the client may do because of it.

Some of it is forgotten when TLS begins, or when a proxy says for whom it speaks.

Source: RFC 3207 §4.2; RFC 3848, RFC 6531 §4.3 (names of the protocol).
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from relayd.mail.account import Account
from relayd.mail.envelope import LOGIN
from relayd.policy.intake import admit
from relayd.policy.intake.access import AccessRules, Allowed
from relayd.policy.intake.origin import Origin
from relayd.policy.intake.places import Whose
from relayd.receiver.transaction import Transaction
from relayd.settings import ListenerAuth, ListenerSettings, ListenerTls


@dataclass(slots=True)
class ClientState:
    """A client of one listener."""

    listener: ListenerSettings
    origin: Origin
    peer: object = None  # the other end's address, as the socket has it
    tls_version: str | None = None  # such as TLSv1.3; None in clear text
    is_proxy: bool = False  # it may say for whom it speaks
    helo: str = ""  # empty: nobody has said hello
    extended: bool = False  # it was EHLO
    auth_user: str | None = None  # logged in here, or by its proxy's word
    account: Account | None = None  # that was logged in to here
    mail: Transaction | None = None
    may_relay: bool = field(init=False)
    is_here: bool = field(init=False)  # it is on this machine
    is_ours: bool = field(init=False)  # it is on this machine, or has logged in
    account_name: str = field(init=False)  # what counts as one client, whatever it calls itself

    def __post_init__(self) -> None:
        self.is_proxy = self.listener.is_console or self.origin.is_among(
            self.listener.xclient_networks
        )
        self.judge()

    def judge(self) -> None:
        """Say anew what it may do and who it is, after what that depends on has changed."""
        # A proxy's word about an account counts where clients can log in.
        is_logged_in = self.auth_user is not None and self.listener.auth is not ListenerAuth.OFF
        is_open = self.listener.auth is not ListenerAuth.REQUIRED
        self.may_relay = is_logged_in or (is_open and self.origin.may_relay(self.listener.networks))
        self.is_here = self.origin.is_here
        self.is_ours = is_logged_in or self.is_here
        if self.auth_user is None:
            self.account_name = self.origin.client(is_stranger=True)
        else:
            self.account_name = f"{LOGIN} {self.auth_user}"

    def allowed_by(self, rules: AccessRules) -> Collection[Allowed]:
        """Return the lists of addresses that its mail has to keep to; a stranger sends none."""
        if not self.may_relay:
            return ()
        return rules.for_client(self.listener.allowed, self.origin, self.auth_user)

    def forget(self) -> None:
        """Forget all that the client said; to be judged anew after it."""
        self.helo, self.extended, self.mail = "", False, None
        self.auth_user, self.account = None, None

    @property
    def is_private(self) -> bool:
        """Nobody can listen: the connection is encrypted, or does not leave this machine.

        Both its other end and the client that a proxy speaks for must be here.
        """
        if self.tls_version is not None:
            return True
        if not self.is_here:
            return False
        peer_ip = str(self.peer[0]) if isinstance(self.peer, tuple) else ""
        return admit.is_this_machine(peer_ip)

    @property
    def can_start_tls(self) -> bool:
        return self.listener.tls is ListenerTls.STARTTLS and self.tls_version is None

    @property
    def whose(self) -> Whose:
        """Say whom the connection belongs to."""
        is_stranger = not self.may_relay
        return Whose(
            listener=self.listener.address,
            client=self.origin.client(is_stranger=is_stranger),
            site=self.origin.site,
            is_stranger=is_stranger,
        )

    def protocol(self, *, smtputf8: bool) -> str:
        """Name the protocol for the trace header."""
        if not self.extended:
            return "SMTP"
        secure = "S" if self.tls_version is not None else ""
        known = "A" if self.auth_user is not None else ""
        return ("UTF8SMTP" if smtputf8 else "ESMTP") + secure + known

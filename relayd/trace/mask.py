"""What may be shown of an SMTP dialogue: what logs somebody in, or proves something, is masked.

Pure. A line of a client is shown when it begins with a command that we know; all else may be the answer
to a challenge, or a password in the wrong place. From AUTH on, and after each 334, everything that
the client says is masked until the server has answered it with something else. What was masked is
masked in what the other side says as well: servers quote what they do not understand.

A dialogue that is looked at from its middle on may be in the midst of a login. Until the server has
answered something, only what cannot be one is shown then.

Sources: RFC 4954 §4 (AUTH), RFC 4616 (PLAIN), RFC 7628 §3.1 (OAUTHBEARER), XCLIENT_README of Postfix.
"""

import base64
import binascii
import re
from collections.abc import Iterator

from relayd.policy import verp

HIDDEN = "***"
LONGEST = 1000  # characters of a line that are shown
_KEPT = 32  # secrets of one dialogue that are remembered
_SHORTEST = 4  # characters: what is shorter is found in any text
_MECHANISMS = frozenset(
    ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1"]
)
_WITH_ARGUMENT = frozenset(["EHLO", "HELO", "LHLO", "MAIL", "RCPT", "NOOP", "VRFY", "EXPN", "HELP"])
_WITHOUT = frozenset(
    ["DATA", "RSET", "QUIT", "STARTTLS", "."]
)  # the dot ends a transaction without content
_ENVELOPE = re.compile(r"(?:MAIL FROM|RCPT TO):", re.IGNORECASE)  # no base64 has a colon
_PROXY_LOGIN = re.compile(r"(?<![^\s])(LOGIN=)(\S*)", re.IGNORECASE)
_BEARER = re.compile(r"Bearer\s+([^\s\x01]+)", re.IGNORECASE)


class Mask:
    """What is known of one dialogue. Lines go through in the order in which they were said."""

    def __init__(self, *, is_known: bool = True) -> None:
        """`is_known`: the dialogue begins here, or is known to be outside of a login."""
        self._is_known = is_known
        self._in_login = False
        self._mechanism = ""
        self._answers = 0  # of the login under way
        self._secrets: list[str] = []

    def of_another(self) -> "Mask":
        """Return the mask of another dialogue that has the same secrets."""
        other = Mask()
        other._secrets = self._secrets
        return other

    def of_command(self, line: bytes) -> str:
        """Return what may be shown of a client's line, given without its CRLF."""
        text = line.decode("utf-8", "backslashreplace")
        if self._in_login:
            self._learn(text)
            return HIDDEN
        if not self._is_known and not _ENVELOPE.match(text):
            self._learn(text)
            return HIDDEN
        return self.shown(self._command(text))

    def of_reply(self, text: str) -> str:
        """Return what may be shown of a server's reply, all of its lines."""
        self._in_login = text.startswith("334")
        was_known = self._is_known
        self._is_known = was_known or not self._in_login
        if self._in_login or not was_known:  # it may repeat what was said before we looked
            return f"{text[:3]} {HIDDEN}"
        return self.shown(text)

    def shown(self, text: str) -> str:
        """Return a text without what is known to be secret, and not too long."""
        for secret in sorted(self._secrets, key=len, reverse=True):  # what holds another first
            text = re.sub(re.escape(secret), HIDDEN, text, flags=re.IGNORECASE)
        text = verp.masked(text)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]} [...]"

    def _command(self, text: str) -> str:
        verb, _, argument = text.partition(" ")
        match verb.upper():
            case "AUTH":
                return f"{verb} {self._begin_login(argument)}".rstrip()
            case "XCLIENT":
                for _, login in _PROXY_LOGIN.findall(argument):
                    self._keep(login)
                return f"{verb} {_PROXY_LOGIN.sub(lambda found: found[1] + HIDDEN, argument)}"
            case known if known in _WITH_ARGUMENT:
                return text
            case known if known in _WITHOUT:
                self._learn(argument)
                return f"{verb} {HIDDEN}" if argument else verb
            case _:
                self._learn(text)
                return f"{HIDDEN} (no command: {len(text)} characters)"

    def _begin_login(self, argument: str) -> str:
        self._in_login, self._answers = True, 0
        mechanism, _, initial = argument.strip().partition(" ")
        self._mechanism = mechanism.upper()
        if self._mechanism not in _MECHANISMS:
            self._learn(argument)
            return HIDDEN if argument else ""
        if not initial:
            return mechanism
        self._learn(initial)
        return f"{mechanism} {HIDDEN}"

    def _learn(self, text: str) -> None:
        """Remember a line that was masked, and what is secret inside it."""
        self._answers += 1
        for word in text.split():
            self._keep(word)
            try:
                answer = base64.b64decode(word, validate=True).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                continue
            for secret in _secrets_in(answer, self._mechanism, self._answers):
                self._keep(secret)

    def _keep(self, secret: str) -> None:
        coded = base64.b64encode(secret.encode("utf-8", "replace")).decode()
        if len(secret) >= _SHORTEST and secret not in self._secrets:
            del self._secrets[: 2 - _KEPT]
            self._secrets += [secret, coded]


def _secrets_in(text: str, mechanism: str, number: int) -> Iterator[str]:
    """What must not be repeated of the `number`-th answer; names may be."""
    yield from _BEARER.findall(text)
    if "\0" in text:
        yield text.rpartition("\0")[2]
    elif mechanism != "LOGIN" or number > 1:
        yield text


def shown_content(octets: bytes, *, most: int) -> str:
    """Return the first `most` octets of content for eyes, its tokens masked; line ends are kept.

    A token that begins in them is known as one only if `octets` holds it whole.
    """
    shown = verp.masked_octets(octets)[:most]  # each octet is still where it was
    return shown.decode("utf-8", "backslashreplace").replace("\r\n", "\n")

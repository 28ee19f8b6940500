"""A slow reference for a session that is played line by line: which reply to each, what is queued.

Keeps the few facts that RFC 5321 §4.1.4 hangs the order of commands on, and asks `grammar` and the
slow reader. What relayd says beyond that has targets of its own: its reading of XCLIENT is believed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from relayd.mail.envelope import NewMessage
from relayd.mail.reply import SyntaxRefused
from relayd.receiver.reader import Fault
from relayd.receiver.xclient import parse_xclient
from relayd.settings import FixUps, LimitSettings, ListenerSettings
from tests.fuzz.grammar import Path, Refused, read_mail, read_rcpt
from tests.support.content import slow

_REPLY_LINE = re.compile(rb"([2-5]\d\d)([ -])[\x20-\x7e]*")
_TRACE = re.compile(rb"Received: [^\r\n\0]+\r\n(?:[\t][^\r\n\0]+\r\n)+")
_ADDED = re.compile(rb"(?:(?:Date|Message-ID): [^\r\n\0]+\r\n)*(?:\r\n)?")
_CONTROLS = frozenset({*range(0x20), 0x7F})
_HTTP = (b"GET", b"POST", b"PUT", b"HEAD", b"CONNECT", b"OPTIONS")
_PATIENCE = 100  # commands before the relay may have had enough of them
_AUTH_CODES = frozenset({235, 334, 454, 501, 535})


@dataclass(slots=True)
class Expected:
    """A message that was taken."""

    reverse_path: Path
    parameters: Mapping[str, str]
    recipients: list[tuple[Path, Mapping[str, str]]] = field(default_factory=list)
    content: bytes = b""


class Judge:
    """Watches one session. `take` every line of it, and what came of that."""

    def __init__(
        self, listener: ListenerSettings, limits: LimitSettings, *, offers_auth: bool
    ) -> None:
        self._listener = listener
        self._limits = limits
        self._offers_auth = offers_auth
        self._is_spoken_for = False  # its proxy has said XCLIENT
        self._client = "127.0.0.1"  # empty: a proxy does not know the address
        self._helo = self._extended = self._is_known = False
        self._asks = self._closes = self._is_over = False
        self._mail: Expected | None = None
        self._content: bytearray | None = None
        self._commands = 0
        self._messages: list[Expected] = []

    def take(self, line: bytes, said: bytes, *, is_closed: bool) -> None:
        """Judge what was said to a line. The last line of a session may lack its end."""
        codes = _codes(said)
        if self._is_over:
            assert not codes, "a word behind the last one"
            return
        self._closes = False
        if self._content is not None:
            expected = self._take_content(line)
        elif (fault := self._fault_of(line)) is not None:
            expected, self._closes = fault, fault != {None}
        else:
            self._commands += 1
            expected = self._take_command(line[:-2], codes)
        self._is_over = is_closed
        assert is_closed is (self._closes or 421 in codes), (line, codes)
        if len(codes) == 2:
            assert codes.pop() == 421
            assert is_closed
            assert self._commands > _PATIENCE or self._offers_auth
        assert (codes[0] if codes else None) in expected, (line, codes, expected)
        assert len(codes) <= 1, (line, codes)

    def closing(self, messages: Sequence[NewMessage]) -> None:
        """Compare what was queued with what had to be."""
        assert len(messages) == len(self._messages)
        for message, expected in zip(messages, self._messages, strict=True):
            assert _path(message.reverse_path) == expected.reverse_path
            assert message.parameters.words() == expected.parameters
            found = [(_path(one.address), one.parameters.words()) for one in message.recipients]
            assert found == expected.recipients
            self._check_content(bytes(message.content[:]), expected.content)

    def _check_content(self, content: bytes, expected: bytes) -> None:
        trace = _TRACE.match(content)
        assert trace is not None
        assert all(len(line) <= 998 for line in trace[0].split(b"\r\n"))
        lowered = expected.lower()
        if b"x-relayd-" in lowered or (
            self._listener.strip_bcc is FixUps.ALWAYS and b"bcc" in lowered
        ):
            return
        assert content.endswith(expected)
        added = content[trace.end() : len(content) - len(expected)]
        assert _ADDED.fullmatch(added)
        assert self._listener.add_headers is FixUps.ALWAYS or not added

    # --- what a line may be answered with: codes, None for no reply ------------------------------

    def _take_content(self, line: bytes) -> set[int | None]:
        assert self._content is not None
        assert self._mail is not None
        self._content += line
        verdict = slow(
            bytes(self._content) if line == b".\r\n" else b"",
            self._listener.line_endings,
            self._limits.message_size,
        )
        if verdict is None:
            self._closes = len(self._content) > 2 * self._limits.message_size
            return {552 if self._closes else None}
        content, rest = verdict
        assert rest == b""
        mail, self._mail, self._content = self._mail, None, None
        if isinstance(content, Fault):
            self._closes = True
            return {552 if content is Fault.TOO_BIG else 550}
        mail.content = content
        self._messages.append(mail)
        return {250}

    def _fault_of(self, line: bytes) -> set[int | None] | None:
        if line[:1] == b"\x16":
            return {554}
        is_long = self._asks or line[:5].upper() == b"AUTH "
        if len(line) > (12288 if is_long else 4096):
            return {500}
        if line[-1:] != b"\n":
            return {None}
        return None if line[-2:] == b"\r\n" and line.count(b"\r") == 1 else {500}

    def _take_command(self, line: bytes, codes: Sequence[int]) -> set[int | None]:
        if self._asks:
            return self._take_auth(codes)
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        if verb == b"AUTH":
            refusal = self._refusal_of_auth(argument)
            return self._take_auth(codes) if refusal is None else {refusal}
        self._closes = verb in _HTTP or verb in (b"QUIT", b"BDAT")
        if verb in _HTTP:
            return {554}
        take = self._commands_by_verb.get(verb)
        return {500} if take is None else {take(self, argument)}

    def _take_auth(self, codes: Sequence[int]) -> set[int | None]:
        """Whether the credentials are right is not ours to know; what follows from it is."""
        self._asks = codes[:1] == [334]
        self._is_known = codes[:1] == [235]
        return {*_AUTH_CODES}

    def _refusal_of_auth(self, argument: bytes) -> int | None:
        mechanism = argument.strip(b" ").partition(b" ")[0].upper()
        if not self._offers_auth:
            return 502
        if not self._extended or self._is_known or self._mail is not None:
            return 503
        if not self._is_here():
            return 538
        return None if mechanism in (b"PLAIN", b"LOGIN") else 504 if mechanism else 501

    def _ehlo(self, argument: bytes) -> int:
        return self._hello(argument, extended=True)

    def _helo_command(self, argument: bytes) -> int:
        return self._hello(argument, extended=False)

    def _hello(self, argument: bytes, *, extended: bool) -> int:
        name = argument.strip(b" ")
        if not _is_helo_name(name):
            return 501
        self._helo, self._extended, self._mail = True, extended, None
        return 250

    def _starttls(self, argument: bytes) -> int:
        return 501 if argument else 502

    def _xclient(self, argument: bytes) -> int:
        if not self._listener.xclient_networks or self._is_spoken_for:
            return 550
        if self._mail is not None:
            return 503
        try:
            claim = parse_xclient(argument)
        except SyntaxRefused:
            return 501
        self._helo, self._extended = claim.helo is not None, False
        self._is_known = claim.login is not None
        self._client, self._is_spoken_for = claim.address or "", True
        return 220

    def _mail_command(self, argument: bytes) -> int:
        if not self._helo or self._mail is not None:
            return 503
        takes_auth = self._offers_auth and self._is_here()
        try:
            path, given = read_mail(argument, extended=self._extended, takes_auth=takes_auth)
        except Refused as refused:
            return refused.code
        if int(given.get("SIZE", 0)) > self._limits.message_size:
            return 552
        if path is not None and "SMTPUTF8" not in given and not "".join(path).isascii():
            return 550
        self._mail = Expected(path, given)
        return 250

    def _rcpt(self, argument: bytes) -> int:
        mail = self._mail
        if mail is None:
            return 503
        smtputf8 = "SMTPUTF8" in mail.parameters
        try:
            path, given = read_rcpt(argument, extended=self._extended, smtputf8=smtputf8)
        except Refused as refused:
            return refused.code
        assert path is not None
        refusal = self._refusal_of_recipient(path, mail, smtputf8=smtputf8)
        if refusal is not None:
            return refusal
        mail.recipients.append((path, given))
        return 250

    def _refusal_of_recipient(
        self, path: tuple[str, str], mail: Expected, *, smtputf8: bool
    ) -> int | None:
        if _is_return_path(path):
            return 452 if mail.recipients else None if path[0] == "known" else 550
        if not self._may_relay():
            return 550
        if mail.recipients and _is_return_path(mail.recipients[0][0]):
            return 452
        if path[1][:1] == "[" or not (smtputf8 or "".join(path).isascii()):
            return 553
        return 452 if len(mail.recipients) >= self._limits.recipients else None

    def _may_relay(self) -> bool:
        if self._is_known and self._offers_auth:
            return True
        client = self._address()
        return client is not None and any(client in one for one in self._listener.networks)

    def _is_here(self) -> bool:
        client = self._address()
        return client is not None and client.is_loopback

    def _address(self) -> IPv4Address | IPv6Address | None:
        if not self._client:
            return None
        address = ip_address(self._client)
        return getattr(address, "ipv4_mapped", None) or address

    def _data(self, argument: bytes) -> int:
        if argument:
            return 501
        if self._mail is None:
            return 503
        if not self._mail.recipients:
            return 554
        self._content = bytearray()
        return 354

    def _rset(self, argument: bytes) -> int:
        if argument:
            return 501
        self._mail = None
        return 250

    def _vrfy(self, argument: bytes) -> int:
        return 252 if argument else 501

    _commands_by_verb: Mapping[bytes, Callable[["Judge", bytes], int]] = {
        b"EHLO": _ehlo,
        b"HELO": _helo_command,
        b"STARTTLS": _starttls,
        b"XCLIENT": _xclient,
        b"MAIL": _mail_command,
        b"RCPT": _rcpt,
        b"DATA": _data,
        b"RSET": _rset,
        b"VRFY": _vrfy,
        b"NOOP": lambda _judge, _argument: 250,
        b"EXPN": lambda _judge, _argument: 502,
        b"BDAT": lambda _judge, _argument: 502,
        b"HELP": lambda _judge, _argument: 214,
        b"QUIT": lambda _judge, _argument: 221,
    }


def _codes(said: bytes) -> list[int]:
    """Read the replies; every line of them is clean and short (S-48, RFC 5321 §4.5.3.1.5)."""
    lines = said.split(b"\r\n")
    assert lines.pop() == b""
    codes, open_code = [], None
    for line in lines:
        found = _REPLY_LINE.fullmatch(line)
        assert found is not None, line
        assert len(line) <= 510
        assert open_code in (None, found[1])
        open_code = found[1] if found[2] == b"-" else None
        if open_code is None:
            codes.append(int(found[1]))
    assert open_code is None
    return codes


def _is_helo_name(name: bytes) -> bool:
    return 0 < len(name) <= 255 and not set(name) & _CONTROLS


def _path(address: object) -> Path:
    return None if address is None else (address.local, address.domain)  # type: ignore[attr-defined]


def _is_return_path(path: Path) -> bool:
    return path is not None and path[1].lower() == "returns.test"

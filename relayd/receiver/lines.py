"""Command lines out of octets, in any pieces: only CRLF ends a line, and no line is too long.

A listener may take bare LF too (`lenient`). Then the first line of a session decides for all of it, its content
included, which of both ends a line: never both, or two servers could see two ends of one message.

Source: RFC 5321 §2.3.8, §4.5.3.1.4; RFC 4954 §4 (lines of AUTH).
"""

COMMAND_LIMIT = 4096  # octets of a command line with its CRLF: 512 and room for every parameter
AUTH_LIMIT = 12288  # octets of a line of AUTH with its CRLF
_TOO_LONG = b"500 5.5.2 Line too long\r\n"


class NoLine(Exception):
    """What came in is no command line, and cannot become one; carries the last reply."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        super().__init__(reply)


class LineInput:
    """Add to `octets` what comes in; `take` the lines."""

    def __init__(self, *, takes_bare_lf: bool = False) -> None:
        self.octets = bytearray()
        self.ends_in_lf = False  # the lines of this session do, and none in CRLF
        self._is_undecided = takes_bare_lf

    def take(self, *, is_answer: bool) -> bytes | None:
        """Return the next complete line without its CRLF, None if there is none. Raises NoLine.

        `is_answer`: it is one of AUTH, as is the command that begins with that word.
        """
        octets = self.octets
        if octets[:1] == b"\x16":
            raise NoLine(b"554 5.5.1 No TLS handshake here\r\n")
        end = octets.find(b"\n") + 1
        length = end or len(octets)
        if length > COMMAND_LIMIT:
            is_auth = is_answer or octets[:5].upper() == b"AUTH "
            if length > AUTH_LIMIT or not is_auth:
                raise NoLine(_TOO_LONG)
        if not end:
            return None
        line = bytes(octets[:end])
        del octets[:end]
        if self._is_undecided:
            self._is_undecided = False
            self.ends_in_lf = line[-2:] != b"\r\n"
        if self.ends_in_lf:
            if b"\r" in line:
                raise NoLine(b"500 5.5.2 Lines end as the first one did\r\n")
            return line[:-1]
        if line[-2:] != b"\r\n" or line.count(b"\r") != 1:
            raise NoLine(b"500 5.5.2 Lines end with CR LF\r\n")  # E-27: nothing is executed
        return line[:-2]

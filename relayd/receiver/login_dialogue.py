"""The challenges of AUTH PLAIN and AUTH LOGIN, and the credentials at their end.

Pure: `sasl` decodes the answers, `login` gives the replies.

Source: RFC 4954 §4; RFC 4616 (PLAIN); draft-murchison-sasl-login.
"""

from relayd.receiver import sasl

MECHANISMS = (b"PLAIN", b"LOGIN")
_USERNAME = b"VXNlcm5hbWU6"  # Username:
_PASSWORD = b"UGFzc3dvcmQ6"  # Password:


class LoginDialogue:
    """One attempt to log in."""

    def __init__(self, mechanism: bytes) -> None:
        self._is_plain = mechanism == b"PLAIN"
        self._user: str | None = None

    def begin(self, initial: bytes) -> bytes | sasl.Credentials:
        """Return the first challenge in base64, or what `initial` says. Raises SyntaxRefused."""
        if initial:
            return self._take(sasl.decode_initial(initial))
        return b"" if self._is_plain else _USERNAME

    def answer(self, line: bytes) -> bytes | sasl.Credentials:
        """Return the next challenge, or the credentials. Raises SyntaxRefused."""
        return self._take(sasl.decode_response(line))

    def _take(self, message: bytes) -> bytes | sasl.Credentials:
        if self._is_plain:
            return sasl.parse_plain(message)
        text = sasl.parse_text(message)
        if self._user is None:
            self._user = text
            return _PASSWORD
        return sasl.Credentials(user=self._user, password=text)

"""The messages about log-ins by OpenID Connect.

    {"verb": "people.oidc_begin", "state": "...", "nonce": "...", "challenge": "...", "redirect_uri": "https://..."}

It answers with `url`, where the browser is sent.

    {"verb": "people.oidc_log_in", "code": "...", "verifier": "...", "nonce": "...", "redirect_uri": "https://...",
     "session": "HASH IN HEX", "client": "192.0.2.7"}

It answers with `done`, and if that is false with `why`, a sentence for people. The console says neither who somebody
is nor what they may do: the daemon hears that from the provider.
"""

from relayd.control.people import read_line, read_token_hash
from relayd.control.protocol import BadMessage, Message, read_text, refuse_unknown
from relayd.ports.oidc import Begun, Returned

_LONGEST = 4000  # characters of a code, or of a URL


def begin_to_json(begun: Begun) -> Message:
    return {
        "verb": "people.oidc_begin",
        "state": begun.state,
        "nonce": begun.nonce,
        "challenge": begun.challenge,
        "redirect_uri": begun.redirect_uri,
    }


def begin_from_json(message: Message) -> Begun:
    """Read that request. Raises BadMessage."""
    names = ("state", "nonce", "challenge", "redirect_uri")
    refuse_unknown(message, {"verb", *names})
    return Begun(**{name: _text(name, message) for name in names})


def log_in_to_json(returned: Returned, *, token_hash: bytes, client: str) -> Message:
    return {
        "verb": "people.oidc_log_in",
        "code": returned.code,
        "verifier": returned.verifier,
        "nonce": returned.nonce,
        "redirect_uri": returned.redirect_uri,
        "session": token_hash.hex(),
        "client": client,
    }


def log_in_from_json(message: Message) -> tuple[Returned, bytes, str]:
    """Read that request: also the hash of the session's token, and the address. Raises BadMessage."""
    names = ("code", "verifier", "nonce", "redirect_uri")
    refuse_unknown(message, {"verb", *names, "session", "client"})
    returned = Returned(**{name: _text(name, message) for name in names})
    return returned, read_token_hash(message), read_line("client", message)


def _text(name: str, message: Message) -> str:
    text: str = read_text(name, message.get(name), str)
    if not 0 < len(text) <= _LONGEST:
        raise BadMessage(f"{name!r} is empty or too long")
    return text

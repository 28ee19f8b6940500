"""What the answer of a token server means: a token, a refusal of ours, or a server that is no use for now.

Only an error of RFC 6749 in JSON is a refusal: it pauses the smarthost until somebody has fixed the settings.
Everything else that is no token may pass: a busy server, a proxy's page, a redirect.

Sources: RFC 6749 §5.1, §5.2; RFC 6750 §2.1 (what a token may consist of); RFC 8628 §3.2, §3.5.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from relayd.mail.http import HttpAnswer
from relayd.policy.oauth2.refusals import Wrong, in_words, passes, shown, wrong_in

_UNSAID = timedelta(minutes=5)  # how long a token counts if the server does not say
_LEAST = timedelta(
    minutes=1
)  # however short a server says, so that it is not asked for each connection
_MOST = timedelta(days=1)
_LONGEST = 16 * 1024  # characters of a token
_TOKEN = re.compile(r"[\x21-\x7e]+")
_REFUSALS = frozenset({400, 401, 403})
_PENDING = frozenset({"authorization_pending", "slow_down"})
_SLOWER = 5  # seconds more between two questions, RFC 8628 §3.5
_INTERVAL = 5
_SLOWEST = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A token, and for how long it counts."""

    access_token: str
    lives_for: timedelta
    refresh_token: str = ""  # in the place of the one before; empty: that one stays

    def __repr__(self) -> str:
        return f"Granted(***, lives_for={self.lives_for})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Our settings are wrong, or somebody took a right away; nothing helps but to fix that."""

    wrong: Wrong
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Down:
    """The server is no use for now, and is asked again soon."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Nobody has agreed yet; ask again after so many seconds."""

    interval: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCode:
    """A code that somebody types at an address, and what we ask with meanwhile."""

    device_code: str
    user_code: str
    address: str
    lives_for: timedelta
    interval: int  # seconds between two questions

    def __repr__(self) -> str:
        return f"DeviceCode({self.user_code!r}, {self.address!r}, ***)"


def judge(answer: HttpAnswer, secrets: Sequence[str]) -> Granted | Refused | Down:
    """Return what an answer to a form means. `secrets` are those of the form, which no reason repeats."""
    found = _fields(answer)
    if found is None:
        return Down(reason=_no_json(answer))
    error = _text(found, "error")
    if error:
        said = _text(found, "error_description")
        if answer.status not in _REFUSALS or passes(error, said):
            return Down(reason=f"the token server says {shown(f'{error}: {said}', secrets)}")
        wrong = wrong_in(error, said)
        return Refused(wrong=wrong, reason=in_words(wrong, error, said, secrets))
    if answer.status != 200:
        return Down(reason=f"the token server answers {answer.status}")
    return _granted(found)


def judge_poll(
    answer: HttpAnswer, secrets: Sequence[str], interval: int
) -> Granted | Refused | Down | Pending:
    """Return what an answer to `device_poll` means; `interval` is what was waited before it."""
    found = _fields(answer)
    error = "" if found is None else _text(found, "error")
    if error not in _PENDING:
        return judge(answer, secrets)
    more = _SLOWER if error == "slow_down" else 0
    return Pending(interval=min(interval + more, _SLOWEST))


def judge_device(answer: HttpAnswer, secrets: Sequence[str]) -> DeviceCode | Refused | Down:
    """Return what an answer to `device_start` means."""
    found = _fields(answer)
    if found is None or answer.status != 200 or _text(found, "error"):
        judged = judge(answer, secrets)
        return (
            Down(reason="the token server gives no code") if isinstance(judged, Granted) else judged
        )
    address = _text(found, "verification_uri") or _text(found, "verification_url")
    device, user = _text(found, "device_code"), _text(found, "user_code")
    if not (
        address.startswith("https://") and _TOKEN.fullmatch(device) and user.isprintable() and user
    ):
        return Down(reason="the token server gives no code that can be shown")
    return DeviceCode(
        device_code=device,
        user_code=user[:_SLOWEST],
        address=shown(address, ()),
        lives_for=_lifetime(found),
        interval=min(max(_seconds(found, "interval") or _INTERVAL, 1), _SLOWEST),
    )


def _granted(found: Mapping[str, object]) -> Granted | Down:
    token, kind = _text(found, "access_token"), _text(found, "token_type")
    if not _is_token(token):
        return Down(reason="the token server gives no token that can be used")
    if kind and kind.lower() != "bearer":
        return Down(reason=f"the token server gives a token of the type {shown(kind, (token,))}")
    renewed = _text(found, "refresh_token")
    return Granted(
        access_token=token,
        lives_for=_lifetime(found),
        refresh_token=renewed if _is_token(renewed) else "",
    )


def _is_token(text: str) -> bool:
    return len(text) <= _LONGEST and _TOKEN.fullmatch(text) is not None


def _lifetime(found: Mapping[str, object]) -> timedelta:
    seconds = _seconds(found, "expires_in")
    if seconds is None:
        return _UNSAID
    return min(max(timedelta(seconds=min(seconds, 10**6)), _LEAST), _MOST)


def _seconds(found: Mapping[str, object], name: str) -> int | None:
    """Return a number of seconds, which some servers write as text; None: there is none."""
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(float(value)) if len(str(value)) < 20 else None
    except (ValueError, OverflowError):
        return None


def _fields(answer: HttpAnswer) -> Mapping[str, object] | None:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _text(found: Mapping[str, object], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""


def _no_json(answer: HttpAnswer) -> str:
    kind = shown(answer.content_type, ()) or "no type"
    why = "; nothing is followed" if 300 <= answer.status < 400 else ""
    return f"the token server answers {answer.status} with {kind}, and no JSON{why}: see oauth2_token_url"

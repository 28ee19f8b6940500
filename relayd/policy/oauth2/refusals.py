"""What of our settings a token server finds wrong, by the code and the words of its refusal.

Microsoft has one error word for many causes, and tells them apart by numbers (AADSTS). Google tells them apart by
words. What is for now only (a busy server) is no refusal.

Sources: RFC 6749 §5.2; RFC 8628 §3.5; https://learn.microsoft.com/entra/identity-platform/reference-error-codes;
https://developers.google.com/identity/protocols/oauth2/service-account#error-codes.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from relayd.mail.text import replaced


class Wrong(StrEnum):
    """What is wrong, in the words of the log."""

    TENANT = "the tenant"
    CLIENT = "the client id"
    SECRET = "the client secret"  # noqa: S105
    SCOPE = "the scope"
    CONSENT = "the consent"
    SIGN_IN = "the sign-in"
    USER = "the user name"
    KEY = "the service account's key"
    CLOCK = "the clock of this machine"
    SETTINGS = "the settings"


REMEDIES: Mapping[Wrong, str] = {
    Wrong.TENANT: "see oauth2_tenant",
    Wrong.CLIENT: "see oauth2_client_id",
    Wrong.SECRET: "make a new client secret, and write its value to the file of oauth2_client_secret_file",
    Wrong.SCOPE: "see oauth2_scope",
    Wrong.CONSENT: "an administrator has to grant the permission",
    Wrong.SIGN_IN: "somebody has to agree again: relayd oauth2 login",
    Wrong.USER: "see username",
    Wrong.KEY: "make a new key, and write it to the file of oauth2_key_file",
    Wrong.CLOCK: "set it, and keep it right",
    Wrong.SETTINGS: "see the keys that begin with oauth2_",
}
_AADSTS = re.compile(r"AADSTS(\d{4,8})")
_OF_MICROSOFT: Mapping[int, Wrong] = {
    **dict.fromkeys((90002, 90013, 900021, 900023, 90072, 50059, 500021), Wrong.TENANT),
    **dict.fromkeys((700016, 7000112, 700038, 9002313), Wrong.CLIENT),
    **dict.fromkeys((7000215, 7000222, 7000218, 7000216, 700027), Wrong.SECRET),
    **dict.fromkeys((70011, 1002012, 28002, 28003, 500011, 650053, 650057, 9010010), Wrong.SCOPE),
    **dict.fromkeys((65001, 65004, 90094, 90095, 50105, 500014, 7000012), Wrong.CONSENT),
    **dict.fromkeys(
        (50072, 50074, 50076, 50079, 50158, 53000, 53001, 53003, 530003), Wrong.SIGN_IN
    ),
    **dict.fromkeys(
        (50132, 50133, 50173, 54005, 70000, 70002, 70008, 70043, 700082), Wrong.SIGN_IN
    ),
    **dict.fromkeys((50020, 50034, 50053, 50055, 50057, 51004), Wrong.USER),
}
_PASSES = frozenset({50196, 90006, 90012, 90024, 90033, 90055})
"""AADSTS codes that say to come again later."""
_WORDS: Sequence[tuple[str, Wrong]] = (
    ("invalid jwt signature", Wrong.KEY),
    ("short-lived token", Wrong.CLOCK),
    ("invalid jwt", Wrong.KEY),
    ("invalid email or user id", Wrong.USER),
    ("account not found", Wrong.KEY),
    ("client was not found", Wrong.CLIENT),
    ("client secret", Wrong.SECRET),
)
_ERRORS: Mapping[str, Wrong] = {
    "invalid_client": Wrong.SECRET,
    "invalid_grant": Wrong.SIGN_IN,
    "unauthorized_client": Wrong.CONSENT,
    "access_denied": Wrong.CONSENT,
    "consent_required": Wrong.CONSENT,
    "interaction_required": Wrong.SIGN_IN,
    "invalid_scope": Wrong.SCOPE,
    "org_internal": Wrong.CLIENT,
    "deleted_client": Wrong.CLIENT,
}
_FOR_NOW = frozenset({"temporarily_unavailable", "server_error", "slow_down", "internal_failure"})
_TRACE = re.compile(r"\s(?:Trace ID|Correlation ID|Timestamp):.*", re.DOTALL)
_SHOWN = 200  # characters of what the server says


def passes(error: str, description: str) -> bool:
    """Tell whether a refusal is for now only."""
    code = _code_in(description)
    return error in _FOR_NOW or code in _PASSES


def wrong_in(error: str, description: str) -> Wrong:
    """Return what is wrong, by the fields `error` and `error_description`."""
    code = _code_in(description)
    if code in _OF_MICROSOFT:
        return _OF_MICROSOFT[code]
    said = description.lower()
    by_words = (wrong for words, wrong in _WORDS if words in said)
    return next(by_words, _ERRORS.get(error, Wrong.SETTINGS))


def in_words(wrong: Wrong, error: str, description: str, secrets: Sequence[str]) -> str:
    """Return one line: what is wrong, what the server says, and what to do. No secret of ours is in it."""
    said = f"{error}: {description}" if description else error
    return f"the token server refuses {wrong} ({shown(said, secrets)}); {REMEDIES[wrong]}"


def shown(text: str, secrets: Sequence[str]) -> str:
    """Return what a server said, shortened, in one line, and without what it may quote of our secrets."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = replaced(" ".join(_TRACE.sub("", text).split()))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _code_in(description: str) -> int:
    found = _AADSTS.search(description)
    return int(found[1]) if found else 0

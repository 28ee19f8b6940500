"""Tell whether a smarthost refuses our login, which is no verdict about any mail (S-53).

Any 5yz to AUTH does, whatever its code, and so does a server that offers no mechanism of ours. At
MAIL it takes a code or status about logins, or words about them.

Source: RFC 4954 §6; RFC 5248 (status codes X.7.8 to X.7.13).
"""

from relayd.mail.attempt import Breakdown
from relayd.mail.outcome import Classification
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import Category

_CODES = frozenset({530, 534, 535, 538})
_STATUSES = frozenset({"5.7.8", "5.7.9", "5.7.11", "5.7.12", "5.7.13"})
_BASIC = "basic authentication"  # Microsoft, with 5.7.30, which others use for DKIM
ABOUT_LOGINS = frozenset({"login-refused", "login-words", "status-login", "code-login"})
"""The built-in rules on replies that are about logins."""


def ends_in_refusal(stage: Stage, ended_by: Reply | Breakdown) -> bool:
    """Tell whether a session that ended in this way ended because of our login."""
    if stage is not Stage.AUTH:
        return False
    if isinstance(ended_by, Breakdown):
        return ended_by.category is Category.RELAY_DENIED
    return ended_by.is_permanent


def wants_login(reply: Reply, found: Classification) -> bool:
    """Tell whether a reply to MAIL, which `found` classifies, wants a login or refuses ours."""
    if reply.code in _CODES:
        return True
    other = found.about_sender or found.category is Category.AUTH_FAILURE  # a sender's, or DMARC's
    about_logins = found.rule in ABOUT_LOGINS or (reply.enhanced in _STATUSES and not other)
    return reply.is_permanent and (about_logins or _BASIC in reply.text.lower())

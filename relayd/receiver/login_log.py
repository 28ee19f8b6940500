"""Failed logins in the operational log, however many there are.

The first ones of each minute have a line each; the others are counted in the first line after it. What
was refused without a check says so in lines of its own, which take no room from the rest.
"""

import structlog

from relayd.policy.dsn.lines import clean_line
from relayd.policy.seldom import AFew

_FAILURES = 60  # lines in a minute
_PUT_OFF = 10
_NOT_CHECKED = 1
_SHOWN = 64  # characters of a name

log = structlog.get_logger()


class LoginLog:
    def __init__(self) -> None:
        self._failures = AFew(_FAILURES)
        self._put_off = AFew(_PUT_OFF)
        self._not_checked = AFew(_NOT_CHECKED)

    def failed(self, user: str, client_ip: str, *, now: float) -> None:
        """Note a wrong name or password; `now` is monotonic, in seconds, as for the others."""
        self._note(self._failures, user, client_ip, "wrong name or password", now)

    def put_off(self, user: str, client_ip: str, *, now: float) -> None:
        """Note a login that was not looked at."""
        self._note(self._put_off, user, client_ip, "too many failed logins before", now)

    def not_checked(self, reason: str, *, now: float) -> None:
        """Note a login that could not be checked."""
        unsaid = self._not_checked.take(now)
        if unsaid is not None:
            log.warning("login_not_checked", fault="local", reason=reason, unsaid=unsaid)

    def _note(self, few: AFew, user: str, client_ip: str, reason: str, now: float) -> None:
        unsaid = few.take(now)
        if unsaid is not None:
            log.warning(
                "login_failed",
                fault="peer",
                client_ip=client_ip,
                auth_user=clean_line(user, utf8=False)[:_SHOWN],
                reason=reason,
                unsaid=unsaid,
            )

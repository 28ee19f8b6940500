"""`[logins.NAME]`: what holds for mail of a client that logged in under this name."""

from relayd.config import units
from relayd.config.access import AccessKeys, QuotaKeys
from relayd.config.fields import Table
from relayd.config.smarthosts import SmarthostName
from relayd.mail.account import AccountError, parse_name


def login_name(value: object) -> str:
    """Read a key of `[logins]`: the name of an account, in which upper and lower case differ."""
    try:
        return parse_name(units.text(value))
    except AccountError as wrong:
        raise ValueError(str(wrong)) from None


class LoginKeys(Table):
    """What is about logins alone."""

    smarthost: SmarthostName = ""


class LoginTable(QuotaKeys, AccessKeys, LoginKeys):
    """Mail of clients that logged in under one name."""

"""What a client says behind the paths of MAIL and RCPT, as values.

Words that go on to the next hop or into a report keep the spelling in which they came (S-56).

Source: RFC 1870 (SIZE); RFC 6152 (BODY); RFC 6531 (SMTPUTF8); RFC 3461 §4 (RET, ENVID, NOTIFY, ORCPT);
RFC 8689 (REQUIRETLS).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from relayd.mail.address import Address
from relayd.mail.once import Once

_NO_XCHAR = re.compile(r"[^!-*,-<>-~]")
_NO_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")


@dataclass(frozen=True, slots=True, kw_only=True)
class MailParameters:
    """The parameters of MAIL; None is what was not said."""

    size: int | None = None  # octets that the client declares
    body: str | None = None  # 7BIT or 8BITMIME, in any case
    smtputf8: bool = False
    ret: str | None = None  # FULL or HDRS, in any case
    envid: str | None = None  # xtext
    requiretls: bool = False  # RFC 8689: only where TLS is proven, on all of its way
    once: Once | None = None  # for relayd itself; neither stored nor passed on

    def words(self) -> dict[str, str]:
        """Return them by keyword, as they are stored; `mail_parameters` reads that."""
        given = {
            "SIZE": None if self.size is None else str(self.size),
            "BODY": self.body,
            "SMTPUTF8": "" if self.smtputf8 else None,
            "RET": self.ret,
            "ENVID": self.envid,
            "REQUIRETLS": "" if self.requiretls else None,
        }
        return {keyword: value for keyword, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class RcptParameters:
    """The parameters of RCPT; None is what was not said."""

    notify: str | None = None  # NEVER, or some of SUCCESS,FAILURE,DELAY, in any case
    orcpt: str | None = None  # type and xtext, or UTF-8 (RFC 6533 §3)

    def words(self) -> dict[str, str]:
        """Return them by keyword, as they are stored; `rcpt_parameters` reads that."""
        given = {"NOTIFY": self.notify, "ORCPT": self.orcpt}
        return {keyword: value for keyword, value in given.items() if value is not None}


def original_recipient(address: Address) -> str:
    """Return an address as ORCPT has it (RFC 3461 §4.2; RFC 6533 §3 for what is not ASCII)."""
    if address.is_ascii:
        return "rfc822;" + _NO_XCHAR.sub(lambda found: f"+{ord(found[0]):02X}", str(address))
    return "utf-8;" + _NO_QCHAR.sub(lambda found: f"\\x{{{ord(found[0]):X}}}", str(address))


MAIL_WITHOUT = MailParameters()
"""Of most messages: there are none."""
RCPT_WITHOUT = RcptParameters()
"""Of most recipients: there are none."""


def mail_parameters(words: Mapping[str, str]) -> MailParameters:
    """Read parameters by keyword. Raises ValueError where SIZE is no number."""
    size = words.get("SIZE")
    return MailParameters(
        size=None if size is None else int(size),
        body=words.get("BODY"),
        smtputf8="SMTPUTF8" in words,
        ret=words.get("RET"),
        envid=words.get("ENVID"),
        requiretls="REQUIRETLS" in words,
    )


def rcpt_parameters(words: Mapping[str, str]) -> RcptParameters:
    """Read parameters by keyword."""
    return RcptParameters(notify=words.get("NOTIFY"), orcpt=words.get("ORCPT"))

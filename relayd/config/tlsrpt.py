"""`[tlsrpt]`: which TLS reports are sent, and as whom."""

from typing import TYPE_CHECKING, Annotated

from pydantic import PlainValidator

from relayd.config import routes as where
from relayd.config import units
from relayd.config.dkim import DkimTable
from relayd.config.fields import AsText, Table
from relayd.mail.address import parse_address
from relayd.policy.dkim import domain_for
from relayd.policy.tls.reporting import ReportsSent
from relayd.settings import TlsrptSettings

if TYPE_CHECKING:
    from relayd.config.mistakes import Report


def _contact(value: object) -> str:
    text = where.address_or_none(value)
    if not text.isascii():
        raise ValueError("expected an address of ASCII characters: everybody has to read it")
    return text


class Tlsrpt(Table):
    send: Annotated[ReportsSent, PlainValidator(units.word(ReportsSent)), AsText] = (
        ReportsSent.FAILURES
    )
    contact: Annotated[str, PlainValidator(_contact)] = ""


def check_tlsrpt(tlsrpt: Tlsrpt, keys: list[DkimTable], report: "Report") -> None:
    """Note a contact whose reports nobody would believe."""
    if not report.is_sound(("dkim",), ("tlsrpt", "contact")) or not tlsrpt.contact:
        return
    if not _signing(parse_address(tlsrpt.contact).domain, keys):
        report.add(
            ("tlsrpt", "contact"),
            "needs a [[dkim]] table of its domain: reports come from it, and have to be signed",
        )


def tlsrpt_settings(tlsrpt: Tlsrpt, keys: list[DkimTable], fqdn: str) -> TlsrptSettings:
    """Return who reports; where nothing says so, the postmaster of the domain that signs for `fqdn`."""
    domain = _signing(parse_address(tlsrpt.contact).domain if tlsrpt.contact else fqdn, keys)
    contact = tlsrpt.contact or f"postmaster@{domain}"
    return TlsrptSettings(send=tlsrpt.send, contact=contact if domain else "", domain=domain)


def _signing(domain: str, keys: list[DkimTable]) -> str:
    return domain_for(domain, {each.domain for each in keys}) or ""

"""Read disposition notifications.

Owns receipts, which say that the mail arrived, and the refusals that filters at the recipient's
end send in the same form.

Source: RFC 8098 §3, RFC 3798; RFC 5429 §2.1.2 (refusals of a Sieve script).
"""

import re

from relayd.policy.inbound_bounce import dsn
from relayd.policy.inbound_bounce.mime import Mail
from relayd.policy.inbound_bounce.phrases import Phrases
from relayd.policy.inbound_bounce.report import report_text
from relayd.policy.inbound_bounce.result import Found, Kind, Reading

_RECEIPTS = ("message/disposition-notification", "message/global-disposition-notification")
_NOT_KEPT = re.compile(r";\s*(?:deleted|denied|failed)|/\s*(?:error|failure)\b", re.IGNORECASE)
_REFUSED = Phrases(
    r"\breject|\brefus|\bbounced\b|not accepted|abgelehnt|abgewiesen|zurückgewiesen",
    r"\brejet|\brechaz|\brifiut|\brecus|geweigerd|odrzuc|отклон|отказ|拒否|拒绝|拒絕",
)


def read_receipt(mail: Mail) -> Reading | None:
    """Read a notification; None if the mail is none.

    A refusal was made after the mail had been taken, so it proves nothing of the address.
    """
    part = mail.first(*_RECEIPTS)
    if part is None:
        return None
    groups = dsn.groups_of(part.text())
    address = next(filter(None, (dsn.addresses_of(group)[0] for group in groups)), None)
    disposition = next((g["disposition"] for g in groups if "disposition" in g), "")
    kind, action, said = Kind.DELIVERED, "delivered", ""
    if _NOT_KEPT.search(disposition):
        words = report_text(mail)
        told = f"{mail.headers.get('auto-submitted')} {mail.headers.decoded('subject')} {words}"
        if _REFUSED.found_in(told):
            kind, action, said = Kind.BOUNCE, "failed", words
    found = (
        (Found(address=address, action=action, diagnostic=said, context="after end of data"),)
        if address
        else ()
    )
    return Reading(kind=kind, found=found)

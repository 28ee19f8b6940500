"""The columns of messages and recipients that `relayd.store.rows` reads."""

from relayd.mail.words import Category
from relayd.store.rows import IS_REPORT, dump, flags_of, message_of, recipient_of

__all__ = [
    "IS_REPORT",
    "MESSAGE_COLUMNS",
    "NO_MAIL_HOST_AT",
    "dump",
    "flags_of",
    "message_of",
    "recipient_of",
]

# When the last attempt found that the DNS knows no mail host of the domain, else NULL: a reply that
# speaks of the domain has a code.
NO_MAIL_HOST_AT = (
    f"CASE WHEN category = '{Category.BAD_DOMAIN}' AND code IS NULL THEN updated_at END"
)
MESSAGE_COLUMNS = (
    "m.id, m.received_at, m.reverse_path, m.size, m.message_id_header, m.tag, m.flags, m.parameters,"
    " m.account, m.listener, m.test_via, served() - m.served_at"
)

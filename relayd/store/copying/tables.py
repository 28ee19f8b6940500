"""What is copied from one engine to another: the tables, their columns, and what is left out.

A row is the same tuple whatever engine it was read from. The order of the tables is that in which they are copied: what
others are made of comes first, and who is told of events last, since SQLite tells them of each event that is added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as both engines have it."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]  # of each row one; rows are read in its order
    flags: frozenset[str] = frozenset()  # columns that are true or false; 1 or 0 in a row here


def _table(name: str, columns: str, *, key: str, flags: str = "") -> Table:
    return Table(
        name=name,
        columns=tuple(columns.split()),
        key=tuple(key.split()),
        flags=frozenset(flags.split()),
    )


META = "meta"
RECIPIENT = "recipient"
CONTENT = "content"
EVENT = "event"
_TALLY = "received sent relayed deferred hard block soft late_bounced complained dropped"

MESSAGES = _table(
    "message",
    "id received_at reverse_path size message_id_header tag flags parameters client_ip helo listener auth_user"
    " account subject test_via served_at",
    key="id",
)
CONTENTS = _table(CONTENT, "message_id octets digest", key="message_id")
"""Written by the message; a row is what is compared: how many octets there are, and their SHA-256."""

TABLES: Sequence[Table] = (
    MESSAGES,
    _table(
        RECIPIENT,
        "message_id number address address_key parameters destination state slot next_attempt_at attempts"
        " soft_failures possible_duplicate siblings returned uncounted extra chosen_by code enhanced reply reason"
        " category bounce_class suppress remote_host redirected_to requeued_as updated_at",
        key="message_id number",
        flags="returned extra suppress",
    ),
    CONTENTS,
    _table(EVENT, "number message_id recipient at kind detail", key="number"),
    _table("kept", "message_id since", key="message_id"),
    _table("came_back", "message_id number at", key="place"),
    _table("once", "key body message_id answers served_at", key="key"),
    _table("destination", "key paused_until paused_for", key="key"),
    _table(
        "pause_rule",
        "id scope value intake delivery since until by reason",
        key="id",
        flags="intake delivery",
    ),
    _table(
        "suppression",
        "address_key scope is_proof message_id address by at reason",
        key="address_key scope is_proof message_id",
        flags="is_proof",
    ),
    _table(
        "account",
        "name role reads_content password_hash disabled created_at last_login_at subject",
        key="name",
        flags="reads_content disabled",
    ),
    _table("session", "token_hash account begun_at seen_at client", key="token_hash"),
    _table(
        "api_key",
        "id name secret_hash scopes senders networks messages_per_minute sees created_at expires_at last_used_at"
        " disabled",
        key="id",
        flags="disabled",
    ),
    _table("audit", "number at by client action target detail", key="number"),
    _table("permit", "account state", key="account"),
    _table("fallback", "domain site until reply revision ends", key="domain"),
    _table("site_state", "site source revision ends state", key="site source"),
    _table(
        "sts_policy",
        "domain id mode hosts max_age fetched_at used_at not_before why",
        key="domain",
    ),
    _table(
        "tls_result",
        "day domain key policy result host source_ip ip reason sessions",
        key="day domain key",
    ),
    _table("tally", f"span dimension at value {_TALLY}", key="span dimension at value"),
    _table(
        "tally_delay",
        "span dimension value at class recipients",
        key="span dimension value at class",
    ),
    _table(META, "key value", key="key"),
    _table(
        "delivery",
        "endpoint event message_id recipient at state next_at claims claimed_at refusals sent_at status trouble"
        " octets took",
        key="endpoint event",
    ),
    _table(
        "endpoint",
        "id url kinds senders tags created_at dropped generation rotated_at claimed_at rests_from rests_until"
        " failing_since failures off ok_at heard_at status trouble octets took",
        key="id",
        flags="dropped",
    ),
    _table("subscription", "kind endpoint senders tags", key="kind endpoint"),
)

COUNTERS: Mapping[str, str] = {"pause_rule": "id", "audit": "number", "endpoint": "id"}
"""Tables whose numbers are never given again, and the column: the last number is copied as well."""

LEFT_OUT: Mapping[str, str] = {
    "worker": "workers that run are none of the copy: each takes a number when it begins",
    "slot": "leases of workers: mail that was leased is due",
    "node": "machines that have the queue: each enters itself",
    "share": "leases of workers on a part of a limit",
    "schema_step": "the version of the schema, which is the engine's own",
    "site_revision": "a row of meta in the copy",
    "recipient_by_domain": "made by a trigger, with each recipient",
    "trouble": "made by a trigger, with each recipient",
    "sqlite_sequence": "the last numbers of COUNTERS",
    "queue": "the recipients that are not finished: they are among those of `recipient`",
    "content_part": "a part of `content`",
}
"""Tables that are not copied as such, and why."""

_OWN_META = (
    *("copied_to", "copied_from", "served_base", "moved", "last_worker", "sample", "sample_due"),
)
_OWN_META_OF = ("clock of ", "work ")  # each machine
SHARED_META = " AND ".join(
    [f"key NOT IN {_OWN_META!r}", *(f"substr(key, 1, {len(n)}) <> '{n}'" for n in _OWN_META_OF)]
)
"""The condition of the rows of `meta` that are copied: others speak of the store itself, a machine or a process."""

-- The queue and its history. Instants are milliseconds since 1970 in UTC.

-- One message; its id carries the instant of its reception, so that id order is time order.
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    reverse_path TEXT NOT NULL,          -- empty: the null reverse-path
    size INTEGER NOT NULL,               -- octets of the content as stored
    message_id_header TEXT,
    tag TEXT,
    flags INTEGER NOT NULL,              -- 1 test mail, 2 8-bit content, 4 UTF-8 in the header section, 8 report
    parameters TEXT,                     -- of MAIL, as a JSON object; NULL when there are none
    client_ip TEXT NOT NULL,
    helo TEXT NOT NULL,
    listener TEXT NOT NULL,
    auth_user TEXT
);
CREATE INDEX message_by_header ON message (message_id_header COLLATE NOCASE) WHERE message_id_header IS NOT NULL;
CREATE INDEX message_by_tag ON message (tag COLLATE NOCASE) WHERE tag IS NOT NULL;

-- The bytes, apart from the row that outlives them: gone when the last recipient is final.
CREATE TABLE content (
    message_id INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);

-- The unit of state.
CREATE TABLE recipient (
    message_id INTEGER NOT NULL,
    number INTEGER NOT NULL,             -- from 0, in the order of RCPT
    address TEXT NOT NULL,
    address_key TEXT NOT NULL,           -- domain@local in lower case: finds an address, and all of a domain
    parameters TEXT,                     -- of RCPT, as a JSON object; NULL when there are none
    destination TEXT NOT NULL,
    state TEXT NOT NULL,
    slot INTEGER,                        -- leased under this slot's present epoch
    next_attempt_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,           -- begun, the running one included
    soft_failures INTEGER NOT NULL DEFAULT 0,
    possible_duplicate INTEGER NOT NULL DEFAULT 0,
    code INTEGER,                        -- from here on: of the last outcome
    enhanced TEXT,
    reply TEXT,
    reason TEXT,
    category TEXT,
    bounce_class TEXT,
    suppress INTEGER NOT NULL DEFAULT 0,
    remote_host TEXT,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (message_id, number)
) WITHOUT ROWID;
CREATE INDEX recipient_due ON recipient (destination, next_attempt_at)
    WHERE state = 'queued' AND slot IS NULL;
CREATE INDEX recipient_leased ON recipient (slot) WHERE slot IS NOT NULL;
CREATE INDEX recipient_by_address ON recipient (address_key);
-- What may speak against an address: few rows, so that asking is cheap for one that bounces a lot.
CREATE INDEX recipient_suppressing ON recipient (address_key)
    WHERE state = 'bounced' AND (suppress OR category = 'inactive_mailbox');
CREATE INDEX recipient_notable ON recipient (state)
    WHERE state IN ('held', 'bounced', 'dropped');

-- Addresses that an operator gave another chance: only bounces after that instant count.
CREATE TABLE unsuppressed (
    address_key TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    by TEXT NOT NULL                     -- who did it
) WITHOUT ROWID;

-- When a destination has something to do; a row appears with its first unleased recipient.
CREATE TABLE destination (
    key TEXT PRIMARY KEY,
    due_at INTEGER,                      -- NULL: nothing waits
    paused_until INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX destination_due ON destination (due_at) WHERE due_at IS NOT NULL;

-- The unit of leasing. An epoch begins when somebody takes the slot.
CREATE TABLE slot (
    id INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    worker INTEGER,                      -- NULL: free
    epoch INTEGER NOT NULL,
    lease_ends_at INTEGER NOT NULL       -- by the monotonic clock: nobody can set that
);
CREATE INDEX slot_by_destination ON slot (destination);
CREATE INDEX slot_owned ON slot (destination) WHERE worker IS NOT NULL; -- few, of all ever used

CREATE TABLE worker (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    daemon TEXT NOT NULL                 -- one at a time has the queue: workers of another are dead
);

-- What the store knows by itself.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- The history. Reception is not repeated here: it is the message row itself.
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    message_id INTEGER NOT NULL,
    recipient INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL                 -- a JSON object, fields of the status log
);
CREATE INDEX event_by_message ON event (message_id);

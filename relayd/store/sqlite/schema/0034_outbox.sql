-- Who is told what happens, by webhooks. Instants that waits and rests are measured by are those of the count of
-- milliseconds that relayd serves this queue (0011): no clock moves them, and nobody grows old while relayd is down.
CREATE TABLE endpoint (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given again: secrets are made of it
    url TEXT NOT NULL,
    kinds TEXT NOT NULL,                 -- a JSON array, as the next two
    senders TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    dropped INTEGER NOT NULL DEFAULT 0,  -- its deliveries are being deleted
    generation INTEGER NOT NULL DEFAULT 1, -- of its secret
    rotated_at INTEGER,                  -- by that count; as the next four
    claimed_at INTEGER NOT NULL DEFAULT -1,
    rests_from INTEGER NOT NULL DEFAULT -1,
    rests_until INTEGER NOT NULL DEFAULT -1,
    failing_since INTEGER,
    failures INTEGER NOT NULL DEFAULT 0, -- in a row
    off TEXT NOT NULL DEFAULT '',        -- why it is disabled
    ok_at INTEGER,                       -- from here on: of the last success, and of what was heard last
    heard_at INTEGER,
    status INTEGER,
    trouble TEXT,
    octets INTEGER,
    took INTEGER
);
-- What each of them is told.
CREATE TABLE subscription (
    kind TEXT NOT NULL,
    endpoint INTEGER NOT NULL,
    senders TEXT,                        -- a JSON array of reverse-paths and @domains; NULL: whatever sender
    tags TEXT,                           -- NULL: whatever tag, or none
    PRIMARY KEY (kind, endpoint)
) WITHOUT ROWID;
-- One event for one endpoint; what is sent is made of the event. Tests have numbers below 0, and no event.
CREATE TABLE delivery (
    endpoint INTEGER NOT NULL,
    event INTEGER NOT NULL,
    message_id INTEGER NOT NULL,         -- 0: a test
    recipient INTEGER NOT NULL,
    at INTEGER NOT NULL,                 -- of the event
    state TEXT NOT NULL,
    next_at INTEGER NOT NULL DEFAULT -1, -- by the count: when it is due, or its lease ends
    claims INTEGER NOT NULL DEFAULT 0,
    claimed_at INTEGER,                  -- by the count
    refusals INTEGER NOT NULL DEFAULT 0, -- of this one alone
    sent_at INTEGER,                     -- from here on: of the last try
    status INTEGER,
    trouble TEXT,
    octets INTEGER,
    took INTEGER,
    PRIMARY KEY (endpoint, event)
) WITHOUT ROWID;
CREATE INDEX delivery_due ON delivery (endpoint, next_at, event) WHERE state = 'waiting';
CREATE INDEX delivery_sending ON delivery (endpoint, next_at, event) WHERE state = 'sending';
CREATE INDEX delivery_failed ON delivery (endpoint, event) WHERE state = 'failed';
-- Those of a recipient go one after the other.
CREATE INDEX delivery_unfinished ON delivery (endpoint, message_id, recipient, event, at, state)
    WHERE state IN ('waiting', 'behind', 'sending');

-- The one place where a delivery begins: the transaction of its event, however that came about.
CREATE TRIGGER event_told AFTER INSERT ON event
    WHEN EXISTS (SELECT 1 FROM subscription WHERE kind = NEW.kind)
BEGIN
    INSERT INTO delivery (endpoint, event, message_id, recipient, at, state)
        SELECT s.endpoint, NEW.id, NEW.message_id, NEW.recipient, NEW.at,
            CASE WHEN EXISTS (SELECT 1 FROM delivery d WHERE d.endpoint = s.endpoint
                AND d.message_id = NEW.message_id AND d.recipient = NEW.recipient
                AND d.state IN ('waiting', 'behind', 'sending')) THEN 'behind' ELSE 'waiting' END
        FROM subscription s WHERE s.kind = NEW.kind
            AND (s.senders IS NULL OR EXISTS (SELECT 1 FROM json_each(s.senders) each
                CROSS JOIN message m ON m.id = NEW.message_id
                WHERE each.value = m.reverse_path COLLATE NOCASE OR (each.value LIKE '@%'
                    AND substr(m.reverse_path, -length(each.value)) = each.value COLLATE NOCASE)))
            AND (s.tags IS NULL OR EXISTS (SELECT 1 FROM json_each(s.tags) each
                CROSS JOIN message m ON m.id = NEW.message_id
                WHERE each.value = m.tag COLLATE NOCASE));
END;

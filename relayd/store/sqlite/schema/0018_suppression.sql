-- What speaks against an address, for ever: until now it was read off the history, and ended with it. Of one
-- address and scope at most one proof is kept, and two messages that found an inactive mailbox. Takes a second
-- for 100,000 bounces that say something about their address, whatever else is in the history.
CREATE TABLE suppression (
    address_key TEXT NOT NULL,
    scope TEXT NOT NULL,                 -- the reverse-path, in lower case, for whose mail alone; empty: all mail
    is_proof INTEGER NOT NULL,           -- enough by itself; else: the mailbox is inactive
    message_id INTEGER NOT NULL,         -- whose bounce it is; 0: a person's word
    address TEXT NOT NULL,
    by TEXT NOT NULL,                    -- that person
    at INTEGER NOT NULL,
    reason TEXT NOT NULL,                -- the server's reply, or the person's
    PRIMARY KEY (address_key, scope, is_proof, message_id)
) WITHOUT ROWID;
INSERT INTO suppression (address_key, scope, is_proof, message_id, address, by, at, reason)
    SELECT address_key, scope, is_proof, message_id, address, '', at, reason FROM (
        SELECT *, row_number() OVER
                (PARTITION BY address_key, scope, is_proof ORDER BY at, message_id) AS place
        FROM (
            SELECT address_key, scope, suppress AS is_proof, message_id, address,
                min(updated_at) AS at, substr(coalesce(reply, reason, ''), 1, 500) AS reason
            FROM recipient INDEXED BY recipient_suppressing
            WHERE state = 'bounced' AND NOT returned
                AND (suppress OR category = 'inactive_mailbox')
                AND updated_at > coalesce((SELECT at FROM unsuppressed
                    WHERE unsuppressed.address_key = recipient.address_key), -1)
            GROUP BY address_key, scope, suppress, message_id
        )
    ) WHERE place <= 2 - is_proof;
DROP TABLE unsuppressed;
DROP INDEX recipient_suppressing;
-- recipient.scope is written no more.

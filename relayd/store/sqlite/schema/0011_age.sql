-- Where the count of milliseconds that relayd has served this queue stood when a message came in: its
-- age is counted from there, not by the clock on the wall. The count begins with 0 now.
ALTER TABLE message ADD COLUMN served_at INTEGER NOT NULL DEFAULT 0;
UPDATE message SET served_at = min(0, received_at - CAST(unixepoch('subsec') * 1000 AS INTEGER))
    WHERE id IN (SELECT message_id FROM content);

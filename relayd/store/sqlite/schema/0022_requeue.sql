-- Messages whose content is kept because they bounced, and since when: they may be requeued.
CREATE TABLE kept (
    message_id INTEGER PRIMARY KEY,
    since INTEGER NOT NULL
);
CREATE INDEX kept_since ON kept (since);
-- The message that a bounced recipient was requeued as.
ALTER TABLE recipient ADD COLUMN requeued_as INTEGER;

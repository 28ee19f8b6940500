ALTER TABLE recipient ADD COLUMN domain TEXT AS (substr(address_key, 1, instr(address_key, '@') - 1));
-- Mail that relayd itself sends to a sender: what becomes of it says nothing about what clients sent.
ALTER TABLE recipient ADD COLUMN returned INTEGER NOT NULL DEFAULT 0;
-- As in `message`, for the indexes of trouble: what is neither accepted nor on its way for the first time
-- is rare, and asked for most. NULL where an older relayd wrote what was accepted.
ALTER TABLE recipient ADD COLUMN sender TEXT;
ALTER TABLE recipient ADD COLUMN tag TEXT;

UPDATE recipient SET returned = 1 WHERE message_id IN
    (SELECT id FROM message WHERE reverse_path = '' COLLATE NOCASE AND flags & 8);
UPDATE recipient SET (sender, tag) = (SELECT reverse_path, tag FROM message WHERE id = message_id)
    WHERE state NOT IN ('relayed', 'sent');
CREATE TRIGGER recipient_in_trouble AFTER UPDATE OF state, category ON recipient
    WHEN NEW.sender IS NULL AND (NEW.state IN ('held', 'bounced', 'dropped') OR NEW.category IS NOT NULL)
BEGIN
    UPDATE recipient SET (sender, tag) = (SELECT reverse_path, tag FROM message WHERE id = message_id)
    WHERE message_id = NEW.message_id AND number = NEW.number;
END;

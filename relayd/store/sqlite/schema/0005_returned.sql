-- Mail that relayd itself sends to a sender: what becomes of it says nothing about what clients sent.
ALTER TABLE recipient ADD COLUMN returned INTEGER NOT NULL DEFAULT 0;
UPDATE recipient SET returned = 1 WHERE message_id IN
    (SELECT id FROM message WHERE reverse_path = '' COLLATE NOCASE AND flags & 8);

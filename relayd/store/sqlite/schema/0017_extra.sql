-- How many milliseconds of the count that relayd serves this queue (0011) are no part of the recipient's age,
-- for nobody could try it. While it cannot be tried, the present count is taken off.
ALTER TABLE recipient ADD COLUMN uncounted INTEGER NOT NULL DEFAULT 0;
-- An operator asked for the next attempt: it is none of those that the settings allow.
ALTER TABLE recipient ADD COLUMN extra INTEGER NOT NULL DEFAULT 0;
-- Since when mail is held was not written down: its age begins with its release.
UPDATE recipient SET uncounted = -(SELECT served_at FROM message WHERE id = message_id)
    WHERE state = 'held';

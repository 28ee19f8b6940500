-- The entry of the settings that chose the way of a recipient: test mail, [routes], [logins], [[listen]] or [senders].
-- NULL where none did, and of all from before: no row is touched.
ALTER TABLE recipient ADD COLUMN chosen_by TEXT;

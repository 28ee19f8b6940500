-- Who handed the message in, as far as one client is told from another: a login, a user of this machine, a
-- source address or its network. Empty: from before this was noted.
ALTER TABLE message ADD COLUMN account TEXT NOT NULL DEFAULT '';

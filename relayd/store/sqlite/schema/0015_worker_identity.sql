-- A worker is known by its node, its boot and its name.
ALTER TABLE worker RENAME COLUMN daemon TO boot;
ALTER TABLE worker ADD COLUMN node TEXT NOT NULL DEFAULT '';

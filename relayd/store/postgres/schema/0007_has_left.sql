-- expand
-- Who ended in good order: one that joins does not wait until it is counted by it. `relayd.store.postgres.nodes`.

ALTER TABLE worker ADD COLUMN has_left boolean NOT NULL DEFAULT false;

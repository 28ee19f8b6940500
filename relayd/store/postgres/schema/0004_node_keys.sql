-- expand
-- What the digest of a node's settings is made of: a JSON object of keys and digests of their values, and "" with that of all.
-- An older relayd writes another digest and leaves this one, which then does not fit.

ALTER TABLE node ADD COLUMN keys text COLLATE "C" NOT NULL DEFAULT '';

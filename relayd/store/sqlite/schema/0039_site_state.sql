-- What replies showed of the sites that mail goes to directly, and whose mail goes another way meanwhile.
CREATE TABLE site_state (
    site TEXT NOT NULL,          -- relayd.policy.delivery.site
    source TEXT NOT NULL,        -- the address of ours; empty: the system chooses
    revision INTEGER NOT NULL,   -- of the last change
    ends REAL NOT NULL,          -- seconds since 1970, when the row may go
    state TEXT NOT NULL,         -- JSON, of relayd.policy.pace_written
    PRIMARY KEY (site, source)
) WITHOUT ROWID;
CREATE INDEX site_state_by_revision ON site_state (revision);
CREATE INDEX site_state_by_end ON site_state (ends);

CREATE TABLE fallback (
    domain TEXT PRIMARY KEY,
    site TEXT NOT NULL,
    until REAL NOT NULL,         -- seconds since 1970; in the past: it goes directly
    reply TEXT NOT NULL,
    revision INTEGER NOT NULL,
    ends REAL NOT NULL           -- as above
) WITHOUT ROWID;
CREATE INDEX fallback_by_revision ON fallback (revision);
CREATE INDEX fallback_by_end ON fallback (ends);

-- One row: the number of the last change of both.
CREATE TABLE site_revision (last INTEGER NOT NULL);
INSERT INTO site_revision VALUES (0);

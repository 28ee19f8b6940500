-- Mail that an operator lets wait. A rule holds recipients as a worker does: their slot is its id, less than 0.
-- Without a side left it has ended, and goes with the last recipient that it holds.
CREATE TABLE pause_rule (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    scope TEXT NOT NULL,
    value TEXT NOT NULL,
    intake INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,                       -- NULL: until somebody ends it
    by TEXT NOT NULL,
    reason TEXT NOT NULL
);
-- Destinations that are left alone for now, the last to be tried first: few of all that mail was ever for.
CREATE INDEX destination_paused ON destination (paused_until) WHERE paused_until > 0;

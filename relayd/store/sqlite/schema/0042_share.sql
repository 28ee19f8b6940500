-- Shares of limits that are smaller than the number of workers.
CREATE TABLE share (
    key TEXT NOT NULL,         -- of the limit
    worker INTEGER NOT NULL,
    claim TEXT NOT NULL,       -- waits, has, yields
    since INTEGER NOT NULL,    -- by the clock that leases end by
    ends_at INTEGER NOT NULL,  -- the same
    PRIMARY KEY (key, worker)
) WITHOUT ROWID;

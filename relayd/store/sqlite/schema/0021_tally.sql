-- Counted outcomes (ADR 11). One row for each step of time, and each value of a dimension in it. The dimensions are
-- numbered in the order of `relayd.mail.tally.Dimension`, from 1; 0 is all mail.
CREATE TABLE tally (
    span INTEGER NOT NULL,               -- milliseconds: 10 minutes, an hour, a day
    dimension INTEGER NOT NULL,
    at INTEGER NOT NULL,                 -- when the step begins
    value TEXT NOT NULL COLLATE NOCASE,  -- a line break: values that were rare, together
    received INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    relayed INTEGER NOT NULL,
    deferred INTEGER NOT NULL,
    hard INTEGER NOT NULL,               -- bounces by class
    block INTEGER NOT NULL,
    soft INTEGER NOT NULL,
    late_bounced INTEGER NOT NULL,
    complained INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    PRIMARY KEY (span, dimension, at, value)
) WITHOUT ROWID;
-- From reception to acceptance: how many recipients of each class of delay.
CREATE TABLE tally_delay (
    span INTEGER NOT NULL,
    dimension INTEGER NOT NULL,
    value TEXT NOT NULL COLLATE NOCASE,
    at INTEGER NOT NULL,
    class INTEGER NOT NULL,
    recipients INTEGER NOT NULL,
    PRIMARY KEY (span, dimension, value, at, class)
) WITHOUT ROWID;
-- The last event that is counted. History from before is counted by and by, while relayd works.
INSERT INTO meta VALUES ('tallied', 0);

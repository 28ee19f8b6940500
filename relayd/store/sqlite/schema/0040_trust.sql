-- MTA-STS policies of recipients' domains (RFC 8461), and how TLS sessions went (RFC 8460).
CREATE TABLE sts_policy (
    domain TEXT PRIMARY KEY,         -- A-labels
    id TEXT NOT NULL,                -- of the record
    mode TEXT NOT NULL,              -- empty: there was no policy to be had
    hosts TEXT NOT NULL,             -- one each line
    max_age INTEGER NOT NULL,        -- seconds
    fetched_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,        -- of the last delivery that asked
    not_before INTEGER NOT NULL,     -- it is not fetched before
    why TEXT NOT NULL                -- the last fetch failed
) WITHOUT ROWID;

CREATE TABLE tls_result (
    day TEXT NOT NULL,
    domain TEXT NOT NULL,            -- of the policy
    key BLOB NOT NULL,               -- digest of the policy and all that follows
    policy TEXT NOT NULL,            -- JSON, of relayd.mail.tls_count
    result TEXT NOT NULL,            -- what failed; empty: nothing
    host TEXT NOT NULL,
    source_ip TEXT NOT NULL,
    ip TEXT NOT NULL,
    reason TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    PRIMARY KEY (day, domain, key)
) WITHOUT ROWID;

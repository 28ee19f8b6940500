-- Accounts at smarthosts: what was sent within their limits, and what was learnt of them.
CREATE TABLE permit (
    account TEXT PRIMARY KEY,    -- the route key of the destination
    state TEXT NOT NULL          -- JSON, of relayd.policy.accounts.state
) WITHOUT ROWID;

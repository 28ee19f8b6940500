-- Who may use the console and its API, who is logged in, and who did what.
CREATE TABLE account (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    reads_content INTEGER NOT NULL,
    password_hash TEXT NOT NULL,         -- argon2id; empty: no log-in by password
    disabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_login_at INTEGER
) WITHOUT ROWID;
CREATE TABLE api_key (
    id TEXT PRIMARY KEY,                 -- its public part
    name TEXT NOT NULL UNIQUE,
    secret_hash BLOB NOT NULL,
    scopes TEXT NOT NULL,                -- words, set apart by blanks
    senders TEXT NOT NULL,               -- the same; empty: any
    networks TEXT NOT NULL,              -- the same; empty: any
    messages_per_minute INTEGER NOT NULL,
    sees TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    disabled INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE session (
    token_hash BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    client TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_account ON session (account);
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    client TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);

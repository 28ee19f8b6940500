-- Messages that are to be taken once, by the key that came with them; both hashes have 32 octets.
CREATE TABLE once (
    key BLOB PRIMARY KEY,
    body BLOB NOT NULL,
    message_id INTEGER NOT NULL,
    answers TEXT NOT NULL,       -- to its recipients, a JSON object
    served_at INTEGER NOT NULL   -- by the count of 0011
) WITHOUT ROWID;
CREATE INDEX once_served_at ON once (served_at);

-- When mail came to the return path of a recipient: a few mails are for its sender, more are an attack.
CREATE TABLE came_back (
    message_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX came_back_to ON came_back (message_id, number, at);

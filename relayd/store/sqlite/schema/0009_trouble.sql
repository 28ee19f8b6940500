-- What is neither accepted nor on its way for the first time is rare, and asked for most, also of one
-- sender, tag, domain or address. A table of its own: partial indexes cost what is accepted a quarter more.
CREATE TABLE trouble (
    message_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    category TEXT,
    bounce_class TEXT,
    returned INTEGER NOT NULL,
    address_key TEXT NOT NULL,
    domain TEXT NOT NULL,
    sender TEXT NOT NULL,
    tag TEXT,
    PRIMARY KEY (message_id, number)
) WITHOUT ROWID;
INSERT INTO trouble
    SELECT message_id, number, state, category, bounce_class, returned, address_key,
        substr(address_key, 1, instr(address_key, '@') - 1), reverse_path, tag
    FROM recipient JOIN message ON id = message_id
    WHERE state IN ('held', 'bounced', 'dropped') OR category IS NOT NULL;
CREATE INDEX trouble_by_sender
    ON trouble (sender COLLATE NOCASE, state, category, bounce_class, message_id DESC, number);
CREATE INDEX trouble_by_tag
    ON trouble (tag COLLATE NOCASE, state, category, bounce_class, message_id DESC, number)
    WHERE tag IS NOT NULL;
CREATE INDEX trouble_by_domain
    ON trouble (domain, state, category, bounce_class, message_id DESC, number);
CREATE INDEX trouble_by_address
    ON trouble (address_key, state, category, bounce_class, message_id DESC, number, returned);

CREATE TRIGGER trouble_from_the_start AFTER INSERT ON recipient
    WHEN NEW.state IN ('held', 'bounced', 'dropped') OR NEW.category IS NOT NULL
BEGIN
    INSERT INTO trouble
        SELECT NEW.message_id, NEW.number, NEW.state, NEW.category, NEW.bounce_class, NEW.returned,
            NEW.address_key, substr(NEW.address_key, 1, instr(NEW.address_key, '@') - 1),
            reverse_path, tag
        FROM message WHERE id = NEW.message_id;
END;
CREATE TRIGGER trouble_changed AFTER UPDATE OF state, category, bounce_class ON recipient
    WHEN NEW.state IN ('held', 'bounced', 'dropped') OR NEW.category IS NOT NULL
        OR OLD.state IN ('held', 'bounced', 'dropped') OR OLD.category IS NOT NULL
BEGIN
    DELETE FROM trouble WHERE message_id = OLD.message_id AND number = OLD.number;
    INSERT INTO trouble
        SELECT NEW.message_id, NEW.number, NEW.state, NEW.category, NEW.bounce_class, NEW.returned,
            NEW.address_key, substr(NEW.address_key, 1, instr(NEW.address_key, '@') - 1),
            reverse_path, tag
        FROM message WHERE id = NEW.message_id
            AND (NEW.state IN ('held', 'bounced', 'dropped') OR NEW.category IS NOT NULL);
END;
CREATE TRIGGER trouble_deleted AFTER DELETE ON recipient
    WHEN OLD.state IN ('held', 'bounced', 'dropped') OR OLD.category IS NOT NULL
BEGIN
    DELETE FROM trouble WHERE message_id = OLD.message_id AND number = OLD.number;
END;

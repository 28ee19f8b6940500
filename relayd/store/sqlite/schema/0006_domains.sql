-- An index of the domains, as a table: SQLite reads the row behind each entry of an index on what is
-- computed.
CREATE TABLE recipient_by_domain (
    domain TEXT NOT NULL,
    message_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (domain, message_id DESC, number)
) WITHOUT ROWID;
INSERT INTO recipient_by_domain
    SELECT substr(address_key, 1, instr(address_key, '@') - 1), message_id, number
    FROM recipient ORDER BY 1, 2 DESC, 3;
CREATE TRIGGER recipient_added AFTER INSERT ON recipient BEGIN
    INSERT INTO recipient_by_domain VALUES
        (substr(NEW.address_key, 1, instr(NEW.address_key, '@') - 1), NEW.message_id, NEW.number);
END;
CREATE TRIGGER recipient_deleted AFTER DELETE ON recipient BEGIN
    DELETE FROM recipient_by_domain
    WHERE domain = substr(OLD.address_key, 1, instr(OLD.address_key, '@') - 1)
        AND message_id = OLD.message_id AND number = OLD.number;
END;

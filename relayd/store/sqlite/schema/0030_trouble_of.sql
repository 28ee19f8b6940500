-- The table of trouble (0009) has what else is asked for together with a status: user, client, destination.
ALTER TABLE trouble ADD COLUMN auth_user TEXT;
ALTER TABLE trouble ADD COLUMN client_ip TEXT NOT NULL DEFAULT '';
ALTER TABLE trouble ADD COLUMN destination TEXT NOT NULL DEFAULT '';
UPDATE trouble SET
    (auth_user, client_ip) = (SELECT auth_user, client_ip FROM message WHERE id = message_id),
    destination = (SELECT destination FROM recipient
        WHERE (recipient.message_id, recipient.number) = (trouble.message_id, trouble.number));

DROP TRIGGER trouble_from_the_start;
CREATE TRIGGER trouble_from_the_start AFTER INSERT ON recipient
    WHEN NEW.state IN ('held', 'bounced', 'dropped') OR NEW.category IS NOT NULL
BEGIN
    INSERT INTO trouble
        SELECT NEW.message_id, NEW.number, NEW.state, NEW.category, NEW.bounce_class, NEW.returned,
            NEW.address_key, substr(NEW.address_key, 1, instr(NEW.address_key, '@') - 1),
            reverse_path, tag, auth_user, client_ip, NEW.destination
        FROM message WHERE id = NEW.message_id;
END;
DROP TRIGGER trouble_changed;
CREATE TRIGGER trouble_changed AFTER UPDATE OF state, category, bounce_class, destination ON recipient
    WHEN NEW.state IN ('held', 'bounced', 'dropped') OR NEW.category IS NOT NULL
        OR OLD.state IN ('held', 'bounced', 'dropped') OR OLD.category IS NOT NULL
BEGIN
    DELETE FROM trouble WHERE message_id = OLD.message_id AND number = OLD.number;
    INSERT INTO trouble
        SELECT NEW.message_id, NEW.number, NEW.state, NEW.category, NEW.bounce_class, NEW.returned,
            NEW.address_key, substr(NEW.address_key, 1, instr(NEW.address_key, '@') - 1),
            reverse_path, tag, auth_user, client_ip, NEW.destination
        FROM message WHERE id = NEW.message_id
            AND (NEW.state IN ('held', 'bounced', 'dropped') OR NEW.category IS NOT NULL);
END;

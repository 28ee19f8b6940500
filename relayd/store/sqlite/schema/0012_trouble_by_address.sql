CREATE INDEX recipient_trouble_by_address
    ON recipient (address_key, state, category, bounce_class, message_id DESC, number, returned)
    WHERE state IN ('held', 'bounced', 'dropped') OR category IS NOT NULL;

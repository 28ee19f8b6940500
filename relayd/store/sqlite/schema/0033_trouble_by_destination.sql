CREATE INDEX trouble_by_destination
    ON trouble (destination, state, category, bounce_class, message_id DESC, number);

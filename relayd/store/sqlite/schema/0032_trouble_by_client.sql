CREATE INDEX trouble_by_client
    ON trouble (client_ip, state, category, bounce_class, message_id DESC, number);

CREATE INDEX trouble_by_user
    ON trouble (auth_user COLLATE NOCASE, state, category, bounce_class, message_id DESC, number)
    WHERE auth_user IS NOT NULL;

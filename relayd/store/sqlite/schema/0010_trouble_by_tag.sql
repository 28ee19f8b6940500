CREATE INDEX recipient_trouble_by_tag
    ON recipient (tag COLLATE NOCASE, state, category, bounce_class, message_id DESC, number)
    WHERE tag IS NOT NULL AND (state IN ('held', 'bounced', 'dropped') OR category IS NOT NULL);

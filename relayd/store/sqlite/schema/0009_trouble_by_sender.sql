CREATE INDEX recipient_trouble_by_sender
    ON recipient (sender COLLATE NOCASE, state, category, bounce_class, message_id DESC, number)
    WHERE state IN ('held', 'bounced', 'dropped') OR category IS NOT NULL;

DROP INDEX recipient_notable;
CREATE INDEX recipient_by_kind ON recipient (state, category, bounce_class, message_id DESC, number);

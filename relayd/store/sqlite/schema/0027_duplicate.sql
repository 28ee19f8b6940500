CREATE INDEX recipient_duplicate ON recipient (message_id DESC, number) WHERE possible_duplicate;

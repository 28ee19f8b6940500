CREATE INDEX recipient_by_destination ON recipient (destination, message_id DESC, number);

-- Of what changed more than 5 minutes after its reception, whose instant is in the id: a small part of all.
CREATE INDEX recipient_changed_late ON recipient (message_id DESC, number, updated_at)
    WHERE updated_at > (message_id >> 21) + 1577837100000;

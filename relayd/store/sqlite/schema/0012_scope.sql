-- For whose mail a bounce speaks against its address: empty, everybody's; else that of this sender only,
-- in lower case. A late bounce is what strangers say who have the mail, and holds for its sender.
ALTER TABLE recipient ADD COLUMN scope TEXT NOT NULL DEFAULT '';
UPDATE recipient SET scope = (SELECT lower(reverse_path) FROM message WHERE id = message_id)
    WHERE state = 'bounced' AND NOT returned AND (suppress OR category = 'inactive_mailbox')
        AND EXISTS (SELECT 1 FROM event WHERE event.message_id = recipient.message_id
            AND event.recipient = recipient.number AND event.kind = 'late_bounced');
DROP INDEX recipient_suppressing;
CREATE INDEX recipient_suppressing ON recipient (address_key, suppress, scope, updated_at)
    WHERE state = 'bounced' AND NOT returned AND (suppress OR category = 'inactive_mailbox');

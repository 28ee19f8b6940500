-- What may speak against an address, in an order in which one look tells, however much that is.
DROP INDEX recipient_suppressing;
CREATE INDEX recipient_suppressing ON recipient (address_key, suppress, updated_at)
    WHERE state = 'bounced' AND NOT returned AND (suppress OR category = 'inactive_mailbox');

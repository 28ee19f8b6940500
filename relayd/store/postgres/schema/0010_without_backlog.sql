-- expand
-- Destinations without a backlog in the order of their claims. Older relays go by `destination_due`.
CREATE INDEX CONCURRENTLY destination_without ON destination (due_at, key) WHERE due_at IS NOT NULL AND left_at = 0;

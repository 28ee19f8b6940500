-- expand
-- Destinations with a backlog in the order of their claims.
CREATE INDEX CONCURRENTLY destination_behind ON destination (greatest(due_at, left_at), key) WHERE due_at IS NOT NULL AND left_at > 0;

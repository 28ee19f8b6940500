-- expand
-- To count what is held or has failed, beside however much mail that waits for its first attempt.
CREATE INDEX CONCURRENTLY queue_trouble ON queue (message_id) WHERE state = 'held' OR category IS NOT NULL;

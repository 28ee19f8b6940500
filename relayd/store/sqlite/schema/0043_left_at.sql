-- When a claim last left a backlog of the destination; 0: it left none. Claims serve those without one first (ADR 20),
-- so each of both kinds has an index in the order of its claims.
ALTER TABLE destination ADD COLUMN left_at INTEGER NOT NULL DEFAULT 0;
DROP INDEX destination_due;
CREATE INDEX destination_due ON destination (due_at) WHERE due_at IS NOT NULL AND left_at = 0;
CREATE INDEX destination_behind ON destination (max(due_at, left_at)) WHERE due_at IS NOT NULL AND left_at > 0;

-- expand
-- When a claim last left a backlog of the destination; 0: it left none. Claims serve those without one first (ADR 20).
ALTER TABLE destination ADD COLUMN left_at bigint NOT NULL DEFAULT 0;

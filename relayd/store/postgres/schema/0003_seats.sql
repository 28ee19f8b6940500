-- expand
-- Since when all others count a worker, which then has its part of the limits. Who starts again at once in its place has that part
-- from the beginning: `relayd.store.postgres.members`.

ALTER TABLE worker ADD COLUMN counted_since bigint;           -- by the clock that leases end by; NULL: it has no part

-- expand
-- What is counted, for who may ask and has no right to `meta`, which has a secret. `relayd.store.postgres.tallying`.

CREATE VIEW tally_state AS
    SELECT key, convert_from(value, 'UTF8')::bigint AS number FROM meta
    WHERE key IN ('tallied', 'tally_begins') OR key LIKE 'tally\_from\_%';

-- expand
-- The weeks of the history are made and dropped by their owner, so that the role that relays work with need own no table.
-- `relayd.store.postgres.partitions` says when. Nobody but the owner may call them, and whom it lets.

CREATE FUNCTION make_week(parent text, week bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    ids CONSTANT bigint := 604800000::bigint << 21;           -- of a week
    last CONSTANT bigint := 9223372036854775807 / ids;        -- it has the end of all ids
    name CONSTANT text := parent || '_w' || week;
BEGIN
    IF parent NOT IN ('message', 'recipient', 'event') OR week NOT BETWEEN 0 AND last THEN
        RAISE EXCEPTION 'no week of the history: % %', parent, week;
    END IF;
    -- Attached: a partition that is created as one takes its parent for itself, and mail would wait.
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
    EXECUTE format(
        'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
        parent, name, week * ids, CASE WHEN week = last THEN 'MAXVALUE' ELSE ((week + 1) * ids)::text END
    );
END $$;

CREATE FUNCTION drop_week(week bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    EXECUTE format(
        'DROP TABLE %I, %I, %I', 'message_w' || week, 'recipient_w' || week, 'event_w' || week
    );
END $$;

REVOKE ALL ON FUNCTION make_week(text, bigint), drop_week(bigint) FROM PUBLIC;

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION make_week(text, bigint) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION drop_week(bigint) SET search_path = %I, pg_temp', current_schema());
END $$;

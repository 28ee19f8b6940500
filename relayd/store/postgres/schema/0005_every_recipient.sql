-- expand
-- Both parts of the view have columns of the same types. Where one has another, PostgreSQL makes the union first, and
-- sorts all of it, so that a page of the newest mail read the whole history.

CREATE OR REPLACE VIEW every_recipient AS
    SELECT message_id, number, slot, attempts, next_attempt_at, state, soft_failures, possible_duplicate, siblings,
        destination, address, address_key, parameters, returned, uncounted, extra, chosen_by, code, enhanced, reply, reason,
        category, bounce_class, suppress, remote_host, redirected_to, requeued_as, updated_at FROM queue
    UNION ALL
    SELECT message_id, number, NULL::bigint, attempts, 0::bigint, state, soft_failures, possible_duplicate, siblings,
        destination, address, address_key, parameters, returned, uncounted, extra, chosen_by, code, enhanced, reply, reason,
        category, bounce_class, suppress, remote_host, redirected_to, requeued_as, updated_at FROM recipient;

-- expand
-- Two sets of tables. What is unfinished is small and hot: `queue`, `content`, `destination`, `slot`. What happened is
-- written once, by the week of ids: `message`, `recipient`, `event`; `relayd.store.postgres.partitions` makes the weeks.
-- A finished recipient moves from `queue` to `recipient` in the transaction that finishes it.
-- Instants are milliseconds since 1970 by the server's clock, but those "by the count": that is the one by which mail ages.
-- No foreign keys (share locks on parents), no triggers, no extensions. All text compares by its octets.

CREATE TABLE worker (
    number int PRIMARY KEY,                       -- modulo 512 unique among the living: it is in each id
    node text COLLATE "C" NOT NULL,
    boot text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    seen_at bigint NOT NULL                       -- by the clock that leases end by
);

CREATE TABLE node (
    name text COLLATE "C" PRIMARY KEY,
    boot text COLLATE "C" NOT NULL,
    machine text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    schema_from int NOT NULL,
    schema_to int NOT NULL,
    settings text COLLATE "C" NOT NULL,           -- a digest of them
    seen_at bigint NOT NULL
);

CREATE TABLE destination (
    key text COLLATE "C" PRIMARY KEY,
    due_at bigint,                                -- NULL: nothing waits
    paused_until bigint NOT NULL DEFAULT 0,
    paused_for text COLLATE "C" NOT NULL DEFAULT ''
) WITH (fillfactor = 50);
CREATE INDEX destination_due ON destination (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX destination_paused ON destination (paused_until) WHERE paused_until > 0;

CREATE TABLE slot (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    destination text COLLATE "C" NOT NULL,
    number smallint NOT NULL,
    worker int,                                   -- NULL: free
    epoch bigint NOT NULL,
    lease_ends_at bigint NOT NULL,
    UNIQUE (destination, number)
) WITH (fillfactor = 50);
CREATE INDEX slot_owned ON slot (worker) WHERE worker IS NOT NULL;

CREATE TABLE queue (
    message_id bigint NOT NULL,
    number int NOT NULL,                          -- from 0, in the order of RCPT
    slot bigint,                                  -- leased under this slot, in the epoch beside; below 0: a pause rule has it
    epoch bigint,
    attempts int NOT NULL,                        -- begun, the running one included
    next_attempt_at bigint NOT NULL,
    state text COLLATE "C" NOT NULL,              -- queued, held
    soft_failures int NOT NULL DEFAULT 0,
    possible_duplicate int NOT NULL DEFAULT 0,
    siblings int NOT NULL,                        -- recipients of the message, this one included
    destination text COLLATE "C" NOT NULL,
    address text COLLATE "C" NOT NULL,
    address_key text COLLATE "C" NOT NULL,        -- domain@local in lower case
    parameters text COLLATE "C",                  -- of RCPT, a JSON object
    returned boolean NOT NULL DEFAULT false,      -- it is mail of relayd itself to a sender
    uncounted bigint NOT NULL DEFAULT 0,          -- by the count
    extra boolean NOT NULL DEFAULT false,
    chosen_by text COLLATE "C",
    code int,                                     -- from here on: of the last outcome
    enhanced text COLLATE "C",
    reply text COLLATE "C",
    reason text COLLATE "C",
    category text COLLATE "C",
    bounce_class text COLLATE "C",
    suppress boolean NOT NULL DEFAULT false,
    remote_host text COLLATE "C",
    redirected_to text COLLATE "C",
    requeued_as bigint,
    updated_at bigint NOT NULL,
    PRIMARY KEY (message_id, number)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queue_due ON queue (destination, next_attempt_at, message_id) WHERE state = 'queued' AND slot IS NULL;
CREATE INDEX queue_leased ON queue (slot) WHERE slot IS NOT NULL;
CREATE INDEX queue_address ON queue (address_key);

CREATE TABLE content (
    message_id bigint PRIMARY KEY,
    parts int NOT NULL,                           -- rows of content_part; 0: all of it is in body
    body bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE content ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE content_part (
    message_id bigint NOT NULL,
    part int NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (message_id, part)
);
ALTER TABLE content_part ALTER COLUMN body SET STORAGE EXTERNAL;

-- The content of bounced messages that is kept.
CREATE TABLE kept (
    message_id bigint PRIMARY KEY,
    since bigint NOT NULL
);
CREATE INDEX kept_since ON kept (since);

CREATE TABLE message (
    id bigint PRIMARY KEY,
    received_at bigint NOT NULL,
    reverse_path text COLLATE "C" NOT NULL,       -- empty: the null reverse-path
    size bigint NOT NULL,                         -- octets of the content as stored
    message_id_header text COLLATE "C",
    tag text COLLATE "C",
    flags int NOT NULL,                           -- relayd.store.rows
    parameters text COLLATE "C",                  -- of MAIL, a JSON object
    client_ip text COLLATE "C" NOT NULL,
    helo text COLLATE "C" NOT NULL,
    listener text COLLATE "C" NOT NULL,
    auth_user text COLLATE "C",
    account text COLLATE "C" NOT NULL,
    subject text COLLATE "C",
    test_via text COLLATE "C",
    served_at bigint NOT NULL                     -- by the count
) PARTITION BY RANGE (id);
CREATE INDEX message_by_header ON message (lower(message_id_header)) WHERE message_id_header IS NOT NULL;
CREATE INDEX message_by_tag ON message (lower(tag), id) WHERE tag IS NOT NULL;
CREATE INDEX message_by_sender ON message (lower(reverse_path), id);
CREATE INDEX message_by_user ON message (lower(auth_user), id) WHERE auth_user IS NOT NULL;
CREATE INDEX message_by_client ON message (client_ip, id);

CREATE TABLE recipient (
    message_id bigint NOT NULL,
    number int NOT NULL,
    attempts int NOT NULL,
    state text COLLATE "C" NOT NULL,              -- sent, relayed, bounced, dropped
    soft_failures int NOT NULL,
    possible_duplicate int NOT NULL,
    siblings int NOT NULL,
    destination text COLLATE "C" NOT NULL,
    address text COLLATE "C" NOT NULL,
    address_key text COLLATE "C" NOT NULL,
    parameters text COLLATE "C",
    returned boolean NOT NULL,
    uncounted bigint NOT NULL,
    extra boolean NOT NULL,
    chosen_by text COLLATE "C",
    code int,
    enhanced text COLLATE "C",
    reply text COLLATE "C",
    reason text COLLATE "C",
    category text COLLATE "C",
    bounce_class text COLLATE "C",
    suppress boolean NOT NULL,
    remote_host text COLLATE "C",
    redirected_to text COLLATE "C",
    requeued_as bigint,
    updated_at bigint NOT NULL,
    PRIMARY KEY (message_id, number)
) PARTITION BY RANGE (message_id);
CREATE INDEX recipient_by_address ON recipient (address_key, message_id);
CREATE INDEX recipient_by_destination ON recipient (destination, message_id);
CREATE INDEX recipient_by_trouble ON recipient (state, message_id) WHERE state IN ('bounced', 'dropped');
CREATE INDEX recipient_duplicate ON recipient (message_id) WHERE possible_duplicate > 0;
CREATE INDEX recipient_changed_late ON recipient (message_id) WHERE updated_at > (message_id >> 21) + 1577837100000;

-- `number` is the order of commits: relayd.store.postgres.events.
CREATE TABLE event (
    number bigint NOT NULL,
    message_id bigint NOT NULL,
    recipient int NOT NULL,
    at bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    detail text COLLATE "C" NOT NULL              -- a JSON object, fields of the status log
) PARTITION BY RANGE (message_id);
CREATE INDEX event_by_message ON event (message_id);
CREATE INDEX event_by_number ON event (number);

CREATE VIEW every_recipient AS
    SELECT message_id, number, slot, attempts, next_attempt_at, state, soft_failures, possible_duplicate, siblings,
        destination, address, address_key, parameters, returned, uncounted, extra, chosen_by, code, enhanced, reply, reason,
        category, bounce_class, suppress, remote_host, redirected_to, requeued_as, updated_at FROM queue
    UNION ALL
    SELECT message_id, number, NULL, attempts, 0, state, soft_failures, possible_duplicate, siblings,
        destination, address, address_key, parameters, returned, uncounted, extra, chosen_by, code, enhanced, reply, reason,
        category, bounce_class, suppress, remote_host, redirected_to, requeued_as, updated_at FROM recipient;

CREATE TABLE came_back (
    message_id bigint NOT NULL,
    number int NOT NULL,
    at bigint NOT NULL
);
CREATE INDEX came_back_to ON came_back (message_id, number, at);

CREATE TABLE suppression (
    address_key text COLLATE "C" NOT NULL,
    scope text COLLATE "C" NOT NULL,              -- the reverse-path, in lower case, for whose mail alone; empty: all mail
    is_proof boolean NOT NULL,                    -- enough by itself; else: the mailbox is inactive
    message_id bigint NOT NULL,                   -- whose bounce it is; 0: a person's word
    address text COLLATE "C" NOT NULL,
    by text COLLATE "C" NOT NULL,                 -- that person
    at bigint NOT NULL,
    reason text COLLATE "C" NOT NULL,
    PRIMARY KEY (address_key, scope, is_proof, message_id)
);

CREATE TABLE pause_rule (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    scope text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    intake boolean NOT NULL,
    delivery boolean NOT NULL,
    since bigint NOT NULL,
    until bigint,                                 -- NULL: until somebody ends it
    by text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL
);

CREATE TABLE once (
    key bytea PRIMARY KEY,
    body bytea NOT NULL,
    message_id bigint NOT NULL,
    answers text COLLATE "C" NOT NULL,            -- to its recipients, a JSON object
    served_at bigint NOT NULL                     -- by the count
);
CREATE INDEX once_served_at ON once (served_at);

CREATE TABLE meta (
    key text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL                          -- numbers in decimal digits
);

-- People, keys and the audit.
CREATE TABLE account (
    name text COLLATE "C" PRIMARY KEY,
    role text COLLATE "C" NOT NULL,
    reads_content boolean NOT NULL,
    password_hash text COLLATE "C" NOT NULL,      -- argon2id; empty: no log-in by password
    disabled boolean NOT NULL,
    created_at bigint NOT NULL,
    last_login_at bigint,
    subject text COLLATE "C" NOT NULL DEFAULT ''  -- issuer and sub, a blank between; empty: not known yet
);
CREATE TABLE session (
    token_hash bytea PRIMARY KEY,
    account text COLLATE "C" NOT NULL,
    begun_at bigint NOT NULL,
    seen_at bigint NOT NULL,
    client text COLLATE "C" NOT NULL
);
CREATE INDEX session_account ON session (account);
CREATE TABLE api_key (
    id text COLLATE "C" PRIMARY KEY,              -- its public part
    name text COLLATE "C" NOT NULL UNIQUE,
    secret_hash bytea NOT NULL,
    scopes text COLLATE "C" NOT NULL,             -- words, set apart by blanks
    senders text COLLATE "C" NOT NULL,            -- the same; empty: any
    networks text COLLATE "C" NOT NULL,           -- the same; empty: any
    messages_per_minute int NOT NULL,
    sees text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    last_used_at bigint,
    disabled boolean NOT NULL
);
CREATE TABLE audit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    by text COLLATE "C" NOT NULL,
    client text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    detail text COLLATE "C" NOT NULL
);
CREATE INDEX audit_at ON audit (at);

-- What applications are told. Instants of the two tables that are about tries are by the count.
CREATE TABLE endpoint (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- never given again: secrets are made of it
    url text COLLATE "C" NOT NULL,
    kinds text COLLATE "C" NOT NULL,              -- a JSON array, as the next two
    senders text COLLATE "C" NOT NULL,
    tags text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    dropped boolean NOT NULL DEFAULT false,       -- its deliveries are being deleted
    generation int NOT NULL DEFAULT 1,            -- of its secret
    rotated_at bigint,                            -- by the count; as the next four
    claimed_at bigint NOT NULL DEFAULT -1,
    rests_from bigint NOT NULL DEFAULT -1,
    rests_until bigint NOT NULL DEFAULT -1,
    failing_since bigint,
    failures int NOT NULL DEFAULT 0,              -- in a row
    off text COLLATE "C" NOT NULL DEFAULT '',     -- why it is disabled
    ok_at bigint,                                 -- from here on: of the last success, and of what was heard last
    heard_at bigint,
    status int,
    trouble text COLLATE "C",
    octets bigint,
    took bigint
);
CREATE TABLE subscription (
    kind text COLLATE "C" NOT NULL,
    endpoint bigint NOT NULL,
    senders text COLLATE "C",                     -- a JSON array of reverse-paths and @domains; NULL: whatever sender
    tags text COLLATE "C",                        -- NULL: whatever tag, or none
    PRIMARY KEY (kind, endpoint)
);
CREATE TABLE delivery (
    endpoint bigint NOT NULL,
    event bigint NOT NULL,                        -- its number; below 0: a test
    message_id bigint NOT NULL,                   -- 0: a test
    recipient int NOT NULL,
    at bigint NOT NULL,                           -- of the event
    state text COLLATE "C" NOT NULL,
    next_at bigint NOT NULL DEFAULT -1,           -- when it is due, or its lease ends
    claims int NOT NULL DEFAULT 0,
    claimed_at bigint,
    refusals int NOT NULL DEFAULT 0,              -- of this one alone
    sent_at bigint,                               -- from here on: of the last try
    status int,
    trouble text COLLATE "C",
    octets bigint,
    took bigint,
    PRIMARY KEY (endpoint, event)
);
CREATE INDEX delivery_due ON delivery (endpoint, next_at, event) WHERE state = 'waiting';
CREATE INDEX delivery_sending ON delivery (endpoint, next_at, event) WHERE state = 'sending';
CREATE INDEX delivery_failed ON delivery (endpoint, event) WHERE state = 'failed';
CREATE INDEX delivery_unfinished ON delivery (endpoint, message_id, recipient, event)
    WHERE state IN ('waiting', 'behind', 'sending');

-- What is known of sites and accounts at next hops, and of their TLS.
CREATE TABLE permit (
    account text COLLATE "C" PRIMARY KEY,         -- the route key of the destination
    state text COLLATE "C" NOT NULL               -- JSON, of relayd.policy.accounts.state
);
CREATE TABLE share (
    key text COLLATE "C" NOT NULL,                -- of a limit that is smaller than the number of workers
    worker int NOT NULL,
    claim text COLLATE "C" NOT NULL,              -- waits, has, yields
    since bigint NOT NULL,                        -- by the clock that leases end by
    ends_at bigint NOT NULL,                      -- the same
    PRIMARY KEY (key, worker)
) WITH (fillfactor = 50);
CREATE TABLE fallback (
    domain text COLLATE "C" PRIMARY KEY,
    site text COLLATE "C" NOT NULL,
    until double precision NOT NULL,              -- seconds since 1970; in the past: it goes directly
    reply text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    ends double precision NOT NULL                -- as above
);
CREATE INDEX fallback_by_end ON fallback (ends);
CREATE INDEX fallback_by_revision ON fallback (revision);
CREATE TABLE site_state (
    site text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,             -- the address of ours; empty: the system chooses
    revision bigint NOT NULL,                     -- of the last change
    ends double precision NOT NULL,               -- seconds since 1970, when the row may go
    state text COLLATE "C" NOT NULL,              -- JSON, of relayd.policy.pace_written
    PRIMARY KEY (site, source)
);
CREATE INDEX site_state_by_end ON site_state (ends);
CREATE INDEX site_state_by_revision ON site_state (revision);
CREATE TABLE sts_policy (
    domain text COLLATE "C" PRIMARY KEY,          -- A-labels
    id text COLLATE "C" NOT NULL,                 -- of the record
    mode text COLLATE "C" NOT NULL,               -- empty: there was no policy to be had
    hosts text COLLATE "C" NOT NULL,              -- one each line
    max_age bigint NOT NULL,                      -- seconds
    fetched_at bigint NOT NULL,
    used_at bigint NOT NULL,                      -- of the last delivery that asked
    not_before bigint NOT NULL,                   -- it is not fetched before
    why text COLLATE "C" NOT NULL                 -- the last fetch failed
);
CREATE TABLE tls_result (
    day text COLLATE "C" NOT NULL,
    domain text COLLATE "C" NOT NULL,             -- of the policy
    key bytea NOT NULL,                           -- digest of the policy and all that follows
    policy text COLLATE "C" NOT NULL,             -- JSON, of relayd.mail.tls_count
    result text COLLATE "C" NOT NULL,             -- what failed; empty: nothing
    host text COLLATE "C" NOT NULL,
    source_ip text COLLATE "C" NOT NULL,
    ip text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    sessions bigint NOT NULL,
    PRIMARY KEY (day, domain, key)
);

-- How much there was of each kind, by steps of time.
CREATE TABLE tally (
    span bigint NOT NULL,                         -- milliseconds: 10 minutes, an hour, a day
    dimension int NOT NULL,
    at bigint NOT NULL,                           -- when the step begins
    value text COLLATE "C" NOT NULL,              -- a line break: values that were rare, together
    received bigint NOT NULL,
    sent bigint NOT NULL,
    relayed bigint NOT NULL,
    deferred bigint NOT NULL,
    hard bigint NOT NULL,                         -- bounces by class
    block bigint NOT NULL,
    soft bigint NOT NULL,
    late_bounced bigint NOT NULL,
    complained bigint NOT NULL,
    dropped bigint NOT NULL
);
CREATE UNIQUE INDEX tally_key ON tally (span, dimension, at, lower(value));
CREATE TABLE tally_delay (
    span bigint NOT NULL,
    dimension int NOT NULL,
    value text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    class int NOT NULL,
    recipients bigint NOT NULL
);
CREATE UNIQUE INDEX tally_delay_key ON tally_delay (span, dimension, lower(value), at, class);

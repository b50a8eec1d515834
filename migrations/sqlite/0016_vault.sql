-- A person's accounts elsewhere, whose tokens we keep. `generation` grows with every write of `tokens` and is bound into
-- the seal. Whoever redeems the refresh token holds the lease, whose number grows each time it is taken, and has written
-- `redeeming_since` before the vendor was asked: where it stands without a lease, nobody knows whether the vendor answered.
CREATE TABLE connections (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    label TEXT,
    is_default INTEGER NOT NULL,
    account TEXT NOT NULL,
    account_name TEXT,
    tenant TEXT,
    scope TEXT NOT NULL,
    details TEXT NOT NULL,
    state TEXT NOT NULL,
    tokens BLOB NOT NULL,
    generation INTEGER NOT NULL,
    expires_at INTEGER,
    refresh_expires_at INTEGER,
    refreshed_at INTEGER NOT NULL,
    refresh_due_at INTEGER,
    redeeming_since INTEGER,
    lease INTEGER NOT NULL,
    lease_owner TEXT,
    leased_until INTEGER,
    failures INTEGER NOT NULL,
    next_attempt_at INTEGER,
    created_at INTEGER NOT NULL,
    UNIQUE (user_id, name, account)
) STRICT;
CREATE UNIQUE INDEX connections_default ON connections (user_id, name) WHERE is_default;
CREATE INDEX connections_name ON connections (name);
CREATE INDEX connections_state ON connections (state);
CREATE INDEX connections_due ON connections (refresh_due_at) WHERE refresh_due_at IS NOT NULL;
CREATE INDEX connections_redeeming ON connections (redeeming_since) WHERE redeeming_since IS NOT NULL;

-- Who was handed a token of it, and when. `resource` is empty where a job had it while the person was away.
CREATE TABLE connection_uses (
    connection_id TEXT NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
    client_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (connection_id, client_id, resource)
) STRICT;

-- Tokens of connections that are gone, to be revoked at their vendor. They stay sealed as they were, so `connection_id`,
-- `user_id`, `name` and `generation` are those of the connection that was.
CREATE TABLE revocations (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    tokens BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL
) STRICT;
CREATE INDEX revocations_due ON revocations (next_attempt_at);

-- Links that lead one person to connecting an account, each good once; found by the hash of what is in the URL.
CREATE TABLE connect_links (
    hash BLOB PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    connection TEXT NOT NULL,
    scope TEXT NOT NULL,
    client_id TEXT NOT NULL,
    resource TEXT,
    return_to TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX connect_links_user ON connect_links (user_id);
CREATE INDEX connect_links_expiry ON connect_links (expires_at);

-- Nothing ever filled it: tokens of a sign-in are a connection like any other.
DROP TABLE upstream_tokens;

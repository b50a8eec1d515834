-- People.
CREATE TABLE users (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT,
    email       TEXT,
    created_at  BIGINT  NOT NULL,
    disabled_at BIGINT
);

-- Their accounts at providers. (issuer, subject) is the key; everything else is what the provider said last.
CREATE TABLE identities (
    id             TEXT    NOT NULL PRIMARY KEY,
    user_id        TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    provider       TEXT    NOT NULL,
    issuer         TEXT    NOT NULL,
    subject        TEXT    NOT NULL,
    organization   TEXT,
    tenant         TEXT,
    email          TEXT,
    email_verified BOOLEAN NOT NULL,
    name           TEXT,
    groups         JSONB   NOT NULL,
    created_at     BIGINT  NOT NULL,
    last_seen_at   BIGINT  NOT NULL,
    UNIQUE (issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id);

-- Sign-ins that are under way at a provider; `sealed` holds what must come back with the person, and is gone once it did.
CREATE TABLE logins (
    state_hash     BYTEA   NOT NULL PRIMARY KEY,
    provider       TEXT    NOT NULL,
    browser_hash   BYTEA   NOT NULL,
    interaction_id TEXT,
    sealed         BYTEA,
    created_at     BIGINT  NOT NULL,
    expires_at     BIGINT  NOT NULL,
    consumed_at    BIGINT
);
CREATE INDEX logins_expiry ON logins (expires_at);

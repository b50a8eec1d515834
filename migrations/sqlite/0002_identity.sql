-- People.
CREATE TABLE users (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT,
    email       TEXT,
    created_at  INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT;

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
    email_verified INTEGER NOT NULL,
    name           TEXT,
    groups         TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    last_seen_at   INTEGER NOT NULL,
    UNIQUE (issuer, subject)
) STRICT;
CREATE INDEX identities_user ON identities (user_id);

-- Sign-ins that are under way at a provider; `sealed` holds what must come back with the person, and is gone once it did.
CREATE TABLE logins (
    state_hash     BLOB    NOT NULL PRIMARY KEY,
    provider       TEXT    NOT NULL,
    browser_hash   BLOB    NOT NULL,
    interaction_id TEXT,
    sealed         BLOB,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    consumed_at    INTEGER
) STRICT;
CREATE INDEX logins_expiry ON logins (expires_at);

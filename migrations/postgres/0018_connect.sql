-- Accounts that are being connected: somebody was sent from one browser to a vendor, and what must come back with her.
CREATE TABLE connects (
    state_hash BYTEA PRIMARY KEY,
    connection TEXT NOT NULL,
    browser_hash BYTEA NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    scope TEXT NOT NULL,
    renews TEXT,
    label TEXT,
    link_hash BYTEA,
    sealed BYTEA,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT,
    kept_as TEXT,
    sites JSONB
);
CREATE INDEX connects_user ON connects (user_id);
CREATE INDEX connects_expiry ON connects (expires_at);

-- Where a sign-in leads that is for none of the interactions, sealed for its `state`: it may hold a link.
ALTER TABLE logins ADD COLUMN onward BYTEA;

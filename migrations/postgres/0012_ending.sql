-- What a session is at its provider. It stays when the session has expired, for as long as what was born of it may live,
-- so that the provider can end that too. `subject` is the `sub` of the ID token, which need not be the identity's.
CREATE TABLE upstream_sessions (
    session_id TEXT PRIMARY KEY,
    identity_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    sid TEXT,
    expires_at BIGINT NOT NULL
);
CREATE INDEX upstream_sessions_subject ON upstream_sessions (issuer, subject);
CREATE INDEX upstream_sessions_sid ON upstream_sessions (issuer, sid);
CREATE INDEX upstream_sessions_identity ON upstream_sessions (identity_id);
CREATE INDEX upstream_sessions_provider ON upstream_sessions (provider);
CREATE INDEX upstream_sessions_expiry ON upstream_sessions (expires_at);

-- The ID token of the sign-in, sealed, where the person is signed out at her provider too (`id_token_hint`).
ALTER TABLE sessions ADD COLUMN id_token BYTEA;
CREATE INDEX sessions_provider ON sessions (provider);

-- A code dies with the session in which it was given.
ALTER TABLE codes ADD COLUMN session_id TEXT;
CREATE INDEX codes_session ON codes (session_id);
CREATE INDEX codes_user ON codes (user_id);

-- Tokens that a provider gave us for a person, sealed. `generation` grows with every write and is bound into the seal.
-- Whoever is asking the provider at this moment holds the lease: it was written before the provider was asked.
CREATE TABLE upstream_tokens (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    generation BIGINT NOT NULL,
    confirmed_at BIGINT NOT NULL,
    lease TEXT,
    leased_until BIGINT
);
CREATE INDEX upstream_tokens_user ON upstream_tokens (user_id);

-- Clients and providers that the operator has switched off.
CREATE TABLE switched_off (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);

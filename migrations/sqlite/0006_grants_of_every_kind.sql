-- A grant need not be born in a browser: an enterprise's identity provider can make one too, and no session with it.
-- `jkt` is the key that its refresh tokens are bound to (RFC 9449 section 5). SQLite cannot loosen a column, so both
-- tables are written anew, the child first, because dropping a parent would empty it.
CREATE TABLE grants_new (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    identity_id TEXT NOT NULL,
    session_id TEXT,
    client_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    audience TEXT NOT NULL,
    scope TEXT NOT NULL,
    auth_time INTEGER,
    acr TEXT,
    amr TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    origin TEXT NOT NULL,
    jkt TEXT
) STRICT;
INSERT INTO grants_new
    SELECT id, user_id, identity_id, session_id, client_id, resource, audience, scope, auth_time, acr, amr, created_at,
           last_used_at, expires_at, revoked_at, 'consent', NULL
    FROM grants;
CREATE TABLE refresh_tokens_new (
    hash BLOB PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants_new (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    salt BLOB
) STRICT;
INSERT INTO refresh_tokens_new SELECT hash, grant_id, created_at, expires_at, used_at, salt FROM refresh_tokens;
DROP TABLE refresh_tokens;
DROP TABLE grants;
ALTER TABLE grants_new RENAME TO grants;
ALTER TABLE refresh_tokens_new RENAME TO refresh_tokens;
CREATE INDEX grants_user ON grants (user_id);
CREATE INDEX grants_client ON grants (client_id);
CREATE INDEX grants_session ON grants (session_id);
CREATE INDEX grants_expiry ON grants (expires_at);
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

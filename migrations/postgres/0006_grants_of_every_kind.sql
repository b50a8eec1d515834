-- A grant need not be born in a browser: an enterprise's identity provider can make one too, and no session with it.
-- `jkt` is the key that its refresh tokens are bound to (RFC 9449 section 5).
ALTER TABLE grants ADD COLUMN origin TEXT NOT NULL DEFAULT 'consent';
ALTER TABLE grants ALTER COLUMN origin DROP DEFAULT;
ALTER TABLE grants ADD COLUMN jkt TEXT;
ALTER TABLE grants ALTER COLUMN session_id DROP NOT NULL;
ALTER TABLE grants ALTER COLUMN auth_time DROP NOT NULL;
CREATE INDEX grants_session ON grants (session_id);

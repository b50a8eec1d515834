-- Two roles, each with keys of its own: `authorization_server` and `identity_provider`.
ALTER TABLE signing_keys ADD COLUMN role TEXT NOT NULL DEFAULT 'authorization_server';

-- What a person is called at one other authorization server and nowhere else (OpenID Connect Core section 8.1). The name
-- has to stay what it is for as long as the person is known, so nothing is swept here.
CREATE TABLE pairwise_subjects (
    audience TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    subject TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (audience, user_id)
) STRICT;

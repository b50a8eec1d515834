-- The providers that instances have in their configuration, or had: each instance notes its own again and again. One that
-- nobody has noted for long enough was removed; `ended_at`: what it stood behind was ended for that.
CREATE TABLE configured_providers (
    name TEXT PRIMARY KEY,
    seen_at BIGINT NOT NULL,
    ended_at BIGINT
);
